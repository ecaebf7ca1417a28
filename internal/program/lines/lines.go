package lines

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/internal/console"
	"github.com/wherry/wherry/internal/linkem"
	"github.com/wherry/wherry/internal/program"
	"github.com/wherry/wherry/vmm/linux"
)

// Commands are those of wherry program that run one on this host.
func Commands() []*cobra.Command {
	return []*cobra.Command{newRunCommand(), newBenchCommand(), newSnapshotCommand()}
}

// aProgram is for commands whose first argument is one.
func aProgram(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return console.UsageError{Err: errors.New("say which program: wherry program run ./hello < request.http")}
	}
	return nil
}

// flags are those of all commands that run a program.
type flags struct {
	machine, memory, output string
	args                    string
	env                     []string
	cpu, wall               time.Duration
	instructions            uint64
	resident, swap          string
	files, executable       string
}

func (f *flags) add(c *cobra.Command) {
	c.Flags().SetInterspersed(false) // what stands behind PROGRAM is the program's
	c.Flags().StringVar(&f.machine, "machine", "auto", "kvm, emulator, or auto: kvm where the host has it (wherry doctor machine)")
	c.Flags().StringVar(&f.args, "args", "", "the program's arguments, separated by spaces; those behind PROGRAM follow them")
	c.Flags().StringArrayVar(&f.env, "env", nil, "a variable of its environment, NAME=value; may be given again")
	c.Flags().StringVar(&f.files, "files", "", "a `directory` that the program sees as /, read-only, beside itself, /program")
	c.Flags().StringVar(&f.executable, "executable", "", "where the program is, if PROGRAM is a tar archive or a directory: a `path` in it; else /program or the only one")
	c.Flags().StringVar(&f.memory, "memory", "256MiB", "the memory that it may use")
	c.Flags().StringVar(&f.resident, "resident", "", "how much of it is in this host's memory at once, like 16MiB: pages are replaced; all of it if not given")
	c.Flags().StringVar(&f.swap, "swap", "", "where written pages go above --resident: a directory, or auto; on the emulator")
	c.Flags().StringVar(&f.output, "output", "", "how much it may write, like 10MiB; no limit if not given")
	c.Flags().DurationVar(&f.cpu, "cpu", 0, "the CPU time that it may use, like 50ms; 0 is no limit")
	c.Flags().DurationVar(&f.wall, "wall", 0, "how long it may take, like 10s; 0 is no limit")
	c.Flags().Uint64Var(&f.instructions, "instructions", 0, "the instructions that it may execute, on the emulator; 0 is no limit")
}

