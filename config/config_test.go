package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what Parse says into testdata instead of comparing")

// TestParse reads each testdata/parse/NAME.yaml and compares the problems with NAME.want, which has `ok` as its last line when
// there is a snapshot.
func TestParse(t *testing.T) {
	files, err := filepath.Glob("testdata/parse/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			snapshot, problems := Parse(filepath.Base(file), data)
			if (snapshot == nil) != (problems.Err() != nil) {
				t.Errorf("snapshot %v with errors %v", snapshot, problems.Err())
			}
			var got bytes.Buffer
			for _, p := range problems {
				fmt.Fprintln(&got, p)
			}
			if snapshot != nil {
				got.WriteString("ok\n")
			}
			compare(t, strings.TrimSuffix(file, ".yaml")+".want", got.Bytes())
		})
	}
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s (go test ./config -rewrite updates it):\n got:\n%s\nwant:\n%s", file, got, want)
	}
}
