//go:build linux

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A person's day in the portal, with a real browser and a real network: sign in, make a site, correct a mistake, watch the roll-out, be overtaken by
// somebody, purge, go back, and see it all in the audit log.
func TestPortal(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Cache-Tag", "all")
		fmt.Fprint(w, "hello")
	}))
	defer origin.Close()
	b := openBrowser(t, 1200)
	l := startLab(t, "--control", "1", "--edges", "2", "--dns", "0")
	l.must("apply", "--emergency", "-f", l.write("network.yaml", "rollout: {bake: 3s}\n"))
	p := &portalVisit{browser: b, lab: l, server: l.variable("WHERRY_SERVER"), token: l.variable("WHERRY_TOKEN"), origin: origin.URL}
	for _, part := range []struct {
		name string
		do   func()
	}{
		{"sign in", p.signIn},
		{"network", p.network},
		{"new site", p.newSite},
		{"refused", p.refused},
		{"apply", p.apply},
		{"reverted", p.reverted},
		{"overtaken", p.overtaken},
		{"purge", p.purge},
		{"history and rollback", p.rollback},
		{"paths", p.paths},
		{"many sites", p.manySites},
		{"tokens", p.tokens},
		{"software and settings", p.others},
		{"audit", p.audit},
		{"delete", p.delete},
		{"control away", p.away},
	} {
		began := time.Now()
		part.do()
		t.Log(part.name, time.Since(began).Round(time.Millisecond))
	}
	for _, said := range b.complaints() {
		if strings.Contains(said, "Content Security Policy") || strings.Contains(said, "exceptionThrown") || strings.Contains(said, "TypeError") {
			t.Error(said)
		}
	}
}

type portalVisit struct {
	*browser
	lab                   *labRun
	server, token, origin string
}

