package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/reference"
)

// configCommand runs `wherry config ARGS` and returns what it prints.
func configCommand(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	c := newConfigCommand()
	var out bytes.Buffer
	c.SetArgs(args)
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&out)
	c.SetErr(&out)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.Execute()
	return out.String(), err
}

func writeTemp(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const minimalConfig = `sites: [{name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9000"}]}]`

func TestConfigSampleIsChecked(t *testing.T) {
	sample, err := configCommand(t, "", "sample")
	if err != nil {
		t.Fatal(err)
	}
	file := writeTemp(t, t.TempDir(), "wherry.yaml", sample)
	out, err := configCommand(t, "", "check", file)
	want := regexp.MustCompile(`^\S+wherry\.yaml: ok \(1 site, 1 cluster, revision [0-9a-f]{12}\)\n$`)
	if err != nil || !want.MatchString(out) {
		t.Errorf("check says %q, %v", out, err)
	}
}

func TestConfigCheck(t *testing.T) {
	tests := []struct {
		name, text, want string
		fails            bool
	}{
		{"right", minimalConfig, "-: ok (1 site, 1 cluster, revision bf4f6b3d3add)\n", false},
		{
			"wrong", strings.Replace(minimalConfig, "shop.test", "SHOP.test", 1) + "\nzonee: x",
			"-:1:30: sites[0].hosts[0]: \"SHOP.test\" has upper-case letters; write shop.test\n" +
				"-:2:1: zonee: is not a known key; did you mean zone?\n-: 2 errors, 0 warnings\n", true,
		},
		{
			"warning", strings.Replace(minimalConfig, "shop.test", "shop.dev", 1),
			"-:1:9: warning: sites[0]: the site shop has no tls: browsers don't trust the local CA's certificate for shop.dev; " +
				"write tls with certificate and key, or listen.https: off\n" +
				"-: ok (1 site, 1 cluster, revision f796b5cea204, 1 warning)\n", false,
		},
		{
			"long", minimalConfig + "#" + strings.Repeat("x", config.FileSizeMax),
			"-:1:1: the file has 5242881 bytes, more than 5MiB; split the network, or share lists by YAML aliases\n" +
				"-: 1 error, 0 warnings\n", true,
		},
	}
	for _, test := range tests {
		out, err := configCommand(t, test.text, "check", "-")
		if out != test.want || (err != nil) != test.fails {
			t.Errorf("%s: check says, with %v:\n%s\nwant:\n%s", test.name, err, out, test.want)
		}
	}
}

// writePair writes a certificate for hosts that ends at the given time, and its key.
func writePair(t *testing.T, dir, name string, end time.Time, hosts ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: hosts, NotBefore: end.Add(-24 * time.Hour), NotAfter: end,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeTemp(t, dir, name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeTemp(t, dir, name+"-key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
}

func TestConfigCheckLooksAtFiles(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "a", time.Now().Add(time.Hour), "shop.test", "*.shop.test")
	writePair(t, dir, "b", time.Now().Add(time.Hour), "shop.test", "*.shop.test")
	writePair(t, dir, "old", time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC), "shop.test")
	writeTemp(t, dir, "empty", "")
	writeTemp(t, dir, "text", "no PEM")
	tests := []struct {
		name, network, site string
		want                string // a part of the output; empty when all is well
		fails               bool
	}{
		{"pair", "", "tls: {certificate: DIR/a.pem, key: DIR/a-key.pem}", "", false},
		{"ca", "", "fetch: {ca_file: DIR/a.pem}", "", false},
		{"log", "log: {access: DIR/new.log}", "", "", false},
		{"geo", "dns: {geo_database: DIR/text}", "", "", false},
		{
			"no certificate", "", "tls: {certificate: DIR/none.pem, key: DIR/a-key.pem}",
			":5:22: sites[0].tls.certificate: DIR/none.pem can't be used: no such file or directory; name a file", true,
		},
		{
			"not its key", "", "tls: {certificate: DIR/a.pem, key: DIR/b-key.pem}",
			":5:22: sites[0].tls.certificate: DIR/a.pem and DIR/b-key.pem can't be used: private key does not match public key;", true,
		},
		{
			"expired", "", "tls: {certificate: DIR/old.pem, key: DIR/old-key.pem}",
			":5:22: warning: sites[0].tls.certificate: DIR/old.pem expired on 2020-01-02; renew it", false,
		},
		{"not for the host", "", "tls: {certificate: DIR/old.pem, key: DIR/old-key.pem}", "old.pem is not for *.shop.test;", false},
		{"ca without certificates", "", "fetch: {ca_file: DIR/text}", "DIR/text has no certificate in PEM form;", true},
		{"ca is a folder", "", "fetch: {ca_file: DIR}", "DIR can't be used: is a directory", true},
		{"log in no folder", "log: {access: DIR/none/new.log}", "", "DIR/none/new.log can't be used: no such file or directory", true},
		{"log is a folder", "log: {access: DIR}", "", "DIR can't be used: is a directory", true},
		{"volume", "disk: {volumes: [{dir: DIR, size: 1GiB}]}", "", "", false},
		{"volume to be made", "disk: {volumes: [{dir: DIR/new, size: 1GiB}]}", "", "", false},
		{
			"volume nowhere", "disk: {volumes: [{dir: DIR/none/new, size: 1GiB}]}", "",
			":1:24: disk.volumes[0].dir: DIR/none/new is in no directory that is there;", true,
		},
		{"volume is a file", "disk: {volumes: [{dir: DIR/text, size: 1GiB}]}", "", "DIR/text is not a directory;", true},
		{"empty geo", "dns: {geo_database: DIR/empty}", "", "DIR/empty is empty or not a file", true},
	}
	for _, test := range tests {
		text := test.network + "\nsites:\n- name: shop\n  hosts: [shop.test, \"*.shop.test\", \"*\"]\n  " + test.site +
			"\n  origins: [{url: \"http://127.0.0.1:9000\"}]\n"
		file := writeTemp(t, dir, "wherry.yaml", strings.ReplaceAll(text, "DIR", dir))
		out, err := configCommand(t, "", "check", file)
		out = strings.ReplaceAll(out, dir, "DIR")
		if (err != nil) != test.fails || !strings.Contains(out, test.want) {
			t.Errorf("%s: check says, with %v:\n%s\nwant %q", test.name, err, out, test.want)
		}
		if test.want == "" && strings.Count(out, "\n") != 1 {
			t.Errorf("%s: check says more than ok:\n%s", test.name, out)
		}
	}
	for _, name := range []string{"new.log", "new"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("the check made %s", name)
		}
	}
}

