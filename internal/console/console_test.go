package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/control/api"
)

var rewrite = flag.Bool("rewrite", false, "write what the commands of testdata/*.txt print back into them")

// office is where commands are typed: a folder, and a network that is asked.
type office struct {
	*desk
	server, token string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{desk: &desk{}, token: "root"}
	server := httptest.NewServer(api.NewHandler(o.desk, api.Options{Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(server.Close)
	o.server = server.URL
	return o
}

// try is what becomes of programs on this machine.
func (o *office) try(_ context.Context, name, file, _, settings string) error {
	if strings.Contains(file, "crashes") {
		return errors.New("it exited with status 2")
	}
	dir, err := os.Getwd()
	o.say("try %s of %s by %q", name, file, strings.ReplaceAll(settings, dir, "DIR"))
	return err
}

// enter runs one command line; what it prints is what a terminal would show, with the exit status.
func (o *office) enter(ctx context.Context, stdin string, args ...string) (out, notes string, status int) {
	var stdout, stderr bytes.Buffer
	root := &cobra.Command{Use: "wherry", SilenceUsage: true, SilenceErrors: true}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return UsageError{err} })
	flags := func(c *cobra.Command) (Find, *bool) {
		asJSON := c.Flags().Bool("json", false, "")
		return func(context.Context, *url.URL) (string, string, *http.Client, error) {
			return o.server, o.token, &http.Client{}, nil
		}, asJSON
	}
	root.AddCommand(Commands(flags)...)
	root.AddCommand(group("program", "", ProgramCommands(flags, o.try)...))
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	err := root.ExecuteContext(ctx)
	var usage UsageError
	switch {
	case err == nil:
	case errors.Is(err, ErrReported):
		status = 1
	case errors.As(err, &usage), errors.Is(err, ErrTrouble):
		status = 2
		fmt.Fprintln(&stderr, "wherry:", err)
	default:
		status = 1
		fmt.Fprintln(&stderr, "wherry:", err)
	}
	return stdout.String(), strings.ReplaceAll(stderr.String(), o.server, "SERVER"), status
}

// TestScripts types what stands behind $ (and keeps what stands behind ##) in testdata/*.txt, in a copy of testdata/files, and compares what comes: output, then lines of
// standard error behind !, then what control was asked behind >, then the exit status if it isn't 0.
// `go test ./internal/console -run TestScripts -rewrite` fills them in.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for i, name := range files {
		if files[i], err = filepath.Abs(name); err != nil {
			t.Fatal(err)
		}
	}
	from, err := filepath.Abs("testdata/files")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
			t.Chdir(dir)
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for line := range strings.Lines(string(raw)) {
				switch {
				case strings.HasPrefix(line, "## "), line == "\n" && !strings.HasSuffix(got.String(), "\n\n"):
					got.WriteString(line)
				case strings.HasPrefix(line, "$ wherry "):
					got.WriteString(line)
					got.WriteString(transcript(t, strings.Fields(line)[2:]))
				}
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got.String() != string(raw) {
				t.Errorf("got\n%s\nwant\n%s", got.String(), raw)
			}
		})
	}
}

func transcript(t *testing.T, args []string) string {
	o := newOffice(t)
	o.rollouts = []api.Rollout{
		{ID: "r7", Subject: "site/shop", From: 3, To: 4, State: "running", Phase: "canary", Author: "ci", Started: past(1)},
		{ID: "r6", Subject: "software", Version: "1.4.0", State: "done", Phase: "all", Author: "ana", Started: past(9)},
		{ID: "r5", Subject: "site/blog", To: 1, State: "reverted", Phase: "canary", Author: "ci", Started: past(60), Why: "errors rose from 0.1 % to 34 % in 12 s on lisbon-1"},
	}
	out, notes, status := o.enter(t.Context(), shopYAML, args...)
	var b strings.Builder
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "\n") {
			line = ".\n" // an empty line, which would end what is printed
		}
		b.WriteString(ended(line))
		for _, r := range line {
			if n := len([]rune(line)); n > 121 && !strings.Contains(line, "{") && r != 0 {
				t.Errorf("%v: a line of %d columns: %s", args, n-1, line)
				break
			}
		}
	}
	for line := range strings.Lines(notes) {
		b.WriteString("! " + ended(line))
	}
	for _, line := range o.said {
		b.WriteString("> " + line + "\n")
	}
	if status != 0 {
		fmt.Fprintf(&b, "exit %d\n", status)
	}
	return b.String()
}