func (l *labRun) variable(name string) string {
	for _, e := range l.env {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	l.t.Fatalf("the lab didn't say %s", name)
	return ""
}

func (p *portalVisit) goTo(hash string) {
	p.t.Helper()
	p.eval("location.hash = " + quoted(hash))
}

func (p *portalVisit) signIn() {
	p.open(p.server + "/")
	p.sees("Sign in")
	p.fill("input[name=token]", "wat1_NOTMINE")
	p.press("Enter")
	p.sees("this token isn't known")
	p.shoot("signin-wrong")
	p.fill("input[name=token]", p.token)
	p.press("Enter")
	p.sees("are live")
	if p.eval("document.cookie + JSON.stringify(localStorage)") != "{}" {
		p.t.Error("something was kept beyond the tab")
	}
	p.eval("location.reload()")
	p.sees("are live") // the tab remembers
}

func (p *portalVisit) network() {
	for _, want := range []string{"All 3 nodes are live", "edge-1", "control-1", "It has a majority"} {
		p.sees(want)
	}
	p.shoot("network")
	p.click("Let a machine join")
	p.shoot("join")
	p.click("Make a token")
	p.sees("wherry join --token")
	p.shoot("join-made")
	p.click("Done")
	p.click("Remove …")
	p.sees("can't come back with its certificate")
	p.shoot("node-remove")
	p.click("Remove for good")
	p.click("Cancel")
	p.goTo("#/sites")
	p.sees("There is no site yet")
	p.shoot("sites-empty")
	p.goTo("#/rollouts")
	p.sees("Roll-outs")
	p.shoot("rollouts-empty")
	p.goTo("#/nowhere")
	p.sees("There is no such page")
}

func (p *portalVisit) siteText(more string) string {
	return "name: shop\nhosts: [shop.test]\norigins: [{url: \"" + p.origin + "\"}]\n" + more
}

func (p *portalVisit) newSite() {
	p.goTo("#/new")
	p.fill("textarea", p.siteText(""))
	p.click("Apply …")
	p.sees("Apply revision 1 of shop")
	p.click("Emergency")
	p.fill("input[name=message]", "first")
	p.shoot("apply-new")
	p.click("Apply")
	p.sees("2 edges serve it after")
	if status, body := p.lab.get("edge-2", "/a"); status != http.StatusOK || body != "hello" {
		p.t.Fatalf("%d %s", status, body)
	}
}

// refused is a bad configuration, which is shown beside its lines and changes nothing.
func (p *portalVisit) refused() {
	p.fill("textarea", "name: shop\nhosts: [shop.test, \"bad host\"]\norigins: [{url: nowhere}]\nrulez: []\n")
	p.click("Check")
	p.sees("Refused: 3 mistakes")
	p.sees("Line 3, column 17")
	if p.eval("document.querySelectorAll('.remark').length") != 3. {
		p.t.Error("the mistakes don't stand beside their lines")
	}
	p.shoot("refused")
	p.click("Line 4, column")
	if got := p.eval("document.activeElement.value.slice(document.activeElement.selectionStart)"); got != "rulez: []\n" {
		p.t.Errorf("the place of a mistake is at %q", got)
	}
	if text := p.lab.must("history", "shop"); strings.Contains(text, "2 ") && !strings.Contains(text, "1 ") {
		p.t.Error(text)
	}
}

// apply is a good change, in phases, that is watched until it holds.
func (p *portalVisit) apply() {
	p.fill("textarea", p.siteText("body_size: 1MiB\n"))
	p.click("Check")
	p.sees("Control and an edge can use this")
	p.sees("+body_size: 1MiB")
	p.shoot("checked")
	p.click("Apply …")
	p.sees("Apply revision 2 of shop")
	p.fill("input[name=message]", "smaller bodies")
	p.shoot("apply")
	p.click("Apply")
	p.sees("in phase canary")
	p.sees("What the gate sees")
	p.click("Pause")
	p.sees("paused in phase canary")
	p.shoot("rollout-paused")
	p.click("Resume")
	p.sees("shop: everywhere")
	p.sees("adopted it")
	p.shoot("rollout-done")
}

// reverted is a change that looks good and does badly: it is taken back, and the page says why.
func (p *portalVisit) reverted() {
	p.goTo("#/sites/shop")
	p.fill("textarea", strings.Replace(p.siteText("body_size: 1MiB\n"), p.origin, "http://127.0.0.1:1", 1))
	p.click("Apply …")
	p.fill("input[name=message]", "another origin")
	p.click("Apply")
	p.sees("shop: taken back in phase") // canary, if this machine isn't too busy for the canary's own requests: TestLab holds the gate to that
	p.sees("with errors")
	p.shoot("rollout-reverted")
	p.goTo("#/sites/shop")
	p.sees("Revision 2 by")
	if got := p.eval("document.querySelector('textarea').value"); got != p.siteText("body_size: 1MiB\n") {
		p.t.Errorf("the editor shows\n%s", got)
	}
}

// overtaken is an edit of what somebody else changes meanwhile.
func (p *portalVisit) overtaken() {
	p.goTo("#/sites/shop")
	p.sees("Revision 2 by")
	p.fill("textarea", "# mine\n"+p.siteText("body_size: 1MiB\n"))
	p.sees("Changed by you, based on revision 2")
	p.goTo("#/rollouts")
	p.sees("Under way")
	p.goTo("#/sites/shop") // what was typed is still there
	p.sees("Changed by you, based on revision 2")
	p.lab.must("apply", "--emergency", "-m", "from the command line", "-f", p.lab.write("shop.yaml", p.siteText("body_size: 2MiB\n")))
	p.click("Apply …")
	p.sees("Somebody was faster")
	p.sees("+body_size: 2MiB")
	p.shoot("stale")
	p.click("Put my change on it")
	p.sees("Your change stands on revision 4 now")
	if got, want := p.eval("document.querySelector('textarea').value"), "# mine\n"+p.siteText("body_size: 2MiB\n"); got != want {
		p.t.Errorf("rebased to\n%s, want\n%s", got, want)
	}
	p.click("Apply …")
	p.sees("Apply revision 5 of shop")
	p.click("Emergency")
	p.click("Apply")
	p.sees("Revision 5 of shop holds")
	p.shoot("site")
}

func (p *portalVisit) purge() {
	p.goTo("#/purge")
	p.fill("input[name=value]", "http://nobody.test/a")
	p.press("Enter")
	p.sees("no site claims the host nobody.test")
	p.fill("input[name=value]", "http://shop.test/a")
	p.press("Enter")
	p.sees("2 edges confirmed in")
	p.click("A tag")
	p.fill("input[name=value]", "all")
	p.click("Soft")
	p.press("Enter")
	p.sees("(soft)")
	p.lab.must("lab", "kill", "edge-2")
	p.click("Everything")
	p.until("the form again", "!document.querySelector('form.sheet-form button.primary').disabled")
	p.click("Purge")
	p.sees("until the caches are full again")
	p.shoot("purge-all")
	p.click("Purge")
	p.sees("catch up before they serve: edge-2")
	p.shoot("purge")
	p.goTo("#/")
	p.sees("1 of 3 nodes is away")
	p.shoot("network-away")
	p.lab.must("lab", "restart", "edge-2")
	p.sees("All 3 nodes are live")
}

func (p *portalVisit) rollback() {
	p.goTo("#/sites/shop/history")
	p.sees("smaller bodies")
	p.shoot("history")
	p.goTo("#/sites/shop/diff/1/5")
	p.sees("+# mine")
	p.shoot("comparison")
	p.goTo("#/sites/shop/revisions/2")
	p.sees("body_size: 1MiB")
	p.shoot("revision")
	p.click("Roll back")
	p.sees("-body_size: 2MiB")
	p.fill("input[name=message]", "two was better")
	p.shoot("rollback")
	p.click("Roll back")
	p.sees("in phase")
	p.click("Abort …")
	p.sees("All nodes go back to what held before, revision 5")
	p.click("Abort and go back")
	p.sees("shop: aborted in phase")
	p.goTo("#/sites/shop/history")
	p.sees("was aborted")
	p.goTo("#/sites/shop/revisions/1")
	p.click("Roll back")
	p.click("Emergency")
	p.click("Roll back")
	p.sees("Revision 7 of shop holds")
	p.goTo("#/rollouts")
	p.sees("aborted")
	p.shoot("rollouts")
}

// paths shows by which ways an edge goes to its parent, and measures them.
func (p *portalVisit) paths() {
	p.lab.must("apply", "--emergency", "-m", "a parent", "-f", p.lab.write("shop.yaml", p.siteText("parent: cluster-2\n")))
	if status, body := p.lab.get("edge-1", "/through-the-parent"); status != http.StatusOK || body != "hello" {
		p.t.Fatalf("%d %s", status, body)
	}
	p.goTo("#/paths")
	p.until("a choice of nodes", "document.querySelector('#node option[value=edge-1]')")
	p.eval("{ const node = document.querySelector('#node'); node.value = 'edge-1'; node.onchange(); }")
	p.until("the way to the parent", `[...document.querySelectorAll("table[aria-label='Paths edge-1 → edge-2'] tbody tr")].some((r) => r.innerText.includes("in use"))`)
	p.until("it as a drawing", "document.querySelector('svg.ways .way.chosen')")
	p.until("whom it asks", `document.querySelector("table[aria-label='Parents of sites']")?.innerText.includes("cluster-2")`)
	p.click("Measure …")
	p.fill("input[name=size]", "1")
	p.shoot("paths-measure")
	p.click("Measure")
	p.until("what was measured", `document.querySelector("table[aria-label=Measurement]")?.innerText.includes("overlay")`)
	p.shoot("paths")
	p.goTo("#/paths?node=nobody")
	p.sees("There is no node nobody")
}

// manySites pages through more than a page holds, and finds one by its host.
func (p *portalVisit) manySites() {
	var sites strings.Builder
	sites.WriteString("sites:\n")
	for i := range 120 {
		fmt.Fprintf(&sites, "- {name: site-%03d, hosts: [www.n%03d.example], origins: [{url: \"%s\"}]}\n", i, i, p.origin)
	}
	p.lab.must("apply", "--emergency", "-m", "many", "-f", p.lab.write("many.yaml", sites.String()))
	p.goTo("#/sites")
	p.sees("site-048") // behind shop
	p.shoot("sites")
	p.click("Next 50")
	p.sees("site-098")
	if p.eval("document.body.innerText.includes('site-048')") == true {
		p.t.Error("the second page has a site of the first")
	}
	p.click("First page")
	p.sees("site-000")
	p.fill("#contains", "n077.")
	p.until("one site", "document.querySelectorAll('tbody tr').length === 1")
	p.sees("site-077")
	if p.eval("document.activeElement.id") != "contains" {
		p.t.Error("the filter lost the focus")
	}
	p.fill("#contains", "no such thing")
	p.sees("No site has “no such thing”")
}

func (p *portalVisit) tokens() {
	p.goTo("#/tokens")
	p.click("New token")
	p.fill("input[name=name]", "cms")
	p.click("purge")
	p.shoot("token-new")
	p.click("Make it")
	p.sees("It isn't shown again")
	secret, _ := p.eval("document.querySelector('dialog code').textContent").(string)
	p.shoot("token-made")
	p.click("Done")
	p.sees("cms")
	p.shoot("tokens")
	p.click("Sign out")
	p.fill("input[name=token]", secret)
	p.press("Enter")
	p.sees("cms")
	if got := p.eval("[...document.querySelectorAll('#menu a')].map((a) => a.textContent).join()"); got != "Purge" {
		p.t.Errorf("who may only purge is offered %v", got)
	}
	p.sees("All below a URL")
	p.lab.must("token", "remove", "cms")
	p.until("the end of the token", `fetch("/api/v1/self", {headers: {authorization: "Bearer " + sessionStorage.getItem("wherry-token")}}).then((r) => r.status === 401)`)
	p.fill("input[name=value]", "http://shop.test/a")
	p.press("Enter")
	p.sees("this token isn't known")
	p.click("Sign out")
	p.fill("input[name=token]", p.token)
	p.press("Enter")
	p.sees("Sign out")
}

func (p *portalVisit) others() {
	p.goTo("#/software")
	p.sees("All nodes run what they are meant to run")
	p.shoot("software")
	p.click("Upgrade …")
	p.shoot("upgrade")
	p.click("Cancel")
	p.goTo("#/settings")
	p.until("the settings", "document.querySelector('textarea')?.value.includes('bake: 3s')")
	p.shoot("settings")
	p.goTo("#/sites")
	p.click("Export all")
	p.shoot("export")
	dir := p.t.TempDir()
	p.call("Page.setDownloadBehavior", map[string]any{"behavior": "allow", "downloadPath": dir}, nil)
	p.click("Download")
	p.sees("files were exported")
	p.exported(dir)
	p.upgrade()
}

// exported is the download: files that make no difference when they are applied again.
func (p *portalVisit) exported(dir string) {
	file := filepath.Join(dir, "network.tar")
	for deadline := time.Now().Add(browseWithin); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		}
		if time.Now().After(deadline) {
			p.t.Fatal("nothing was downloaded")
		}
	}
	if text, err := exec.Command("tar", "-C", dir, "-xf", file).CombinedOutput(); err != nil {
		p.t.Fatalf("%v: %s", err, text)
	}
	if text, err := p.lab.run("diff", "-f", filepath.Join(dir, "network")); err != nil {
		p.t.Errorf("the export isn't what holds: %v\n%s", err, text)
	}
}

