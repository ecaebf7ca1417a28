// Command wherry is an application delivery network in one binary: run it with --help.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/internal/console"
	"github.com/wherry/wherry/internal/program/lines"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "dev"

func main() {
	os.Exit(run(os.Args[1:]))
}

// run returns the exit status: 0, 1 for an error, 2 for a command line that isn't one; of wherry program run, the program's.
func run(args []string) int {
	root := newRootCommand()
	root.SetArgs(console.Arrows(args))
	return execute(root, os.Stderr)
}

func execute(root *cobra.Command, stderr io.Writer) int {
	err := root.Execute()
	var usage usageError
	var line console.UsageError
	var program lines.ExitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &program):
		return int(program)
	case errors.Is(err, errReported), errors.Is(err, console.ErrReported):
		return 1
	case errors.Is(err, console.ErrTrouble):
		fmt.Fprintf(stderr, "wherry: %v\n", err)
		return 2
	case errors.As(err, &usage), errors.As(err, &line):
		fmt.Fprintf(stderr, "wherry: %v\nFor help: wherry --help\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "wherry: %v\n", err)
	return 1
}

// errReported ends a command that has already said what is wrong.
var errReported = errors.New("reported")

// usageError is a command line that can't be understood.
type usageError struct{ error }

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:     "wherry",
		Version: versionText(),
		Short:   "An application delivery network on your own machines",
		Long: `Wherry puts edges that cache and accelerate between your users and your servers, and DNS that maps each user
to the best edge.

Start with a whole network on this machine:   wherry dev
Put it in front of a server that you run:     wherry dev --origin http://127.0.0.1:9000
Run it for real:                              wherry config sample > wherry.yaml
                                              wherry edge --config wherry.yaml`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          oneOfItsCommands,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetVersionTemplate("wherry {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newDevCommand(), newEdgeCommand(), newConfigCommand(), newTraceCommand(), newInitCommand(), newJoinCommand(), newRunCommand(), newLabCommand(), newBenchCommand(), newDoctorCommand(), newProgramCommand(), newKVCommand(), newMonitorCommand(), newVersionCommand())
	root.AddCommand(console.Commands(consoleFlags)...)
	addRestoreCommand(root)
	addDeployCommands(root)
	addCompletionCommand(root)
	return root
}

// addCompletionCommand adds cobra's own, which takes any word for a shell: without a function to run, it never looks at them.
func addCompletionCommand(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Args = oneOfItsCommands
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		for _, shell := range c.Commands() {
			shell.Args = noArgs
		}
	}
}

// What commands take, in the words of the console's.
func oneOfItsCommands(c *cobra.Command, args []string) error {
	return console.OneOfItsCommands(c, args)
}
func noArgs(c *cobra.Command, args []string) error { return console.NoArgs(c, args) }
func exactlyOne(what string) cobra.PositionalArgs  { return console.ExactlyOne(what) }

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the Go release and the commit that it was built from",
		Args:  noArgs,
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintln(c.OutOrStdout(), "wherry", versionText())
		},
	}
}

func versionText() string {
	text := version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return text
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			text += " " + s.Value[:12]
		}
	}
	return text + " " + info.GoVersion
}
