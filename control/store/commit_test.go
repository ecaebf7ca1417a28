package store

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// lostSlot sends a transaction, and returns the slot as if the answer hadn't come.
func lostSlot(t *testing.T, s *Store, txn Txn) (sl *slot, applied Revision) {
	t.Helper()
	sl, err := s.takeSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	underWay := false
	before := Revision(0)
	applied, err = s.attempt(t.Context(), txn, sl, time.Minute, &underWay)
	if err != nil && !errors.Is(err, ErrConflict) {
		t.Fatal(err)
	}
	sl.at = before
	return sl, applied
}

// An attempt whose answer got lost is found when it is made again, whether or not its conditions would hold still.
func TestALostAnswerIsFound(t *testing.T) {
	s := newCluster(t).first().Store
	txn := Txn{If: []Cond{Absent("a")}, Put: []Put{{"a", []byte("1")}}}
	sl, applied := lostSlot(t, s, txn)
	for range 2 {
		underWay := true
		if again, err := s.attempt(t.Context(), txn, sl, time.Minute, &underWay); err != nil || again != applied {
			t.Errorf("revision %d, %v; want %d", again, err, applied)
		}
		sl.at = 0
	}
}

// A transaction that Commit says conflicts isn't applied by an attempt that arrives late.
func TestALateAttemptFails(t *testing.T) {
	s := newCluster(t).first().Store
	at := put(t, s, "a", "0")
	txn := Txn{If: []Cond{Absent("a")}, Put: []Put{{"a", []byte("1")}}}
	sl, err := s.takeSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late := *sl // an attempt that is still under way
	late.at, sl.at = 0, 0
	underWay := true
	if _, err := s.attempt(t.Context(), txn, sl, time.Minute, &underWay); !errors.Is(err, ErrConflict) || underWay {
		t.Fatalf("%v, under way: %v", err, underWay)
	}
	if _, err := s.Commit(t.Context(), Txn{If: []Cond{Unchanged("a", at)}, Delete: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	underWay = false
	if _, err := s.attempt(t.Context(), txn, &late, time.Minute, &underWay); err == nil {
		t.Error("it was applied after its conflict was told")
	}
	if _, ok, _ := s.Get(t.Context(), "a"); ok {
		t.Error("a is there")
	}
}

// A transaction that nobody waits for any more may be applied while another one has its slot. The other one is applied too.
func TestASlotThatWasWrittenLate(t *testing.T) {
	s := newCluster(t).first().Store
	sl, _ := lostSlot(t, s, Txn{Put: []Put{{"a", []byte("1")}}})
	sl.seq++
	for _, first := range []bool{true, false} {
		sl.at = 0
		underWay := !first
		txn := Txn{Put: []Put{{"b", []byte("2")}}}
		if _, err := s.attempt(t.Context(), txn, sl, time.Minute, &underWay); !errors.Is(err, errSlot) || underWay {
			t.Fatalf("%v, under way: %v", err, underWay)
		}
		if _, err := s.attempt(t.Context(), txn, sl, time.Minute, &underWay); err != nil {
			t.Fatal(err)
		}
		sl.seq++
	}
}

func TestSlotsOfEarlierProcessesAreRemoved(t *testing.T) {
	c := newCluster(t)
	one := c.first()
	put(t, one.Store, "a", "1")
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	one.listen(t, one.at)
	one.start(t)
	put(t, one.Store, "a", "2")
	list, _, _, err := one.List(t.Context(), slotsPrefix, "", 0)
	if len(list) != 1 || err != nil || !strings.Contains(list[0].Key, one.slots.instance) {
		t.Errorf("%v, %v", list, err)
	}
}

func TestWhatIsTooMuch(t *testing.T) {
	s := newCluster(t).first().Store
	many := make([]string, txnOpsMax)
	for i := range many {
		many[i] = strings.Repeat("x", 1+i)
	}
	large := Txn{}
	for i := range 20 {
		large.Put = append(large.Put, Put{many[i], make([]byte, valueMax)})
	}
	for name, c := range map[string]struct {
		txn  Txn
		want error // nil: any
	}{
		"a value":         {Txn{Put: []Put{{"big", make([]byte, valueMax+1)}}}, ErrTooMuch},
		"many changes":    {Txn{Delete: many}, ErrTooMuch},
		"many bytes":      {large, ErrTooMuch},
		"a key twice":     {Txn{Put: []Put{{"a", nil}}, Delete: []string{"a"}}, nil},
		"no key":          {Txn{Put: []Put{{"", nil}}}, nil},
		"many conditions": {Txn{If: make([]Cond, txnOpsMax)}, ErrTooMuch},
	} {
		if _, err := s.Commit(t.Context(), c.txn); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Commit(t.Context(), Txn{Put: []Put{{"big", make([]byte, valueMax)}}}); err != nil {
		t.Errorf("the largest value: %v", err)
	}
	large.Put = large.Put[:15]
	if _, err := s.Commit(t.Context(), large); err != nil {
		t.Errorf("a large transaction: %v", err)
	}
}

func TestAFullDiskIsSeen(t *testing.T) {
	s := newCluster(t).first().Store
	put(t, s, "a", "1")
	s.disk.mu.Lock()
	s.disk.next, s.disk.err = time.Now().Add(diskInterval), ErrFull
	s.disk.mu.Unlock()
	if _, err := s.Commit(t.Context(), Txn{Put: []Put{{"a", []byte("2")}}}); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if _, ok, err := s.Get(t.Context(), "a"); !ok || err != nil {
		t.Error(err)
	}
	var d diskWatch
	if err := d.check("/", time.Now()); err != nil && !errors.Is(err, ErrFull) {
		t.Error(err)
	}
}

// A transaction whose caller gave up may still have an attempt under way that wants to burn its slot. When that arrives late, the slot may be what tells
// that the next transaction was applied, and must go on telling that.
func TestALateBurnDestroysNoEvidence(t *testing.T) {
	s := newCluster(t).first().Store
	put(t, s, "a", "0")
	sl, err := s.takeSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sl.at = 0
	late, underWay := *sl, true // gave up; its conditions are false, so what is under way burns
	sl.seq++
	next := Txn{Put: []Put{{"log", []byte("once")}}}
	first := false
	applied, err := s.attempt(t.Context(), next, sl, time.Minute, &first)
	if err != nil {
		t.Fatal(err)
	}
	sl.at = 0 // its answer gets lost
	_, _ = s.attempt(t.Context(), Txn{If: []Cond{Absent("a")}, Put: []Put{{"a", nil}}}, &late, time.Minute, &underWay)
	again := true
	if at, err := s.attempt(t.Context(), next, sl, time.Minute, &again); err != nil || at != applied {
		t.Errorf("revision %d, %v; it was applied at %d already", at, err, applied)
	}
}

// The answer to a burn gets lost: the conflict is told nevertheless, and once.
func TestALostBurnIsFound(t *testing.T) {
	s := newCluster(t).first().Store
	put(t, s, "a", "0")
	sl, err := s.takeSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		sl.at = 0
		underWay := true
		if _, err := s.attempt(t.Context(), Txn{If: []Cond{Absent("a")}, Put: []Put{{"a", nil}}}, sl, time.Minute, &underWay); !errors.Is(err, ErrConflict) {
			t.Error(err)
		}
	}
}
