package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/control/api"
)

// The states of roll-outs.
const (
	rolloutRunning = "running"
	rolloutPaused  = "paused"
	rolloutDone    = "done"
)

func under(r api.Rollout) bool { return r.State == rolloutRunning || r.State == rolloutPaused }

func newRolloutCommand(flags Flags) *cobra.Command {
	status := &cobra.Command{
		Use: "status [ID]", Short: "Show the roll-outs, or one with its phases", Args: between(0, 1, "at most one ID of a roll-out"),
	}
	asking(flags, status, func(ctx context.Context, a *asker, args []string) error {
		if len(args) == 1 {
			r, err := a.show.Rollout(ctx, args[0])
			if err == nil && !a.json {
				a.printRollout(r)
			}
			return err
		}
		all, err := a.show.Rollouts(ctx)
		if err != nil || a.json {
			return err
		}
		if len(all) == 0 {
			fmt.Fprintln(a.out, "there is no roll-out; wherry apply begins one")
			return nil
		}
		a.printRollouts(all)
		return nil
	})
	return group("rollout", "Follow and steer roll-outs", status,
		newSteerCommand(flags, api.Pause, "Hold a roll-out where it is"),
		newSteerCommand(flags, api.Resume, "Let a paused roll-out go on"),
		newSteerCommand(flags, api.Abort, "End a roll-out, and go back to what held before"),
	)
}

func newSteerCommand(flags Flags, how api.Steering, short string) *cobra.Command {
	c := &cobra.Command{
		Use: string(how) + " [ID]", Short: short, Args: between(0, 1, "at most one ID of a roll-out"),
		Long: short + ". Without an ID it is the only one under way.",
	}
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		id, err := a.theRollout(ctx, args)
		if err != nil {
			return err
		}
		r, err := a.show.SteerRollout(ctx, id, how)
		if err == nil && !a.json {
			a.printRollout(r)
		}
		return err
	})
}

// theRollout is the one that is named, else the only one under way.
func (a *asker) theRollout(ctx context.Context, args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	all, err := a.ask.Rollouts(ctx)
	if err != nil {
		return "", err
	}
	var ids []string
	for _, r := range all {
		if under(r) {
			ids = append(ids, r.ID)
		}
	}
	switch len(ids) {
	case 0:
		return "", errors.New("no roll-out is under way; those that ended are in wherry rollout status")
	case 1:
		return ids[0], nil
	}
	return "", fmt.Errorf("%d roll-outs are under way; say which: %s", len(ids), strings.Join(ids, ", "))
}

func (a *asker) printRollouts(all []api.Rollout) {
	var rows [][]string
	for _, r := range all {
		rows = append(rows, []string{r.ID, r.Subject, change(r), r.State, orDash(r.Phase), a.ago(r.Started), r.Author, clip(r.Why, 40)})
	}
	a.table("ROLL-OUT SUBJECT CHANGE STATE PHASE STARTED BY WHY", rows)
}

// change says from what to what.
func change(r api.Rollout) string {
	if r.Version != "" {
		return r.Version
	}
	if r.From == 0 {
		return fmt.Sprintf("new → %d", r.To)
	}
	if r.To == 0 {
		return fmt.Sprintf("%d → none", r.From)
	}
	return fmt.Sprintf("%d → %d", r.From, r.To)
}

func (a *asker) printRollout(r api.Rollout) {
	fmt.Fprintf(a.out, "roll-out %s of %s: %s, %s by %s\n", r.ID, r.Subject, change(r), a.ago(r.Started), r.Author)
	state := r.State
	if under(r) && r.Phase != "" {
		state += " in phase " + r.Phase
	}
	if r.Why != "" {
		state += ": " + r.Why
	}
	fmt.Fprintln(a.out, state)
	if len(r.Phases) == 0 {
		return
	}
	fmt.Fprintln(a.out)
	var rows [][]string
	for _, p := range r.Phases {
		lasted := ""
		switch {
		case p.Began.IsZero():
			lasted = "not yet"
		case p.Ended.IsZero():
			lasted = "for " + span(a.now.Sub(p.Began))
		default:
			lasted = took(p.Ended.Sub(p.Began))
		}
		rows = append(rows, []string{p.Name, lasted, some(p.Nodes, 4), p.Verdict})
	}
	a.table("PHASE TOOK NODES VERDICT", rows)
	if r.Gate != nil {
		a.printGate(r.Gate)
	}
}