func TestConfigExplain(t *testing.T) {
	sample := string(reference.Sample())
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"rule", []string{"https://a.shop.test/static/a.css?v=1"}, []string{
			"GET https://a.shop.test/static/a.css?v=1\n",
			"site shop claims a.shop.test by *.shop.test",
			"rule private doesn't apply: the path /static/a.css is not one of /account/*, /cart, /checkout/*",
			"assets applies: the path matches /static/* and the method is GET",
			"closed doesn't apply: not looked at: a rule before it applies",
			"cache key shop https://a.shop.test/static/a.css\n",
			"caching cache.enabled = true default",
			"cache.key.query = drop rule assets",
			"cache.stale_if_error = 24h0m0s rule assets",
			"cache.stale_while_revalidate = 10s site",
			"origins http://127.0.0.1:9000 100 % of the requests",
		}},
		{"alias", []string{"http://www.shop.test/a"}, []string{
			"site shop claims www.shop.test by *.shop.test", "as another name of shop.test, whose copy it gets", "cache key shop http://shop.test/a\n",
		}},
		{"parts", []string{"http://a.shop.test/keyed"}, []string{"told apart by header X-Country, cookie lang under that key"}},
		{"off", []string{"http://shop.test/cart"}, []string{"private applies", "cache key none caching is off"}},
		{"method", []string{"http://shop.test/", "--method", "POST"}, []string{"cache key none POST is always forwarded"}},
		{"refused", []string{"http://shop.test/internal/a"}, []string{"answer 403 refused by the rule; no origin is asked"}},
		{"unclaimed", []string{"http://blog.test/"}, []string{"No site claims blog.test."}},
	}
	spaces := regexp.MustCompile(` +`)
	sample = strings.Replace(sample, "    rules:\n", "    aliases: [{host: shop.test, names: [www.shop.test]}]\n    rules:\n", 1)
	sample = strings.Replace(sample, "      - name: assets\n",
		"      - {name: keyed, match: {paths: [/keyed]}, cache: {key: {headers: [X-Country], cookies: [lang]}}}\n      - name: assets\n", 1)
	for _, test := range tests {
		out, err := configCommand(t, sample, append([]string{"explain", "-"}, test.args...)...)
		if failed := test.name == "unclaimed"; errors.Is(err, errReported) != failed || err != nil && !failed {
			t.Errorf("%s: %v", test.name, err)
		}
		for _, want := range test.want {
			if !strings.Contains(spaces.ReplaceAllString(out, " "), want) {
				t.Errorf("%s: no %q in:\n%s", test.name, want, out)
			}
		}
	}
}

func TestConfigPrints(t *testing.T) {
	schema, err := configCommand(t, "", "schema")
	if err != nil || !json.Valid([]byte(schema)) {
		t.Errorf("schema: %v, %.100s", err, schema)
	}
	reference, err := configCommand(t, "", "reference")
	if err != nil || !strings.Contains(reference, "\n# Configuration\n") {
		t.Errorf("reference: %v, %.100s", err, reference)
	}
}

func TestConfigRefuses(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"check"}, "0 arguments instead of 1: wherry config check FILE"},
		{[]string{"explain", "a"}, "1 argument instead of 2: wherry config explain FILE URL"},
		{[]string{"chek"}, `no command "chek"; after config comes one of check, `},
		{[]string{"check", filepath.Join(t.TempDir(), "none.yaml")}, "wherry config sample writes one to begin with"},
		{[]string{"explain", "-", "shop.test"}, "write one such as https://shop.test/path"},
		{[]string{"explain", "-", "ftp://shop.test/"}, "has to be http or https"},
	}
	for _, test := range tests {
		if out, err := configCommand(t, minimalConfig, test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q; printed %s", test.args, err, test.want, out)
		}
	}
	if _, err := configCommand(t, "sites: []", "explain", "-", "http://shop.test/"); err != errReported {
		t.Errorf("explain of a wrong file: %v", err)
	}
}
