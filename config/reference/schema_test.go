package reference

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

const shop = `{name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9000"}]}`

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("urn:wherry:config", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("urn:wherry:config") // checks it against its meta-schema
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return s.Validate(value)
}

// TestSchemaAcceptsWhatParseAccepts includes the sample and all files of testdata that parse.
func TestSchemaAcceptsWhatParseAccepts(t *testing.T) {
	s := compiled(t)
	texts := map[string][]byte{"sample": Sample()}
	files, _ := filepath.Glob("../testdata/parse/*.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = data
	}
	accepted := 0
	for name, text := range texts {
		if snapshot, _ := config.Parse(name, text); snapshot == nil {
			continue
		}
		accepted++
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s parses, but the schema says %v", name, err)
		}
	}
	if accepted < 6 {
		t.Errorf("only %d files parse", accepted)
	}
}

func TestSchemaRefuses(t *testing.T) {
	s := compiled(t)
	for _, text := range []string{
		"{}",
		"sites: []",
		"sites: [{name: shop}]",
		"sites: [" + shop + "]\nzonee: x",
		"sites: [" + shop + "]\nlimits: {connections: 0}",
		"sites: [" + shop + "]\nlimits: {header_timeout: 5}",
		"sites: [" + shop + "]\nmemory: {cache: 64KB}",
		"sites: [" + shop + "]\nlog: {level: loud}",
		strings.Replace("sites: ["+shop+"]", "shop.test", "SHOP.test", 1),
		strings.Replace("sites: ["+shop+"]", "http:", "ftp:", 1),
	} {
		if validate(t, s, []byte(text)) == nil {
			t.Errorf("the schema accepts %s", text)
		}
		if snapshot, _ := config.Parse("", []byte(text)); snapshot != nil {
			t.Errorf("Parse accepts %s", text)
		}
	}
}
