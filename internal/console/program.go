package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/console/amend"
	"github.com/wherry/wherry/vmm/rootfs"
)

// CheckProgram starts a program of settings as an edge does, but from a file and, if that isn't empty, the directory of its files, and says why it can't be used.
type CheckProgram func(ctx context.Context, name, file, files, settings string) error

// ProgramCommands are the commands about programs that ask control.
func ProgramCommands(flags Flags, check CheckProgram) []*cobra.Command {
	return []*cobra.Command{newProgramDeployCommand(flags, check), newProgramRollbackCommand(flags), newProgramSecretCommand(flags)}
}

// deployFlags are those of wherry program deploy.
type deployFlags struct {
	applyFlags
	site, path string
	files      string // a directory
	program    amend.Program
	env        []string
	secret     []string
	secrets    []localSecret // of secret
	noCheck    bool
}

func newProgramDeployCommand(flags Flags, check CheckProgram) *cobra.Command {
	var f deployFlags
	c := &cobra.Command{
		Use:   "deploy NAME FILE",
		Short: "Send a program to control, and roll it out to the edges",
		Long: `FILE is a static Linux program, or a tar archive or directory of a root file system with one.
Starts the program on this machine as an edge would, sends it to control, and changes the network's settings, below programs.NAME, through a roll-out as
wherry apply does. With --site the site gets a rule, before its others, by which the program answers what is below --path; that is rolled out when the
edges have the program. What isn't given stays as it was. It waits for the roll-outs; the exit status is 1 if one was reverted.`,
		Example: `  wherry program deploy cart ./cart --site shop --path /cart
  wherry program deploy web ./nginx --files ./site --site shop --path /
  wherry program deploy web rootfs.tar --executable /usr/sbin/nginx
  wherry program deploy cart ./cart-2 --memory 64MiB -m 'faster'
  wherry program deploy cart ./cart-2 --secret API_KEY=./api.key
  wherry program rollback cart`,
		Args: func(c *cobra.Command, args []string) error { return f.check(c, args) },
	}
	c.Flags().StringVar(&f.site, "site", "", "the `site` that gets a rule for it")
	c.Flags().StringVar(&f.path, "path", "", "with --site: the `path` that it answers, with all below; or a pattern as in rules, such as *.json")
	c.Flags().StringVar(&f.files, "files", "", "a `directory` that the program sees as /, read-only, beside itself, /program")
	c.Flags().StringVar(&f.program.Executable, "executable", "", "where the program is, if FILE is a tar archive or a directory: a `path` in it; else /program or the only one")
	c.Flags().StringVar(&f.program.Isolation, "isolation", "", "after what its memory is fresh: request, connection or instance")
	c.Flags().StringVar(&f.program.Machine, "machine", "", "what it runs on: auto, kvm or emulator")
	c.Flags().StringVar(&f.program.Memory, "memory", "", "what one instance may `use`, such as 64MiB")
	c.Flags().StringVar(&f.program.Tenant, "tenant", "", "who shares the processors with other tenants")
	c.Flags().StringArrayVar(&f.program.Args, "arg", nil, "an `argument`; may be repeated, and replaces those before")
	c.Flags().StringArrayVar(&f.env, "env", nil, "a variable of its environment, `NAME=value`; may be repeated, others stay")
	c.Flags().StringArrayVar(&f.secret, "secret", nil, "a variable with the content of a file that nobody is shown, `KEY=FILE`; may be repeated, others stay")
	c.Flags().BoolVar(&f.noCheck, "no-check", false, "don't start it on this machine first")
	f.addRollout(c)
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		return f.deploy(ctx, a, check, args[0], args[1])
	})
}

func (f *deployFlags) check(c *cobra.Command, args []string) error {
	if err := between(2, 2, "the program's name and its file")(c, args); err != nil {
		return err
	}
	if (f.site == "") != (f.path == "") {
		return UsageError{errors.New("give --site and --path together, or neither")}
	}
	if f.site != "" && f.noWait {
		return UsageError{errors.New("--no-wait doesn't go with --site: the site is changed when the edges have the program")}
	}
	if f.files != "" && f.program.Executable != "" {
		return UsageError{errors.New("--files and --executable: FILE is the program that has the files; leave --executable out")}
	}
	for _, e := range f.env {
		name, value, ok := strings.Cut(e, "=")
		if !ok || name == "" {
			return UsageError{fmt.Errorf("--env: %q isn't NAME=value", e)}
		}
		f.program.Env = append(f.program.Env, [2]string{name, value})
	}
	var err error
	f.secrets, err = localSecrets(f.secret)
	return err
}

