package phys

import (
	"fmt"
	"math/bits"
)

// hand goes round all pages of all slots, like a clock's.
type hand struct {
	slot, page int
}

// use makes page resident and gives it its second chance.
func (m *Memory) use(s *Slot, page int) error {
	if s.resident.Has(page) {
		s.used.Set(page)
		return nil
	}
	if !m.past {
		if err := m.shrink(m.options.BudgetPages-1, pageRef{s, page}); err != nil {
			return err
		}
	}
	if at, ok := m.swapped[pageRef{s, page}]; ok {
		if _, err := m.options.Swap.ReadAt(s.pageBytes(page), at); err != nil {
			return fmt.Errorf("reading a page of the guest from the swap store: %w", err)
		}
		m.forgetSwapped(pageRef{s, page})
		m.metrics.SwappedIn++
	}
	m.arrive(s, page)
	return nil
}

func (m *Memory) arrive(s *Slot, page int) {
	s.resident.Set(page)
	s.used.Set(page)
	m.metrics.Loads++
	m.metrics.Resident++
	m.metrics.ResidentMax = max(m.metrics.ResidentMax, m.metrics.Resident)
}

// Touched notes what a guest did past m: it used the pages of used and wrote those of dirty, two sets by index in s in the layout of Bitmap (KVM's dirty
// log is one); nil is none.
func (m *Memory) Touched(s *Slot, used, dirty []uint64) {
	for at, w := range dirty {
		if w == 0 {
			continue
		}
		for code := w & s.code.words[at]; code != 0; code &= code - 1 {
			s.written(at<<6 + bits.TrailingZeros64(code))
		}
		s.dirty.add(at, w)
		m.touched(s, at, w)
	}
	for at, w := range used {
		m.touched(s, at, w)
	}
}

// HoldLater says that guests read and write past m, which can't know before Touched what is written: from now on pages go in Hold alone, and none to the
// swap store, for a guest that reads one that is there would see the image.
func (m *Memory) HoldLater() { m.past = true }

// Hold has clean pages go until the budget holds. All that guests wrote has been told by Touched, and none runs.
func (m *Memory) Hold() error { return m.shrink(m.options.BudgetPages, pageRef{}) }

// shrink has pages go until no more than most are resident, if there is a budget.
func (m *Memory) shrink(most int, keep pageRef) error {
	for m.options.BudgetPages > 0 && m.metrics.Resident > most {
		if err := m.replace(keep); err != nil {
			m.metrics.OverBudget++
			return err
		}
	}
	return nil
}

// touched makes the pages of one word resident and used.
func (m *Memory) touched(s *Slot, at int, w uint64) {
	if w == 0 {
		return
	}
	s.used.add(at, w)
	n := s.resident.add(at, w)
	m.metrics.Loads += uint64(n)
	m.metrics.Resident += n
	m.metrics.ResidentMax = max(m.metrics.ResidentMax, m.metrics.Resident)
}

// replace makes the page go that the hand finds first which wasn't used since the hand was there: a clean one if there is any, else one that is written, to the
// swap store.
//
// Two rounds clear all second chances, so the third has one.
func (m *Memory) replace(keep pageRef) error {
	clean := m.haveClean(keep)
	if !clean && (m.options.Swap == nil || m.past) {
		return ErrBudget
	}
	for range 2*m.metrics.Resident + 1 {
		at, ok := m.advance()
		s := at.slot
		switch {
		case !ok:
			return ErrBudget
		case at == keep || clean && s.dirty.Has(at.page):
		case s.used.Has(at.page):
			s.used.Clear(at.page)
			m.metrics.SecondChances++
		case clean:
			m.metrics.ReplacedClean++
			return m.evict(at)
		default:
			if err := m.swapOut(at); err != nil {
				return err
			}
			return m.evict(at)
		}
	}
	return ErrBudget
}

