package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/explain"
	"github.com/wherry/wherry/config/reference"
	"github.com/wherry/wherry/edge"
)

func newConfigCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Begin, check and explain a configuration",
		Args:  oneOfItsCommands,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigSampleCommand(), newConfigCheckCommand(), newConfigExplainCommand(),
		newConfigPrintCommand("schema", "Print the JSON Schema of the file, for editors", reference.Schema),
		newConfigPrintCommand("reference", "Print the reference of all keys as Markdown", reference.Reference))
	return c
}

// configArgs wants exactly want arguments, as the usage line names them.
func configArgs(usage string, want int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != want {
			return usageError{fmt.Errorf("%s instead of %d: wherry %s", counted(len(args), "argument"), want, usage)}
		}
		return nil
	}
}

func newConfigSampleCommand() *cobra.Command {
	return newConfigPrintCommand("sample", "Print a commented configuration to begin with",
		func() ([]byte, error) { return reference.Sample(), nil })
}

func newConfigPrintCommand(name, short string, text func() ([]byte, error)) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Args:  configArgs("config "+name, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			out, err := text()
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(out)
			return err
		},
	}
}

func newConfigCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Report everything that is wrong with a configuration",
		Long: `Reports everything that is wrong with a configuration, one problem a line as

	FILE:LINE:COLUMN: PATH: what is wrong; what to write instead

and exits with 1 if anything keeps it from being used; a warning doesn't. The files that it names have to be there and of use.
FILE - is standard input.`,
		Args: configArgs("config check FILE", 1),
		RunE: func(c *cobra.Command, args []string) error {
			data, err := readConfig(args[0], c.InOrStdin())
			if err != nil {
				return err
			}
			s, problems := config.Parse(args[0], data)
			if s != nil {
				problems = append(problems, checkFiles(s, args[0], time.Now())...)
			}
			return printCheck(c.OutOrStdout(), args[0], s, problems)
		},
	}
}

// readConfig reads a configuration; - is stdin. It reads one byte more than Parse takes, so that Parse says what is wrong.
func readConfig(path string, stdin io.Reader) ([]byte, error) {
	r := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("configuration: %w; wherry config sample writes one to begin with", err)
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, config.FileSizeMax+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return data, nil
}

func printCheck(w io.Writer, file string, s *config.Snapshot, problems config.Problems) error {
	for _, p := range problems {
		fmt.Fprintln(w, p)
	}
	failures, warnings := problems.Count()
	if failures > 0 {
		fmt.Fprintf(w, "%s: %s, %s\n", file, counted(failures, "error"), counted(warnings, "warning"))
		return errReported
	}
	noted := ""
	if warnings > 0 {
		noted = ", " + counted(warnings, "warning")
	}
	fmt.Fprintf(w, "%s: ok (%s, %s, revision %s%s)\n",
		file, counted(len(s.Sites), "site"), counted(len(s.Clusters), "cluster"), s.Revision, noted)
	return nil
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// fileCheck looks at the files that a configuration names.
type fileCheck struct {
	file     string // the configuration
	problems config.Problems
}

// checkFiles reports what is wrong with the files that s names, in the order in which file names them.
func checkFiles(s *config.Snapshot, file string, now time.Time) config.Problems {
	c := &fileCheck{file: file}
	var certificate *config.FileRef
	for _, ref := range s.Files() {
		switch ref.Use {
		case config.FileCertificate:
			certificate = &ref
		case config.FileKey:
			c.pair(certificate, &ref, siteOf(s, ref.Path), now)
		case config.FileCA:
			if pem := c.read(&ref); pem != nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
				c.add(config.Error, &ref, "has no certificate in PEM form", "name a file with -----BEGIN CERTIFICATE-----")
			}
		case config.FileGeo:
			c.openable(&ref)
		case config.FileAccessLog:
			c.appendable(&ref)
		case config.FileSecret:
			c.private(&ref)
		case config.FileVolume:
			c.fillable(&ref)
		}
	}
	return append(c.problems, checkPrograms(s, file)...)
}