// deploy sends a program, has the settings name it, and then a site.
func (f *deployFlags) deploy(ctx context.Context, a *asker, check CheckProgram, name, file string) error {
	image, err := f.image(file)
	if err != nil {
		return err
	}
	f.program.Plain = f.files != "" || !rootfs.IsArchive(image)
	if f.program.Secrets, err = readSecrets(f.secrets); err != nil {
		return err
	}
	settings, at, err := a.settings(ctx)
	if err != nil {
		return err
	}
	hash := feed.HashOf(image)
	f.program.Image = programs.ImageHash + hash.String()
	if err := f.try(ctx, a, check, name, file, settings); err != nil {
		return err
	}
	if _, err := a.ask.PutImage(ctx, hash, bytes.NewReader(image)); err != nil {
		return err
	}
	if f.program.Secrets, err = a.sendSecrets(ctx, name, f.secrets); err != nil {
		return err
	}
	changed, err := amend.SetProgram(settings, name, f.program)
	if err != nil {
		return fmt.Errorf("the network's settings: %w", err)
	}
	if f.message == "" {
		f.message = fmt.Sprintf("program %s is %s", name, f.program.Image[:len(programs.ImageHash)+12])
	}
	if err := f.apply(ctx, a, networkDocument, changed, at); err != nil || f.site == "" {
		return err
	}
	site, err := a.ask.Site(ctx, config.SiteName(f.site))
	if err != nil {
		return err
	}
	_, text := cutRevision([]byte(site.YAML))
	if text, err = amend.SetRule(text, name, pathsOf(f.path)); err != nil {
		return fmt.Errorf("site %s: %w", f.site, err)
	}
	return f.apply(ctx, a, f.site, text, site.Revision)
}

// try starts the program here as the settings would have it, with the files of its secrets in their places.
func (f *deployFlags) try(ctx context.Context, a *asker, check CheckProgram, name, file, settings string) error {
	changed, err := amend.SetProgram(settings, name, f.program)
	if err != nil {
		return fmt.Errorf("the network's settings: %w", err)
	}
	if f.noCheck {
		return nil
	}
	kept, err := keptSecrets(changed, name)
	if err != nil {
		return err
	}
	if len(kept) > 0 {
		fmt.Fprintf(a.notes, "%s isn't started on this machine, because control alone has its secret %s; an edge tries it\n", file, strings.Join(kept, ", "))
		return nil
	}
	if err := check(ctx, name, file, f.files, changed); err != nil {
		return fmt.Errorf("%s can't be deployed, and nothing was changed: %w", file, err)
	}
	return nil
}

// pathsOf is what a rule writes for a path with all below.
func pathsOf(path string) []string {
	path = strings.TrimSuffix(path, "/")
	switch {
	case strings.Contains(path, "*"):
		return []string{path}
	case path == "":
		return []string{"/*"}
	}
	return []string{path, path + "/*"}
}

// readImage reads a program that control would take.
func readImage(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil, fmt.Errorf("%s is no program; name the file of a static Linux program", file)
	}
	image, err := io.ReadAll(io.LimitReader(f, feed.ObjectMax+1))
	if err == nil && len(image) > feed.ObjectMax {
		err = fmt.Errorf("%s has more than %d MiB; strip it (go build -ldflags=-s)", file, feed.ObjectMax>>20)
	}
	return image, err
}

