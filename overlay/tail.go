package overlay

import (
	"time"

	"github.com/wherry/wherry/overlay/loss"
	"github.com/wherry/wherry/overlay/repair"
	"github.com/wherry/wherry/overlay/wire"
)

// Parity behind the last bytes of a stream lets the peer rebuild what is lost of them, a round trip before it could come again. It is sent where
// packets are lost and a round trip is long, for streams that one window carries.
const (
	repairShare = 0.04                  // of the bytes of streams that this side sends, that its parity may cost
	repairBack  = 0.01                  // and of those that come: for requests, which are small beside their answers
	repairMax   = 256 << 10             // bytes of a stream's end that are covered
	repairRows  = 6                     // for one stream
	repairLoss  = 0.002                 // of the packets: below, nothing is gained
	repairRound = 10 * time.Millisecond // of round trip: below, what is lost comes again soon enough
	repairQueue = 64                    // rows that wait to be sent
	repairHead  = 24                    // bytes that a row's frame is longer than a piece of a stream
	keepStreams = 64                    // with more streams open, none keeps what was read for rebuilding what wasn't
)

// tail is the connection's parity.
type tail struct {
	on     bool // the loss and the round trip are such that it pays
	budget repair.Budget
	queue  [][]byte // frames that wait
}

// protect queues parity for the end of a stream, all of which has left once.
func (c *Conn) protect(s *Stream) {
	p := c.primary
	share := c.tail.budget.Loss(int(p.id), p.track.Arrived, p.track.Lost)
	c.tail.on = share >= repairLoss && c.round() >= repairRound && c.peer.Level >= wire.LevelRepair
	out := &s.out
	start, size := out.acked, out.largest
	n := int(out.written - start)
	if !c.tail.on || n > repairMax || size == 0 || len(c.streams) > keepStreams || repair.Rows(n, size) > repair.RowsMax {
		return
	}
	size = min(size, n)
	rows := c.tail.budget.Rows(share, repair.Rows(n, size), size+overhead+repairHead, min(repairRows, repairQueue-len(c.tail.queue)))
	if rows == 0 {
		return
	}
	data := make([]byte, n)
	out.buffer.Read(start, data)
	parity := make([]byte, size)
	for i := range rows {
		repair.Parity(parity, data, i)
		c.tail.queue = append(c.tail.queue, wire.AppendBytes(nil, wire.Repair, parity, s.id, start, uint64(n), uint64(i)))
	}
}

// appendRepairs writes rows of parity behind the data.
func (c *Conn) appendRepairs(b *batch, most int, sent *loss.Packet[cargo]) {
	for len(c.tail.queue) > 0 {
		f := c.tail.queue[0]
		if len(b.buffer)+len(f) > most {
			if !sent.Eliciting {
				c.tail.queue = c.tail.queue[1:] // the path has become narrower
				continue
			}
			return
		}
		b.buffer = append(b.buffer, f...)
		c.tail.queue = c.tail.queue[1:]
		c.stats.Parity += uint64(len(f))
		sent.Eliciting = true
	}
}

// dropRead gives up what was read, unless parity may still need it.
func (s *Stream) dropRead() {
	in, c := &s.in, s.conn
	expected := c.peer.Level >= wire.LevelRepair && len(c.streams) <= keepStreams && c.round() >= repairRound
	if !expected || in.known && in.whole == in.final || in.highest > repairMax {
		in.buffer.Drop(in.read)
	}
}

// repairFrame takes a row of parity.
func (c *Conn) repairFrame(f *wire.Frame) error {
	size := len(f.Data)
	if f.Size == 0 || f.Size > repairMax || size == 0 || uint64(size) > f.Size || f.Code >= repair.ParityMax || repair.Rows(int(f.Size), size) > repair.RowsMax {
		return errFrameOfRepair
	}
	s, err := c.stream(f.ID)
	if s == nil || err != nil {
		return err
	}
	in := &s.in
	if err := in.check(f.Offset+f.Size, true); err != nil {
		return err
	}
	if in.settled || in.err != nil || in.stopped || in.whole == in.final || f.Offset < in.buffer.First() {
		in.cond.Signal() // the end is known now
		return nil
	}
	if len(in.rows) > 0 && (in.rowsAt != f.Offset || len(in.rows[0].Bytes) != size) {
		in.rows = nil
	}
	for _, r := range in.rows {
		if r.Index == int(f.Code) {
			return nil
		}
	}
	in.rowsAt = f.Offset
	in.rows = append(in.rows, repair.Row{Index: int(f.Code), Bytes: append([]byte(nil), f.Data...)})
	return s.rebuild()
}

// rebuild fills the gaps of a stream, if its parity can.
func (s *Stream) rebuild() error {
	in := &s.in
	rows := in.rows
	if in.whole >= in.final || in.stopped || in.rowsAt < in.buffer.First() || in.whole < in.rowsAt {
		in.rows = nil
		return nil
	}
	size := int(in.final - in.rowsAt)
	var gaps []repair.Gap
	missing, at := 0, in.whole
	gap := func(first, end uint64) {
		if first < end {
			gaps = append(gaps, repair.Gap{First: int(first - in.rowsAt), End: int(end - in.rowsAt)})
			missing += int(end - first)
		}
	}
	for _, island := range in.islands {
		gap(at, island.Start)
		at = max(at, island.End)
	}
	gap(at, in.final)
	if missing > len(rows)*len(rows[0].Bytes) || len(gaps) == 0 {
		return nil
	}
	data := make([]byte, size)
	last := 0
	for _, g := range append(gaps, repair.Gap{First: size, End: size}) {
		in.buffer.Read(in.rowsAt+uint64(last), data[last:g.First])
		last = g.End
	}
	if !repair.Rebuild(data, gaps, rows) {
		return nil
	}
	in.rows = nil
	for _, g := range gaps {
		fresh, err := s.take(in.rowsAt+uint64(g.First), data[g.First:g.End], false)
		if err == nil {
			err = s.conn.count(fresh)
		}
		if err != nil {
			return err
		}
	}
	s.conn.stats.Repaired += uint64(missing)
	in.cond.Signal()
	return nil
}