// haveClean reports whether a resident page but keep wasn't written.
func (m *Memory) haveClean(keep pageRef) bool {
	for _, s := range m.slots {
		for at, w := range s.resident.words[:s.resident.top] {
			w &^= s.dirty.words[at]
			if s == keep.slot && at == keep.page>>6 {
				w &^= 1 << (keep.page & 63)
			}
			if w != 0 {
				return true
			}
		}
	}
	return false
}

// advance moves the hand past the next resident page and returns it, if there is one.
func (m *Memory) advance() (at pageRef, ok bool) {
	for range len(m.slots) + 1 { // the slot where the hand is twice: its end, and its beginning
		if m.hand.slot >= len(m.slots) {
			m.hand = hand{}
		}
		s := m.slots[m.hand.slot]
		if page := s.resident.next(m.hand.page); page < s.Pages() {
			m.hand.page = page + 1
			return pageRef{s, page}, true
		}
		m.hand = hand{slot: m.hand.slot + 1}
	}
	return pageRef{}, false
}

// evict has the host take a page's memory; what is seen there next is what the image has, or zeros.
func (m *Memory) evict(at pageRef) error {
	if err := giveBack(at.slot.pageBytes(at.page), at.slot.initial(at.page)); err != nil {
		return fmt.Errorf("giving back a page of the guest: %w", err)
	}
	at.slot.resident.Clear(at.page)
	at.slot.used.Clear(at.page)
	m.metrics.Resident--
	m.tell(at)
	return nil
}

func (m *Memory) tell(at pageRef) {
	for _, f := range m.onEvict {
		f(at.slot.Base + Addr(at.page)<<PageShift)
	}
}

func (m *Memory) swapOut(at pageRef) error {
	place := m.swapEnd
	if n := len(m.swapFree); n > 0 {
		place = m.swapFree[n-1]
	}
	if _, err := m.options.Swap.WriteAt(at.slot.pageBytes(at.page), place); err != nil {
		return fmt.Errorf("writing a page of the guest to the swap store: %w", err)
	}
	if place == m.swapEnd {
		m.swapEnd += PageSize
	} else {
		m.swapFree = m.swapFree[:len(m.swapFree)-1]
	}
	m.swapped[at] = place
	m.metrics.SwappedOut++
	return nil
}

func (m *Memory) forgetSwapped(at pageRef) {
	if place, ok := m.swapped[at]; ok {
		delete(m.swapped, at)
		m.swapFree = append(m.swapFree, place)
	}
}

const (
	// leaveMax is how many pages are left counted as written at most, leaveRounds for how many Restores: what is written once costs that many copies.
	leaveMax    = 256
	leaveRounds = 32
)

// Restore copies back from the image what was written since the last Restore. Pages stay resident, and writable for KVM: the next call writes
// the same ones.
func (m *Memory) Restore() {
	pages, code := 0, false
	for _, s := range m.slots {
		if s.Kept {
			continue
		}
		for at, w := range s.dirty.words[:s.dirty.top] {
			for ; w != 0; w &= w - 1 {
				code = m.restore(s, at<<6+bits.TrailingZeros64(w)) || code
			}
		}
		pages += s.dirty.Count()
	}
	m.metrics.Restored += uint64(pages)
	m.rounds++
	if pages == 0 || m.leaves && !code && !m.Budgeted() && pages <= leaveMax && m.rounds < leaveRounds {
		return
	}
	m.rounds = 0
	for _, s := range m.slots {
		if !s.Kept {
			s.dirty.Reset()
		}
	}
	for _, f := range m.onRestore {
		f()
	}
}

// restore copies a page back, and reports whether code was decoded from it.
func (m *Memory) restore(s *Slot, page int) (code bool) {
	if len(m.swapped) > 0 {
		m.forgetSwapped(pageRef{s, page})
	}
	if s.resident.Has(page) {
		if initial := s.initial(page); initial != nil {
			copy(s.pageBytes(page), initial)
		} else {
			clear(s.pageBytes(page))
		}
	}
	return s.recode(page)
}

func (s *Slot) pageBytes(page int) []byte {
	at := page << PageShift
	return s.bytes[at : at+PageSize : at+PageSize]
}