// options checks all flags and names each that is wrong.
func (f *flags) options(args []string) (program.Options, error) {
	var errs []error
	bytes := func(flag, text string) int64 {
		n, err := linkem.ParseBytes(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", flag, err))
		}
		return n
	}
	o := program.Options{Machine: f.machine, Program: args[0], Files: f.files, Executable: f.executable, Linux: linux.Options{
		Args:   append(append([]string{cmp.Or(f.executable, args[0])}, strings.Fields(f.args)...), args[1:]...),
		Env:    f.env,
		Memory: bytes("memory", f.memory),
		Limits: linux.Limits{CPU: f.cpu, Wall: f.wall, Instructions: f.instructions},
	}}
	if f.output != "" {
		o.Linux.Limits.Files.Output = bytes("output", f.output)
	}
	o.Paging.Swap = f.swap
	if f.resident != "" {
		o.Paging.Resident = bytes("resident", f.resident)
	} else if f.swap != "" {
		errs = append(errs, errors.New("--swap: pages go there above --resident; give that, too"))
	}
	if f.files != "" && f.executable != "" {
		errs = append(errs, errors.New("--files and --executable: PROGRAM is the program that has the files; leave --executable out"))
	}
	if !slices.Contains([]string{"auto", "kvm", "emulator"}, f.machine) {
		errs = append(errs, fmt.Errorf("--machine: %q isn't one: take kvm, emulator or auto", f.machine))
	}
	for _, e := range f.env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			errs = append(errs, fmt.Errorf("--env: %q isn't NAME=value", e))
		}
	}
	if f.cpu < 0 || f.wall < 0 {
		errs = append(errs, errors.New("--cpu and --wall can't be negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return o, console.UsageError{Err: err}
	}
	return o, nil
}

func newRunCommand() *cobra.Command {
	var f flags
	var trace bool
	var debugger string
	c := &cobra.Command{
		Use:   "run [flags] PROGRAM [ARGUMENT...]",
		Short: "Run a static Linux program in a machine, with this command's standard input and output",
		Long: `Runs a static x86-64 Linux program (or a snapshot of one, or a tar archive or directory of a root file system with one) in a virtual machine: no
file of this host but those that it is given, no network, its own memory. Standard input and
output are this command's; the exit status is the program's, 128+N if signal N killed it, 124 if it passed a limit, 125 if it can never go on.`,
		Example: `  wherry program run ./cart < request.http
  wherry program run --machine emulator --trace ./hello
  wherry program run --gdb 127.0.0.1:1234 ./hello & gdb -ex 'target remote 127.0.0.1:1234'
  wherry program run --files ./site ./nginx -t
  wherry program run --executable /usr/sbin/nginx rootfs.tar -t
  wherry program run --cpu 50ms --memory 64MiB ./sort -n < numbers`,
		Args: aProgram,
		RunE: func(c *cobra.Command, args []string) error {
			o, err := f.options(args)
			if err != nil {
				return err
			}
			if trace {
				o.Linux.Trace = program.Tracer(c.ErrOrStderr())
			}
			streams := program.Streams{In: c.InOrStdin(), Out: c.OutOrStdout(), Err: c.ErrOrStderr()}
			var status int
			if debugger != "" {
				status, err = program.Debug(c.Context(), o, streams, debugger)
			} else {
				status, err = program.Run(c.Context(), o, streams)
			}
			if err == nil && status != 0 {
				err = ExitStatus(status)
			}
			return err
		},
	}
	f.add(c)
	c.Flags().StringVar(&debugger, "gdb", "", "wait for gdb at this address, like 127.0.0.1:1234, before the program begins; anybody who reaches it is let in")
	c.Flags().BoolVar(&trace, "trace", false, "print its system calls, faults and exits to standard error, like strace")
	return c
}

// ExitStatus ends this command with a program's status.
type ExitStatus int

func (s ExitStatus) Error() string { return fmt.Sprintf("the program's exit status is %d", int(s)) }

func newSnapshotCommand() *cobra.Command {
	var f flags
	var out string
	c := &cobra.Command{
		Use:   "snapshot -o FILE [flags] PROGRAM [ARGUMENT...]",
		Short: "Run a program until it reads standard input, and keep it as it is then",
		Long: `Runs a program until it reads standard input and writes a snapshot to FILE, which wherry program run and bench start from at once, here or on another
host with the same kind of machine.`,
		Args: aProgram,
		RunE: func(c *cobra.Command, args []string) error {
			o, err := f.options(args)
			if err != nil {
				return err
			}
			if out == "" {
				return console.UsageError{Err: errors.New("-o: say which file the snapshot goes to")}
			}
			return writeFile(out, func(w io.Writer) error { return program.Freeze(c.Context(), o, w) })
		},
	}
	f.add(c)
	c.Flags().StringVarP(&out, "out", "o", "", "the file")
	return c
}

// writeFile has write fill a file that appears when it is whole.
func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".snapshot-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails when it has its name
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func newBenchCommand() *cobra.Command {
	var f flags
	var isolation string
	w := program.Work{}
	var asJSON bool
	c := &cobra.Command{
		Use:   "bench [flags] PROGRAM [ARGUMENT...]",
		Short: "Measure calls of a program with the HTTP request on standard input",
		Long: `Starts a program, keeps a snapshot of it where it first reads standard input, and gives it the request on standard input again and again. A call ends where the
program reads standard input and all of the request has been read. With --isolation request the machine is taken back to the snapshot after each call,
with connection after each tenth, with instance never. Times are CPU time of the thread, the kernel's part included.

Under --isolation request programs find GOGC=off in their environment unless --env has another: memory that is thrown away needs no collection.`,
		Example: `  wherry program bench --requests 5000 ./cart < request.http
  wherry program bench --machine emulator --isolation instance --json ./signed < request.http`,
		Args: aProgram,
		RunE: func(c *cobra.Command, args []string) error {
			o, err := f.options(args)
			if err != nil {
				return err
			}
			w.Isolation = program.Isolation(isolation)
			if !slices.Contains([]program.Isolation{program.PerRequest, program.PerConnection, program.PerInstance}, w.Isolation) {
				return console.UsageError{Err: fmt.Errorf("--isolation: %q isn't one: take request, connection or instance", isolation)}
			}
			if w.Requests < 1 || w.Requests > requestsMax || w.Idle < 0 || w.Idle > requestsMax {
				return console.UsageError{Err: fmt.Errorf("--requests: give 1 to %d; --idle: 0 to %d", requestsMax, requestsMax)}
			}
			if w.Input, err = io.ReadAll(io.LimitReader(c.InOrStdin(), requestMax)); err != nil {
				return err
			}
			if len(w.Input) == 0 {
				return console.UsageError{Err: errors.New("give the request on standard input: wherry program bench ./program < request.http")}
			}
			report, err := program.Bench(c.Context(), o, w)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(report)
			}
			return printReport(c.OutOrStdout(), report)
		},
	}
	f.add(c)
	c.Flags().StringVar(&isolation, "isolation", string(program.PerRequest), "request, connection or instance: what finds the machine fresh")
	c.Flags().IntVar(&w.Requests, "requests", 1000, "how many calls")
	c.Flags().IntVar(&w.Idle, "idle", 0, "also start so many instances at once, and take the memory of each")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

const (
	requestsMax = 10_000_000
	requestMax  = 64 << 20
)

func printReport(w io.Writer, r program.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "machine\t%s\nisolation\t%s\ncalls\t%d\n", r.Machine, r.Isolation, r.Requests)
	fmt.Fprintf(t, "from file to first read\t%.0f µs\n", r.Boot)
	fmt.Fprintf(t, "new instance from snapshot\tp50 %.0f µs\tp99 %.0f µs\n", r.Start.P50, r.Start.P99)
	fmt.Fprintf(t, "call\tp50 %.1f µs\tp99 %.1f µs\tmean %.1f µs\tfirst %.1f µs\n", r.Call.P50, r.Call.P99, r.Call.Mean, r.First)
	if r.Reset.P50 > 0 {
		fmt.Fprintf(t, "reset\tp50 %.1f µs\tp99 %.1f µs\t%.1f dirty pages\n", r.Reset.P50, r.Reset.P99, r.Dirty)
	}
	fmt.Fprintf(t, "exits a call\t%.2f\t%.2f page faults\n", r.Exits, r.Faults)
	fmt.Fprintf(t, "guest's memory\t%d KiB\n", r.Pages*4)
	if r.Idle > 0 {
		fmt.Fprintf(t, "host's memory, idle instance\t%.0f KiB\tof %d instances\n", r.Instance/1024, r.Idle)
	}
	for name, n := range r.Unknown {
		fmt.Fprintf(t, "unknown system call\t%s\t%d times\n", name, n)
	}
	return t.Flush()
}