// Whoever has no token, or asks the wrong one, is told what to do.
func TestWhomItAsks(t *testing.T) {
	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, tt := range []struct {
		name, server, token string
		args                []string
		want                string
	}{
		{"wrong token", "", "nope", []string{"status"}, "Unauthorized: the token is none of this network's. wherry token create makes one."},
		{"not allowed", "", "purger", []string{"site", "list"}, "it needs the verb read. Use one that may: wherry token create NAME --can read."},
		{"nobody there", gone.URL, "root", []string{"status"}, "Nothing listens at SERVER. Is wherry running there"},
		{"somebody else", page.URL, "root", []string{"rollback", "shop"}, "What answers at SERVER is no API of Wherry"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t)
			o.token = tt.token
			if tt.server != "" {
				o.server = tt.server
			}
			if out, notes, status := o.enter(t.Context(), "", tt.args...); status != 1 || out != "" || !strings.Contains(notes, tt.want) {
				t.Errorf("exit %d with %q and %q, want %q", status, out, notes, tt.want)
			}
		})
	}
	o := newOffice(t)
	o.token = "purger"
	if _, notes, status := o.enter(t.Context(), "", "purge", "--tag", "a"); status != 0 {
		t.Errorf("a token that may purge: %d, %s", status, notes)
	}
}

// Control may be out of reach for a while: the roll-out goes on, and so does following it.
func TestFollowThroughAFailover(t *testing.T) {
	o := newOffice(t)
	o.flaky = true
	out, notes, status := o.enter(t.Context(), shopYAML, "apply", "-f", "-")
	if status != 0 || !strings.Contains(out, "done in 20s") || !strings.Contains(notes, "no leader") || !strings.Contains(notes, "trying again") {
		t.Errorf("exit %d with\n%s\n%s", status, out, notes)
	}
}

// Who stops following leaves the roll-out running, and is told how to follow it.
func TestStopFollowing(t *testing.T) {
	o := newOffice(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.polled = func(polls int) {
		if polls == 2 { // it would end at the fourth look
			cancel()
		}
	}
	_, notes, status := o.enter(ctx, shopYAML, "apply", "-f", "-")
	if status != 1 || !strings.Contains(notes, "wherry rollout status r7") || !strings.Contains(notes, "wherry rollout abort r7") {
		t.Errorf("exit %d with %q", status, notes)
	}
}

// With --json what is printed is the answer, then each roll-out as it ended.
func TestJSONOfAnApply(t *testing.T) {
	o := newOffice(t)
	out, _, status := o.enter(t.Context(), shopYAML, "apply", "-f", "-", "-m", "bad", "--json")
	d := json.NewDecoder(strings.NewReader(out))
	var result api.ApplyResult
	var rollout api.Rollout
	if err := errors.Join(d.Decode(&result), d.Decode(&rollout)); err != nil || d.More() || status != 1 {
		t.Fatalf("%v, exit %d with\n%s", err, status, out)
	}
	if len(result.Rollouts) != 1 || rollout.ID != "r-bad" || rollout.State != "reverted" {
		t.Errorf("%+v, %+v", result, rollout)
	}
}

func TestSteerWithoutOne(t *testing.T) {
	for _, tt := range []struct {
		rollouts []api.Rollout
		want     string
	}{
		{nil, "no roll-out is under way"},
		{[]api.Rollout{{ID: "a", State: "running"}, {ID: "b", State: "paused"}}, "say which: a, b"},
	} {
		o := newOffice(t)
		o.rollouts = tt.rollouts
		if _, notes, status := o.enter(t.Context(), "", "rollout", "pause"); status != 1 || !strings.Contains(notes, tt.want) {
			t.Errorf("exit %d with %q, want %q", status, notes, tt.want)
		}
	}
}

// What export writes, apply takes, on the revisions that were exported.
func TestExportIsApplied(t *testing.T) {
	for _, secrets := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "network")
		o := newOffice(t)
		args := []string{"export", "--dir", dir}
		if secrets {
			args = append(args, "--secrets")
		}
		if _, notes, status := o.enter(t.Context(), "", args...); status != 0 {
			t.Fatal(notes)
		}
		text, err := os.ReadFile(filepath.Join(dir, "sites", "shop.yaml"))
		if err != nil || !strings.HasPrefix(string(text), "# revision: 3\nname: shop") {
			t.Errorf("%q, %v", text, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "sites/tls/key.pem")); (err == nil) != secrets {
			t.Errorf("with secrets %v: key %v", secrets, err)
		}
		documents, err := readDocuments(nil, []string{dir}, &bytes.Buffer{})
		if err != nil || len(documents) != 3 {
			t.Fatalf("%d documents, %v", len(documents), err)
		}
		if d := documents[2]; d.Name != "shop" || d.Base == nil || *d.Base != 3 || strings.Contains(d.YAML, "revision") || len(d.Files) != map[bool]int{false: 1, true: 2}[secrets] {
			t.Errorf("%+v", d)
		}
	}
}

