package programs

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/compute/image"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/rootfs"
)

// Options of a Set.
type Options struct {
	File     string                // the configuration, for messages; image files count from its directory
	State    string                // the node's folder, which has the images that are named by their hash
	Machine  backend.Kind          // auto when empty
	Memory   int64                 // bytes of all programs together; 1 GiB when 0
	Log      *slog.Logger          // slog.Default() when nil
	Registry prometheus.Registerer // nil: nobody counts
	Now      func() time.Time      // time.Now when nil
	Values   http.Handler          // the key-value store of the Namespace of a request's context; nil: there is none
	// Monitor is the command that has programs run in a process of its own (apart.Options.Command); nil: they run in this one.
	Monitor []string
}

// Set is the programs of a node.
type Set struct {
	o     Options
	host  host
	store *image.Store

	mu       sync.Mutex
	deployed map[string]deployed
	said     map[string]*ring
}

// deployed is what is known of a program beside its counts.
type deployed struct {
	spec   programs.Program
	image  string // its hash
	report compute.Report
}

// New returns a Set without programs.
func New(o Options) (*Set, error) {
	o.Log = cmp.Or(o.Log, slog.Default())
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Set{o: o, store: image.Open(filepath.Join(o.State, image.Dir)), deployed: map[string]deployed{}, said: map[string]*ring{}}
	var err error
	if s.host, err = newHost(o.Monitor, compute.Options{Machine: o.Machine, Memory: o.Memory, Gate: http.HandlerFunc(s.answer), Log: o.Log, Now: o.Now, Said: s.hear}); err != nil {
		return nil, err
	}
	if o.Registry != nil {
		o.Registry.MustRegister(collector{s.host})
	}
	return s, nil
}

// Run has programs answer until ctx is done.
func (s *Set) Run(ctx context.Context) error {
	return errors.Join(s.host.Run(ctx), s.host.Close())
}

// Close ends a Set that isn't run.
func (s *Set) Close() error { return s.host.Close() }

// Change is the programs of a configuration, ready to take the place of those before. It ends by Commit or Drop.
type Change struct {
	set    *Set
	change change
	next   map[string]deployed
}

// Prepare has the programs of a configuration ready, and changes nothing yet. The error is config.Problems where a program can't be used.
func (s *Set) Prepare(ctx context.Context, snapshot *config.Snapshot) (*Change, error) {
	c := &Change{set: s, next: map[string]deployed{}}
	var all []compute.Program
	var problems config.Problems
	for _, name := range slices.Sorted(maps.Keys(snapshot.Programs)) {
		spec := snapshot.Programs[name]
		data, problem := s.read(snapshot, string(name), &spec)
		problems = append(problems, problem...)
		environment, secrets, wrong := s.secrets(snapshot, string(name), &spec)
		problems = append(problems, wrong...)
		c.next[string(name)] = deployed{spec: spec, image: image.Sum(data)}
		p := program(string(name), &spec, data)
		p.Env, p.Secrets = environment, secrets
		all = append(all, p)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	change, err := s.host.Prepare(ctx, all)
	if err != nil {
		return nil, s.problems(snapshot, err)
	}
	c.change = change
	return c, nil
}

// read returns an image, from its file and that of its files, or from the node's own.
func (s *Set) read(snapshot *config.Snapshot, name string, spec *programs.Program) ([]byte, config.Problems) {
	var data []byte
	var err error
	if hash, ok := strings.CutPrefix(spec.Image, programs.ImageHash); ok {
		data, err = s.store.Get(hash)
	} else {
		files := spec.Files
		if files != "" {
			files = FileOf(s.o.File, files)
		}
		data, err = rootfs.Make(FileOf(s.o.File, spec.Image), files, image.Read)
	}
	var wrong *rootfs.FilesError
	var path *fs.PathError
	switch {
	case errors.As(err, &wrong):
		what := spec.Files + " can't be used: " + wrong.Err.Error()
		return nil, config.Problems{s.problem(snapshot, "programs."+name+".files", what, "name a directory, from that of the configuration")}
	case errors.As(err, &path):
		err = path.Err // the name is in the problem already
	}
	if err != nil {
		return nil, config.Problems{s.imageProblem(snapshot, name, err, "name a static Linux program, from the directory of the configuration; or sha256: and the hash of an image that the node has")}
	}
	return data, nil
}

// program is what compute runs, but for its environment.
func program(name string, p *programs.Program, data []byte) compute.Program {
	l := &p.Limits
	return compute.Program{
		Name: name, Tenant: p.Tenant, Image: data, Executable: p.Executable, Args: append([]string{cmp.Or(p.Executable, name)}, p.Args...),
		Isolation: compute.Isolation(p.Isolation), Machine: backend.Kind(p.Machine), Listen: p.Listen, Memory: p.Memory,
		Limits: compute.Limits{CPU: l.CPU, Wall: l.Wall, Input: l.Input, Output: l.Output, Concurrency: l.Concurrency, Subrequests: cmp.Or(l.Subrequests, -1), Idle: l.Idle},
	}
}

// problems are the reasons of an error of Host.Prepare, each with its place in the configuration.
func (s *Set) problems(snapshot *config.Snapshot, err error) error {
	var all config.Problems
	var walk func(error)
	walk = func(err error) {
		if d, ok := err.(*compute.DeployError); ok {
			all = append(all, s.imageProblem(snapshot, d.Name, d.Err, "try it with `wherry program run`"))
		} else if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, one := range joined.Unwrap() {
				walk(one)
			}
		}
	}
	walk(err)
	if len(all) == 0 {
		return err
	}
	return all
}