// upgrade sends a program, here the same one, and takes it back.
func (p *portalVisit) upgrade() {
	p.goTo("#/software")
	p.click("Upgrade …")
	var root struct{ Root struct{ NodeID int } }
	p.call("DOM.getDocument", nil, &root)
	var input struct{ NodeID int }
	p.call("DOM.querySelector", map[string]any{"nodeId": root.Root.NodeID, "selector": "dialog input[type=file]"}, &input)
	p.call("DOM.setFileInputFiles", map[string]any{"nodeId": input.NodeID, "files": []string{p.lab.program}}, nil)
	p.fill("input[name=version]", "next")
	p.click("Send it and begin")
	p.sees("Version next: in phase")
	p.shoot("upgrade-running")
	p.click("Abort …")
	p.click("Abort and go back")
	p.sees("Version next: aborted in phase")
	p.goTo("#/software")
	p.sees("Past upgrades")
	p.shoot("software-after")
}

func (p *portalVisit) audit() {
	p.goTo("#/audit")
	p.sees("token remove")
	p.sees("Earlier 100")
	p.shoot("audit")
	p.goTo("#/audit?subject=site/shop")
	p.sees("two was better")
	p.until("links to differences", "document.querySelector('a[href=\"#/sites/shop/diff/1/2\"]')")
	p.shoot("audit-site")
}

func (p *portalVisit) delete() {
	p.goTo("#/sites/site-000")
	p.click("Delete …")
	p.fill("input[name=typed]", "site-001")
	p.click("Delete")
	p.sees("isn't the site's name")
	p.fill("input[name=typed]", "site-000")
	p.shoot("delete")
	p.click("Delete")
	p.sees("The site site-000 is deleted")
}

// away is control that can't be reached: the page says so and keeps what it has, and goes on when control is back.
func (p *portalVisit) away() {
	p.goTo("#/")
	p.sees("All 3 nodes are live")
	p.lab.must("lab", "kill", "control-1")
	p.sees("What you see is from")
	p.sees("edge-1")
	p.shoot("away")
	p.goTo("#/sites")
	p.sees("Try again")
	p.shoot("away-first")
	p.lab.must("lab", "restart", "control-1")
	p.sees("site-001")
}
