package assembly

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/wherry/wherry/feed"
)

const (
	// provedAfter is how long a node must live with what it has adopted until that counts as harmless.
	provedAfter = 10 * time.Second
	// deathsMax is how often a node dies of a revision before it doesn't try it any more. It is more than one because machines are
	// switched off and processes killed.
	deathsMax = 3
	// suspectsMax bounds what is watched at a time.
	suspectsMax = 1024
)

// Guard keeps a node from dying of the same revision for ever. What was just adopted is noted on the disk until the process has lived
// with it for a while or ends in order. A process that finds a note has a predecessor that died with it; after deathsMax of them that
// revision isn't adopted again.
type Guard struct {
	file     string
	suspects []suspect
}

type suspect struct {
	Key    string    `json:"key"`
	Ref    feed.Ref  `json:"ref"`
	Deaths int       `json:"deaths"`
	At     time.Time `json:"-"` // when this process adopted it; zero: not yet
}

func (s *suspect) is(c change) bool { return s.Key == c.key && s.Ref == c.ref }

// OpenGuard reads what a former process left in file.
func OpenGuard(file string) (*Guard, error) {
	g := &Guard{file: file}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
		return g, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &g.suspects)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to have all revisions tried again", file, err)
	}
	for i := range g.suspects {
		g.suspects[i].Deaths++
	}
	_ = g.write() // on a full disk a death isn't counted; that is no reason to serve nobody
	return g, nil
}

// bad returns why a revision isn't to be tried again, or the empty string.
func (g *Guard) bad(key string, ref feed.Ref) string {
	for _, s := range g.suspects {
		if s.Key == key && s.Ref == ref && s.Deaths >= deathsMax {
			return fmt.Sprintf("the node died %d times right after it had adopted this revision", s.Deaths)
		}
	}
	return ""
}

// begin notes what is about to be adopted. At the first adoption of a process, only what is noted already counts: the rest was lived with, so it is
// adopted also if the disk takes no note.
func (g *Guard) begin(list Changes, first bool, now time.Time) error {
	for _, c := range list {
		if c.gone {
			continue
		}
		if i := slices.IndexFunc(g.suspects, func(s suspect) bool { return s.is(c) }); i >= 0 {
			g.suspects[i].At = now
		} else if !first {
			g.suspects = append(g.suspects, suspect{Key: c.key, Ref: c.ref, At: now})
		}
	}
	g.suspects = g.suspects[max(0, len(g.suspects)-suspectsMax):]
	if err := g.write(); err != nil && !first {
		return err
	}
	return nil
}

// end takes back what begin noted.
func (g *Guard) end(list Changes) {
	g.suspects = slices.DeleteFunc(g.suspects, func(s suspect) bool {
		return s.Deaths == 0 && slices.ContainsFunc(list, func(c change) bool { return s.is(c) })
	})
	_ = g.write() // at worst a death is counted that wasn't its
}

// Proved takes away the notes on what this process has lived with for long enough. Call it each second or so.
func (g *Guard) Proved(now time.Time) {
	n := len(g.suspects)
	g.suspects = slices.DeleteFunc(g.suspects, func(s suspect) bool { return !s.At.IsZero() && now.Sub(s.At) >= provedAfter })
	if len(g.suspects) != n {
		_ = g.write()
	}
}

// Close says that the process ends in order: what it had adopted is not to blame.
func (g *Guard) Close() error {
	g.suspects = slices.DeleteFunc(g.suspects, func(s suspect) bool { return s.Deaths < deathsMax })
	for i := range g.suspects {
		g.suspects[i].Deaths = deathsMax - 1 // the next process counts one
	}
	return g.write()
}

// write replaces the file. It needn't outlive the machine, so nothing waits for the disk.
func (g *Guard) write() error {
	data, err := json.Marshal(g.suspects)
	if err != nil {
		return err
	}
	if err := os.WriteFile(g.file+".new", data, 0o600); err != nil {
		return fmt.Errorf("note what is being adopted: %w", err)
	}
	return os.Rename(g.file+".new", g.file)
}
