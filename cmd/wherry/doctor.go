package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/compute/apart"
	"github.com/wherry/wherry/internal/confine"
	"github.com/wherry/wherry/vmm/backend"
)

func newDoctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine offers, and what is missing",
		Args:  oneOfItsCommands,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newDoctorMachineCommand())
	return c
}

func newDoctorMachineCommand() *cobra.Command {
	json := false
	c := &cobra.Command{
		Use:   "machine",
		Short: "Say which virtual machine programs run on here, and why",
		Long: `Tries this host's KVM with small guests of its own, and prints what it does and which machine programs run on: KVM, at the processor's speed, or the
emulator, which needs nothing of the host. Where KVM can't be used it says why and what to do. Then it starts the process that runs programs, and prints how that is
kept from everything else.`,
		Example: `  wherry doctor machine
  wherry doctor machine --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var report struct {
				backend.Host
				Confinement confine.Report `json:"confinement"` // of what runs programs
			}
			var err error
			if report.Host, report.Confinement, err = apart.Try(c.Context(), apart.Options{Command: monitorCommand}); err != nil {
				return err
			}
			if json {
				return printJSON(c, report)
			}
			if err := printMachine(c.OutOrStdout(), report.Host); err != nil {
				return err
			}
			return printConfinement(c.OutOrStdout(), report.Confinement)
		},
	}
	c.Flags().BoolVar(&json, "json", false, "print JSON")
	return c
}

func printMachine(out io.Writer, h backend.Host) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, value, means string) { fmt.Fprintf(w, "%s\t%s\t%s\n", name, value, means) }
	line("machine", string(h.Used), h.Why)
	if d := h.Details; d != nil {
		line("kvm", "yes", "/dev/kvm")
		line("ring 0", d.Ring0, choose(d.Ring0 == "native", "privileged code runs on the processor", "the kernel emulates privileged code; programs run natively"))
		line("page tables", d.PageTables, choose(d.PageTables == "nested", "the processor's", "the kernel keeps its own: changes are slow"))
		line("flush", d.Flush, choose(d.StaleEntries, "a changed entry is seen after a flush only", "a changed entry was seen at once"))
		line("cpuid", choose(d.CPUIDTrapped, "trapped", "not trapped"), choose(d.CPUIDTrapped, "programs see the features they are told", "programs see the processor's own features"))
		line("single steps", choose(d.SingleSteps, "yes", "no"), choose(d.SingleSteps, "programs can be debugged", "to debug a program use the emulator"))
		line("clock", choose(d.HostCounter, "the counter", "calls"), choose(d.HostCounter, "programs read the time without an exit", "each reading of the time is an exit"))
		line("written pages", d.DirtyLog, "a page stays writable after its first write, and is copied back at each reset")
		line("addresses", fmt.Sprintf("%d bits", d.AddressBits), "of guest-physical memory")
		line("states", d.ExtendedStates, "XCR0: what of x87, SSE, AVX and AVX-512 programs have")
		line("exit", fmt.Sprintf("%.1f µs", d.ExitMicroseconds), "CPU time of a system call's way to the monitor and back")
	} else {
		line("kvm", "no", h.WhyNot)
	}
	return w.Flush()
}

// printConfinement says what the process that runs programs can't do.
func printConfinement(out io.Writer, r confine.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w)
	for _, m := range r {
		fmt.Fprintf(w, "%s\t%s\t%s\n", m.Name, choose(m.Done, "confined", "not confined"), m.Text)
	}
	return w.Flush()
}

func choose(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}