// printGate prints what the gate compares in the phase under way.
func (a *asker) printGate(g *api.Gate) {
	fmt.Fprintf(a.out, "\n%d of %s of this phase have the change\n", g.Adopted, plural(g.Nodes, "node"))
	var rows [][]string
	for _, of := range []struct {
		whom   string
		sample api.Sample
	}{{"with the change", g.With}, {"the same before", g.Before}, {"without it", g.Others}} {
		s := of.sample
		median := "-"
		if s.Median > 0 {
			median = "< " + took(s.Median)
		}
		rows = append(rows, []string{
			of.whom, strconv.FormatUint(s.Requests, 10), shareOf(s.Errors, s.Requests), shareOf(s.Rejected, s.Requests), shareOf(s.Hits, s.Requests), median,
		})
	}
	a.table("NODES REQUESTS ERRORS 4XX HITS MEDIAN", rows)
}

func shareOf(part, whole uint64) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

const (
	followEvery = 300 * time.Millisecond
	followLost  = 30 * time.Second // how long control may be out of reach while somebody follows
)

// follow prints the phases of a roll-out until it has ended; its error is that it didn't end well.
func (a *asker) follow(ctx context.Context, id string) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	var before api.Rollout
	var lost time.Time
	for {
		r, err := a.ask.Rollout(ctx, id)
		switch {
		case ctx.Err() != nil:
			fmt.Fprintf(a.notes, "roll-out %s goes on; follow it: wherry rollout status %s; end it: wherry rollout abort %s\n", id, id, id)
			return ErrReported
		case err != nil && !passing(err):
			return err
		case err != nil && lost.IsZero():
			lost = time.Now()
			fmt.Fprintf(a.notes, "%v\nroll-out %s goes on without us; trying again\n", err, id)
		case err != nil && time.Since(lost) > followLost:
			return err
		case err == nil:
			lost = time.Time{}
			if !a.json {
				for _, line := range progress(before, r) {
					fmt.Fprintln(a.out, line)
				}
			}
			if before = r; !under(r) {
				return a.ended(ctx, r)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// ended is how a roll-out ended.
func (a *asker) ended(ctx context.Context, r api.Rollout) error {
	if a.json {
		if _, err := a.show.Rollout(ctx, r.ID); err != nil { // as it is answered
			return err
		}
	}
	if r.State == rolloutDone {
		return nil
	}
	in := ""
	if r.Phase != "" {
		in = " in phase " + r.Phase
	}
	return fmt.Errorf("roll-out %s of %s was %s%s: %s; what held before holds again (wherry rollout status %s)", r.ID, r.Subject, r.State, in, r.Why, r.ID)
}

// passing says whether an error may be gone soon: nobody answers, or control changes its leader.
func passing(err error) bool {
	var p *api.Problem
	return errors.As(err, &p) && (p.Status == 0 || p.Status == http.StatusServiceUnavailable || p.Status == http.StatusGatewayTimeout)
}

// progress is what has happened to a roll-out since it was seen before, in lines for people.
func progress(before, now api.Rollout) (lines []string) {
	line := func(format string, args ...any) {
		lines = append(lines, fmt.Sprintf("roll-out %s: %s", now.ID, fmt.Sprintf(format, args...)))
	}
	if before.ID == "" {
		line("%s, %s", now.Subject, change(now))
	}
	for i, p := range now.Phases {
		var was api.Phase
		if i < len(before.Phases) {
			was = before.Phases[i]
		}
		if was.Began.IsZero() && !p.Began.IsZero() {
			line("%s on %s", p.Name, some(p.Nodes, 4))
		}
		if was.Ended.IsZero() && !p.Ended.IsZero() {
			verdict := ""
			if p.Verdict != "" {
				verdict = ": " + p.Verdict
			}
			line("%s ended after %s%s", p.Name, took(p.Ended.Sub(p.Began)), verdict)
		}
	}
	if now.State == before.State {
		return lines
	}
	switch now.State {
	case rolloutDone:
		if now.Ended.IsZero() || now.Started.IsZero() {
			line("done")
		} else {
			line("done in %s", took(now.Ended.Sub(now.Started)))
		}
	case rolloutPaused:
		line("paused%s; let it go on: wherry rollout resume %s", because(now.Why), now.ID)
	case rolloutRunning:
		if before.State == rolloutPaused {
			line("goes on")
		}
	default:
		line("%s%s", now.State, because(now.Why))
	}
	return lines
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}
