package reference

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
)

func TestReferenceIsCurrent(t *testing.T) {
	want, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/configuration.md")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/configuration.md is stale (%v): go run ./cmd/wherry config reference > docs/configuration.md", err)
	}
}

// TestSampleIsComplete finds each key of the model in the sample, in use or behind a #, and nothing wrong with it.
func TestSampleIsComplete(t *testing.T) {
	s, problems := config.Parse("sample", Sample())
	if s == nil || len(problems) > 0 {
		t.Fatalf("the sample has problems:\n%v", problems)
	}
	if files := s.Files(); len(files) > 0 {
		t.Errorf("the sample needs files that nobody has: %v", files)
	}
	for _, shape := range grammar(t).Order {
		for _, f := range shape.Fields {
			if !regexp.MustCompile(`(?m)(^|[\s{])` + f.Key + `:(\s|$)`).Match(Sample()) {
				t.Errorf("the sample doesn't show %s of %s", f.Key, shape.Name)
			}
		}
	}
}

// TestSampleCommentsAreRight takes the # off every line that shows a setting: what the sample shows has to be right as well.
func TestSampleCommentsAreRight(t *testing.T) {
	shown := regexp.MustCompile(`^(\s*)# ( *(- )?([a-z_]+:( |$)).*)$`)
	var text strings.Builder
	for line := range strings.Lines(string(Sample())) {
		text.WriteString(shown.ReplaceAllString(strings.TrimRight(line, "\n"), "$1$2") + "\n")
	}
	s, problems := config.Parse("sample", []byte(text.String()))
	if s == nil {
		t.Fatalf("with all comments in use:\n%v\n%s", problems, text.String())
	}
	if s.DNS.GeoDatabase == "" || s.Sites[0].TLS == nil || s.Sites[0].Fetch.Health == nil || len(s.Sites[0].Origins) != 2 ||
		len(s.Disk.Volumes) != 1 || len(s.Sites[0].Aliases) != 1 || len(s.Sites[0].Cache.Negative) != 2 {
		t.Errorf("the comments were not taken off:\n%s", text.String())
	}
}

func grammar(t *testing.T) *config.Grammar {
	t.Helper()
	g, err := config.NewGrammar()
	if err != nil {
		t.Fatal(err)
	}
	return g
}