// imageProblem says what is wrong with a program, where the configuration names its image.
func (s *Set) imageProblem(snapshot *config.Snapshot, name string, err error, instead string) config.Problem {
	what := snapshot.Programs[config.ProgramName(name)].Image + " can't be used: " + strings.TrimSpace(err.Error())
	return s.problem(snapshot, "programs."+name+".image", what, instead)
}

// problem says what is wrong with a file of a program, where the configuration names it.
func (s *Set) problem(snapshot *config.Snapshot, path, what, instead string) config.Problem {
	p := config.Problem{File: s.o.File, Line: 1, Column: 1, Path: path, What: what, Instead: instead}
	for _, ref := range snapshot.Files() {
		if ref.Path == path {
			p.Line, p.Column = ref.Line, ref.Column
		}
	}
	return p
}

// Commit has the programs answer, and lets swap have them asked; those that the configuration hasn't any more go once it has returned.
func (c *Change) Commit(swap func()) {
	s := c.set
	s.mu.Lock()
	for name, report := range c.change.Reports() {
		d := c.next[name]
		if before, ok := s.deployed[name]; ok && report.Unchanged {
			report.Boot = before.report.Boot
		}
		d.report = report
		c.next[name] = d
	}
	for name, d := range c.next {
		if s.said[name] == nil {
			s.said[name] = &ring{}
		}
		if !d.report.Unchanged {
			s.o.Log.Info("program deployed", "program", name, "image", programs.ImageHash+d.image, "machine", d.report.Machine, "boot", d.report.Boot, "snapshot", d.report.Snapshot)
		}
	}
	maps.DeleteFunc(s.said, func(name string, _ *ring) bool { _, ok := c.next[name]; return !ok })
	s.deployed = c.next
	s.mu.Unlock()
	c.change.Commit(swap)
}

// Drop leaves all as it is.
func (c *Change) Drop() error { return c.change.Drop() }

// Upstream asks the program of a name. What it asks while it answers goes to site, if it isn't nil; who asks it says in X-Forwarded-For and
// X-Forwarded-Proto for whom.
func (s *Set) Upstream(name config.ProgramName, site http.Handler) http.RoundTripper {
	return upstream{RoundTripper: s.host.RoundTripper(string(name)), name: string(name), site: site}
}
