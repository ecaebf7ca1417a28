package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/internal/console/amend"
)

func newProgramSecretCommand(flags Flags) *cobra.Command {
	return group("secret", "Set, list and remove variables of a program that nobody is shown", newSecretSetCommand(flags), newSecretListCommand(flags), newSecretRemoveCommand(flags))
}

func newSecretSetCommand(flags Flags) *cobra.Command {
	var f applyFlags
	c := &cobra.Command{
		Use: "set NAME KEY [FILE|-]", Short: "Give a variable of a program another value, through a roll-out",
		Long: `Reads the value of the variable KEY from FILE, or from standard input, sends it to control, which keeps it sealed, and changes the network's settings, below
programs.NAME.secrets, through a roll-out as wherry apply does. The settings and their history have a random name for it, not the value, which nobody is
shown. One line break at its end doesn't count.`,
		Example: `  wherry program secret set cart API_KEY ./api.key
  pass show shop/api | wherry program secret set cart API_KEY`,
		Args: between(2, 3, "the program's name, the variable's, and maybe a file"),
	}
	f.addRollout(c)
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		return f.setSecret(ctx, a, args[0], args[1], append(args, "-")[2], c.InOrStdin())
	})
}

func (f *applyFlags) setSecret(ctx context.Context, a *asker, name, variable, file string, stdin io.Reader) error {
	settings, at, err := a.settingsOf(ctx, name)
	if err != nil {
		return err
	}
	value, err := readSecret(variable, file, stdin)
	if err != nil {
		return err
	}
	id, err := a.sendSecret(ctx, name, variable, value)
	if err != nil {
		return err
	}
	changed, err := amend.SetProgram(settings, name, amend.Program{Secrets: [][2]string{{variable, id}}})
	if err != nil {
		return fmt.Errorf("the network's settings: %w", err)
	}
	return f.applySecret(ctx, a, fmt.Sprintf("program %s has another secret %s", name, variable), changed, at)
}

func (f *applyFlags) applySecret(ctx context.Context, a *asker, message, settings string, at uint64) error {
	if f.message == "" {
		f.message = message
	}
	return f.apply(ctx, a, networkDocument, settings, at)
}

// settingsOf are the network's settings, if they have a program.
func (a *asker) settingsOf(ctx context.Context, name string) (text string, revision uint64, err error) {
	text, revision, err = a.settings(ctx)
	if err == nil {
		_, err = amend.OfProgram(text, name)
	}
	if errors.Is(err, amend.ErrNoProgram) {
		err = fmt.Errorf("%s: %w; wherry program deploy makes one", name, err)
	}
	return text, revision, err
}

// readSecret reads the value of a variable from a file; - is standard input.
func readSecret(variable, file string, stdin io.Reader) ([]byte, error) {
	from := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	value, err := io.ReadAll(io.LimitReader(from, programs.SecretMax+1))
	if err != nil {
		return nil, err
	}
	if _, wrong := programs.SecretValue(value); wrong != "" {
		return nil, fmt.Errorf("the value of %s %s", variable, wrong)
	}
	return value, nil
}

// sendSecret has control keep a value, and returns what settings say for it.
func (a *asker) sendSecret(ctx context.Context, name, variable string, value []byte) (string, error) {
	s, err := a.ask.PutSecret(ctx, config.ProgramName(name), variable, bytes.NewReader(value))
	return programs.SecretName + s.ID, err
}

func newSecretListCommand(flags Flags) *cobra.Command {
	c := &cobra.Command{
		Use: "list NAME", Short: "List the secrets of a program, without their values", Args: ExactlyOne("name of a program"),
		Long: "Lists the secrets that a program has by the settings that hold. With --json also those of earlier revisions, as far as control keeps them.",
	}
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		settings, _, err := a.settingsOf(ctx, args[0])
		if err != nil {
			return err
		}
		secrets, err := amend.Secrets(settings, args[0])
		if err != nil {
			return err
		}
		all, err := a.show.Secrets(ctx, config.ProgramName(args[0]))
		if err != nil || a.json {
			return err
		}
		var rows [][]string
		for _, variable := range slices.Sorted(maps.Keys(secrets)) {
			id, _ := programs.KeptSecret(secrets[variable])
			row := []string{variable, "-", "-", id} // it may have been set for another program
			for _, s := range all {
				if s.ID == id {
					row[1], row[2] = a.ago(s.At), s.Author
				}
			}
			rows = append(rows, row)
		}
		a.table("VARIABLE SET BY ID", rows)
		return nil
	})
}

func newSecretRemoveCommand(flags Flags) *cobra.Command {
	var f applyFlags
	c := &cobra.Command{
		Use: "remove NAME KEY", Short: "Take a secret away from a program, through a roll-out", Args: between(2, 2, "the program's name and the variable's"),
		Long: `Takes the variable out of the network's settings, through a roll-out as wherry apply does. Control keeps the value as long as one of the last 16 revisions of the
settings names it, for wherry program rollback.`,
	}
	f.addRollout(c)
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		settings, at, err := a.settingsOf(ctx, args[0])
		if err != nil {
			return err
		}
		changed, err := amend.RemoveSecret(settings, args[0], args[1])
		if err != nil {
			return fmt.Errorf("%s: %w; wherry program secret list %s shows those that there are", args[1], err, args[0])
		}
		return f.applySecret(ctx, a, fmt.Sprintf("program %s has no secret %s any more", args[0], args[1]), changed, at)
	})
}

// localSecret is a variable whose value is in a file of this machine.
type localSecret struct {
	variable, file string
	value          []byte
}

// localSecrets are those of --secret, not read yet.
func localSecrets(flags []string) (all []localSecret, err error) {
	for _, flag := range flags {
		variable, file, ok := strings.Cut(flag, "=")
		if !ok || variable == "" || file == "" || file == "-" {
			return nil, UsageError{errors.New("--secret: what stands there isn't KEY=FILE; write one such as API_KEY=./api.key")}
		}
		all = append(all, localSecret{variable: variable, file: file})
	}
	return all, nil
}

// readSecrets reads the values, and returns where they are as settings of this machine say it.
func readSecrets(all []localSecret) (files [][2]string, err error) {
	for i := range all {
		s := &all[i]
		if s.value, err = readSecret(s.variable, s.file, nil); err != nil {
			return nil, err
		}
		path, err := filepath.Abs(s.file)
		if err != nil {
			return nil, err
		}
		files = append(files, [2]string{s.variable, path})
	}
	return files, nil
}

// sendSecrets has control keep values, and returns what settings say for them.
func (a *asker) sendSecrets(ctx context.Context, name string, all []localSecret) (sent [][2]string, err error) {
	for _, s := range all {
		id, err := a.sendSecret(ctx, name, s.variable, s.value)
		if err != nil {
			return nil, err
		}
		sent = append(sent, [2]string{s.variable, id})
	}
	return sent, nil
}

// keptSecrets are the variables of a program whose values control alone has.
func keptSecrets(settings, name string) (variables []string, err error) {
	all, err := amend.Secrets(settings, name)
	for variable, text := range all {
		if _, kept := programs.KeptSecret(text); kept {
			variables = append(variables, variable)
		}
	}
	slices.Sort(variables)
	return variables, err
}