// siteOf returns the site that a path such as sites[2].tls.key is of.
func siteOf(s *config.Snapshot, path string) *config.Site {
	for i := range s.Sites {
		if strings.HasPrefix(path, fmt.Sprintf("sites[%d].", i)) {
			return &s.Sites[i]
		}
	}
	return nil
}

func (c *fileCheck) add(severity config.Severity, ref *config.FileRef, what, instead string) {
	c.problems = append(c.problems, config.Problem{
		Severity: severity, File: c.file, Line: ref.Line, Column: ref.Column,
		Path: ref.Path, What: ref.Name + " " + what, Instead: instead,
	})
}

// cannot reports why a file can't be used; the error's own path is in the problem already.
func (c *fileCheck) cannot(ref *config.FileRef, err error) {
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	instead := "name a file that this user may open"
	if !filepath.IsAbs(ref.Name) {
		if dir, err := os.Getwd(); err == nil {
			instead += " (looked in " + dir + ")"
		}
	}
	c.add(config.Error, ref, "can't be used: "+err.Error(), instead)
}

// read returns the content of a PEM file, or nil after it has reported why there is none.
func (c *fileCheck) read(ref *config.FileRef) []byte {
	const longest = 4 << 20 // the system's authorities are 200 KiB
	f, err := os.Open(ref.Name)
	if err != nil {
		c.cannot(ref, err)
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, longest))
	if err != nil {
		c.cannot(ref, err)
		return nil
	}
	return data
}

func (c *fileCheck) openable(ref *config.FileRef) {
	switch info, err := os.Stat(ref.Name); {
	case err != nil:
		c.cannot(ref, err)
	case !info.Mode().IsRegular() || info.Size() == 0:
		c.add(config.Error, ref, "is empty or not a file", "name a MaxMind DB file")
	default:
		c.read(ref)
	}
}

// appendable opens the log as the edge would, but leaves no new file behind.
func (c *fileCheck) appendable(ref *config.FileRef) {
	f, err := os.OpenFile(ref.Name, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, os.ErrNotExist) {
		if info, err := os.Stat(filepath.Dir(ref.Name)); err != nil {
			c.cannot(ref, err)
		} else if !info.IsDir() {
			c.add(config.Error, ref, "is not inside a folder", "name a file in a folder that is there")
		}
		return
	}
	if err != nil {
		c.cannot(ref, err)
		return
	}
	if err := f.Close(); err != nil {
		c.cannot(ref, err)
	}
}

// fillable looks at the directory of a volume as far as it can without leaving anything behind.
func (c *fileCheck) fillable(ref *config.FileRef) {
	info, err := os.Stat(ref.Name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		// It will be made.
		if above, err := os.Stat(filepath.Dir(filepath.Clean(ref.Name))); err != nil || !above.IsDir() {
			c.add(config.Error, ref, "is in no directory that is there", "make the one that it is in")
		}
	case err != nil:
		c.cannot(ref, err)
	case !info.IsDir():
		c.add(config.Error, ref, "is not a directory", "name a directory for the cache alone")
	}
}

// pair reports what is wrong with a certificate and its key, and what clients of the site won't like about it.
func (c *fileCheck) pair(certificate, key *config.FileRef, site *config.Site, now time.Time) {
	certPEM, keyPEM := c.read(certificate), c.read(key)
	if certPEM == nil || keyPEM == nil {
		return
	}
	loaded, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		reason := strings.TrimPrefix(err.Error(), "tls: ")
		c.add(config.Error, certificate, "and "+key.Name+" can't be used: "+reason, "name a PEM certificate and its own PEM key")
		return
	}
	leaf := loaded.Leaf
	if now.After(leaf.NotAfter) {
		c.add(config.Warning, certificate, "expired on "+leaf.NotAfter.Format(time.DateOnly), "renew it")
	}
	if now.Before(leaf.NotBefore) {
		c.add(config.Warning, certificate, "is not valid before "+leaf.NotBefore.Format(time.DateOnly), "compare the clocks")
	}
	for _, pattern := range site.Hosts {
		if pattern == "*" {
			continue
		}
		host := strings.Replace(string(pattern), "*", "any", 1) // one label, as a certificate's own * stands for (RFC 9525 §6.3)
		if leaf.VerifyHostname(host) != nil {
			c.add(config.Warning, certificate, "is not for "+string(pattern), "get a certificate that names it")
		}
	}
}

func newConfigExplainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "explain FILE URL",
		Short:   "Say which site, rule and cache key a request meets, and why",
		Example: "  wherry config explain wherry.yaml https://shop.test/static/logo.png",
		Args:    configArgs("config explain FILE URL", 2),
	}
	method := c.Flags().String("method", "GET", "the request's `METHOD`")
	c.RunE = func(c *cobra.Command, args []string) error {
		data, err := readConfig(args[0], c.InOrStdin())
		if err != nil {
			return err
		}
		s, problems := config.Parse(args[0], data)
		if s == nil {
			return printCheck(c.OutOrStdout(), args[0], s, problems)
		}
		e, err := explain.Request(s, *method, args[1])
		if err != nil {
			return usageError{err}
		}
		return printExplanation(c.OutOrStdout(), s, e, args[1])
	}
	return c
}

func printExplanation(w io.Writer, s *config.Snapshot, e explain.Explanation, url string) error {
	fmt.Fprintf(w, "%s %s\n\n", e.Method, url)
	if e.Site == nil {
		fmt.Fprintf(w, "No site claims %s. Write it, or a pattern that matches it, into the hosts of a site.\n", e.Host)
		return errReported
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(table, strings.Join(cells, "\t")) }
	row("site", string(e.Site.Name), "claims "+string(e.Host)+" by "+string(e.Pattern))
	if e.StandsFor != e.Host {
		row("", "", "as another name of "+string(e.StandsFor)+", whose copy it gets")
	}
	explainRules(row, e)
	if e.Rule != nil && e.Rule.Refuse != 0 {
		row("answer", fmt.Sprint(e.Rule.Refuse), "refused by the rule; no origin is asked")
		return table.Flush()
	}
	if err := explainKey(row, s, e, url); err != nil {
		return err
	}
	for i, setting := range e.Settings {
		row(titled(i, "caching"), setting.Name+" = "+setting.Value, setting.From)
	}
	for i, o := range e.Origins {
		share := fmt.Sprintf("%.0f %% of the requests", 100*o.Share)
		if o.Backup {
			share += " when no other origin is healthy"
		}
		row(titled(i, "origins"), o.URL.String(), share)
	}
	return table.Flush()
}

// titled returns title for the first line of a block.
func titled(line int, title string) string {
	if line == 0 {
		return title
	}
	return ""
}

func explainRules(row func(...string), e explain.Explanation) {
	if len(e.Rules) == 0 {
		row("rule", "none", "the site has no rules")
	}
	for i, r := range e.Rules {
		verdict := "doesn't apply: "
		if r.Applies {
			verdict = "applies: "
		}
		row(titled(i, "rule"), r.Name, verdict+r.Why)
	}
}

// explainKey prints the cache key as the edge makes it.
func explainKey(row func(...string), s *config.Snapshot, e explain.Explanation, url string) error {
	switch {
	case !e.Caching.Enabled:
		row("cache key", "none", "caching is off")
	case e.Method != "GET" && e.Method != "HEAD":
		row("cache key", "none", e.Method+" is always forwarded")
	default:
		match, err := edge.KeyFor(s, e.Method, url)
		if err != nil {
			return fmt.Errorf("cache key: %w", err)
		}
		row("cache key", string(match.Key))
		var parts []string
		for _, name := range e.Caching.Headers {
			parts = append(parts, "header "+name)
		}
		for _, name := range e.Caching.Cookies {
			parts = append(parts, "cookie "+name)
		}
		if len(parts) > 0 {
			row("", "told apart by "+strings.Join(parts, ", "), "under that key, beside the origin's Vary")
		}
	}
	return nil
}