// The one file of an export says the same as the folder.
func TestExportInOneFile(t *testing.T) {
	o := newOffice(t)
	out, notes, status := o.enter(t.Context(), "", "export")
	if status != 0 || !strings.Contains(out, "zone: cdn.test") {
		t.Fatalf("%s\n%s", out, notes)
	}
	documents, err := readDocuments(strings.NewReader(out), []string{"-"}, &bytes.Buffer{})
	if err != nil || len(documents) != 3 {
		t.Fatalf("%d documents, %v in\n%s", len(documents), err, out)
	}
	for i, base := range []uint64{6, 2, 3} {
		if d := documents[i]; d.Base == nil || *d.Base != base || strings.Contains(d.YAML, "revision") {
			t.Errorf("%+v, want base %d", d, base)
		}
	}
}

// Names in an export come from elsewhere: none leads out of the folder, nor does a link in it.
func TestExportStaysInItsFolder(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../x", "/tmp/x", "a/../../x", "", "link/x", "."} {
		if err := writeExport(dir, api.Export{Files: []api.File{{Name: name, Content: []byte("x")}}}); err == nil {
			t.Errorf("%q was written", name)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside: %v, %v", left, err)
	}
}

// A backup that breaks off leaves the one before.
func TestBackupIsWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "backup")
	o := newOffice(t)
	if out, notes, status := o.enter(t.Context(), "", "control", "backup", file); status != 0 || !strings.Contains(out, "100 bytes") {
		t.Fatalf("%s %s", out, notes)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write([]byte("half"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer broken.Close()
	o.server = broken.URL
	_, notes, status := o.enter(t.Context(), "", "control", "backup", file)
	if data, err := os.ReadFile(file); status != 1 || !strings.Contains(notes, "broke off") || string(data) != "before" || err != nil {
		t.Errorf("exit %d, %q, left %q, %v", status, notes, data, err)
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// FuzzRevisionLine: what is cut and put back is the same, and never more than comments are cut.
func FuzzRevisionLine(f *testing.F) {
	for _, text := range []string{shopYAML, "# revision: 3\n" + shopYAML, "---\n# a\n#revision:4\nname: x", "name: x\n# revision: 3\n", "# revision: 99999999999999999999\n", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		base, cut := cutRevision([]byte(text))
		if base == nil && cut != text {
			t.Errorf("%q became %q", text, cut)
		}
		again, same := cutRevision([]byte(withRevision(text, 7)))
		if again == nil || *again != 7 || same != cut {
			t.Errorf("%q with a revision became %q on %v", text, same, again)
		}
	})
}