// image is what is sent for a file. An archive that no edge could use, whatever the settings say, is refused.
func (f *deployFlags) image(file string) ([]byte, error) {
	var unread error
	image, err := rootfs.Make(file, f.files, func(name string) (image []byte, err error) {
		image, unread = readImage(name)
		return image, unread
	})
	if unread != nil {
		return nil, unread
	}
	if err == nil && rootfs.IsArchive(image) {
		var root *rootfs.FS
		if root, err = rootfs.Read(image); err == nil && len(root.Programs()) == 0 {
			err = rootfs.ErrNoProgram
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return image, nil
}

// apply has one document hold, and waits for its roll-out.
func (f *applyFlags) apply(ctx context.Context, a *asker, name, text string, base uint64) error {
	r, err := a.show.Apply(ctx, api.ApplyRequest{
		Documents: []api.Document{{Name: name, YAML: text, Base: &base}}, Message: f.message, Emergency: f.emergency, Wait: f.emergency && !f.noWait,
	})
	if err != nil {
		return err
	}
	if err := a.applied(ctx, r, f); err != nil || !f.emergency || f.noWait || name != networkDocument {
		return err
	}
	return a.held(ctx, r.Documents[0].Revision)
}

const (
	heldWithin = time.Minute
	heldEvery  = 300 * time.Millisecond
)

// held waits until all live edges have the settings: after an emergency nobody else does, and the image of a program may take its time.
func (a *asker) held(ctx context.Context, revision uint64) error {
	for deadline := time.Now().Add(heldWithin); ; {
		nodes, err := a.ask.Nodes(ctx)
		if err != nil {
			return err
		}
		late, refused := lateEdges(nodes, revision)
		switch {
		case len(late) == 0:
			return nil
		case refused, time.Now().After(deadline):
			return fmt.Errorf("not all edges have it:\n%s", strings.Join(late, "\n"))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(heldEvery):
		}
	}
}

// lateEdges are the live edges that don't have a revision of the settings, with what they say of it; refused: one never will.
func lateEdges(nodes []api.NodeStatus, revision uint64) (late []string, refused bool) {
	for _, n := range nodes {
		if !n.Live || n.Report == nil || !slices.Contains(n.Roles, feed.RoleEdge) || n.Report.Holds[feed.KeyNetwork] >= revision {
			continue
		}
		why := fmt.Sprintf("it has revision %d", n.Report.Holds[feed.KeyNetwork])
		for _, r := range n.Report.Refused {
			if r.Key == feed.KeyNetwork && r.Ref.Revision == revision {
				why, refused = r.Why, true
			}
		}
		if len(n.Report.Alerts) > 0 {
			why += "; " + n.Report.Alerts[0]
		}
		late = append(late, fmt.Sprintf("%s: %s", n.Name, why))
	}
	return late, refused
}

// settings are the network's as they hold, and their revision.
func (a *asker) settings(ctx context.Context) (text string, revision uint64, err error) {
	all, err := a.ask.History(ctx, networkDocument)
	if err != nil {
		return "", 0, err
	}
	for _, r := range all {
		if r.State == "current" {
			text, err := a.settingsAt(ctx, r.Number)
			return text, r.Number, err
		}
	}
	return "", 0, errors.New("the network's settings have no revision that holds; see wherry history network")
}

func (a *asker) settingsAt(ctx context.Context, revision uint64) (string, error) {
	r, err := a.ask.Revision(ctx, networkDocument, revision)
	if err != nil {
		return "", err
	}
	_, text := cutRevision([]byte(r.YAML))
	return text, nil
}

func newProgramRollbackCommand(flags Flags) *cobra.Command {
	var f applyFlags
	c := &cobra.Command{
		Use: "rollback NAME", Short: "Make a program what it was before its last change, through a roll-out", Args: ExactlyOne("name of a program"),
		Long: `Looks through the earlier revisions of the network's settings for the last one that held in which the program was another, image or settings, and makes it so
again. Nothing else of the settings goes back, and no site changes.`,
		Example: "  wherry program rollback cart -m 'it loses orders'",
	}
	f.addRollout(c)
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error { return f.rollBack(ctx, a, args[0]) })
}

// rollBackMost is how many revisions are looked through. Control keeps the images of fewer.
const rollBackMost = 16

func (f *applyFlags) rollBack(ctx context.Context, a *asker, name string) error {
	settings, at, err := a.settings(ctx)
	if err != nil {
		return err
	}
	now, err := amend.OfProgram(settings, name)
	if err != nil {
		return fmt.Errorf("%s: %w; wherry site show network has those that there are", name, err)
	}
	all, err := a.ask.History(ctx, networkDocument)
	if err != nil {
		return err
	}
	for i, looked := 0, 0; i < len(all) && looked < rollBackMost; i++ {
		r := &all[i]
		if r.Number >= at || r.State == "reverted" {
			continue
		}
		looked++
		before, err := a.settingsAt(ctx, r.Number)
		if err != nil {
			return err
		}
		was, err := amend.OfProgram(before, name)
		if errors.Is(err, amend.ErrNoProgram) || err == nil && was == now {
			continue
		}
		if err == nil {
			settings, err = amend.RestoreProgram(settings, name, before)
		}
		if err != nil {
			return err
		}
		if f.message == "" {
			f.message = fmt.Sprintf("program %s as in revision %d", name, r.Number)
		}
		return f.apply(ctx, a, networkDocument, settings, at)
	}
	return fmt.Errorf("the last %d revisions of the settings have no other %s: deploy the file that you want", rollBackMost, name)
}
