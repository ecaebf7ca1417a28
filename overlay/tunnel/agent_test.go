package tunnel_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/overlay/exchange"
	"github.com/wherry/wherry/overlay/tunnel"
)

func hello(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "hello %s %s %q %q", r.Host, r.URL, r.Header.Get("X-Forwarded-For"), r.Header[tunnel.OfferField])
}

func TestTunnelServesASite(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("lisbon", "osaka", "quito")
		laptop := w.net.Host("laptop")
		w.web(laptop, hello)
		w.tcp(laptop, ":5432", upcase)
		a, stop := w.agent(laptop, "laptop", nil)
		settle(time.Second)
		for _, node := range []string{"lisbon", "osaka"} { // the two best
			r, _ := http.NewRequestWithContext(w.ctx, http.MethodGet, "https://shop.example/a%20b?c;d", nil)
			r.Header.Set("X-Forwarded-For", "192.0.2.7")
			status, body, err := w.ask(node, "shop", r)
			if want := `hello shop.example /a%20b?c;d "192.0.2.7" []`; status != 200 || body != want || err != nil {
				t.Errorf("%s: %d %q %v, want %q", node, status, body, err, want)
			}
			conn, err := w.nodes[node].table.DialContext(w.ctx, "db")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(conn, "select")
			_ = conn.(half).CloseWrite()
			answer, err := io.ReadAll(conn)
			if string(answer) != "SELECT" || err != nil {
				t.Errorf("%s: %q %v", node, answer, err)
			}
			_ = conn.Close()
		}
		_, _, err := w.get("quito", "shop", "/")
		if f := fault.Of(err); f.Status != 503 || !strings.Contains(err.Error(), "start one: wherry tunnel --site shop --to HOST:PORT") {
			t.Errorf("a node without agent says %v", err)
		}
		if s := a.Status(); len(s) != 2 || s[0].State != "up" || s[1].State != "up" {
			t.Errorf("status: %+v", s)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		settle(time.Second)
		if offers := w.nodes["lisbon"].table.Offers(); len(offers) != 0 {
			t.Errorf("after the agent has stopped there is %+v", offers)
		}
	})
}

func TestTunnelSurvivesItsNodes(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("lisbon", "osaka", "quito")
		laptop := w.net.Host("laptop")
		w.web(laptop, hello)
		w.agent(laptop, "laptop", nil)
		settle(time.Second)
		w.kill("lisbon")
		settle(time.Second)
		for _, node := range []string{"osaka", "quito"} {
			if status, _, err := w.get(node, "shop", "/"); status != 200 {
				t.Errorf("%s after a node has died: %d %v", node, status, err)
			}
		}
		// All die, as when the laptop moves and its transport can't follow.
		w.kill("osaka")
		w.kill("quito")
		settle(10 * time.Minute)
		dialed := w.dialed["lisbon"] + w.dialed["osaka"] + w.dialed["quito"]
		if dialed > 3*(10*60/15+10) {
			t.Errorf("%d dials in ten minutes", dialed)
		}
		w.node("osaka", "quito")
		settle(time.Minute)
		for _, node := range []string{"osaka", "quito"} {
			if status, _, err := w.get(node, "shop", "/"); status != 200 {
				t.Errorf("%s after it came back: %d %v", node, status, err)
			}
		}
	})
}

func TestNodeLeavesInOrder(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("lisbon", "osaka", "quito")
		laptop := w.net.Host("laptop")
		w.web(laptop, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(10 * time.Second)
			hello(w, r)
		})
		a, _ := w.agent(laptop, "laptop", nil)
		settle(time.Second)
		answers := make(chan int, 1)
		go func() {
			status, _, _ := w.get("lisbon", "shop", "/")
			answers <- status
		}()
		synctest.Wait()
		w.nodes["lisbon"].stop()
		settle(time.Second)
		var up []string
		for _, s := range a.Status() {
			up = append(up, s.Node+" "+s.State)
		}
		if got := strings.Join(up, ", "); got != "lisbon leaving, osaka up, quito up" {
			t.Errorf("status: %s", got)
		}
		if status := <-answers; status != 200 {
			t.Errorf("a request that ran when the node left gives %d", status)
		}
	})
}

func TestAgentDrains(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("lisbon")
		laptop := w.net.Host("laptop")
		w.web(laptop, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(10 * time.Second)
			hello(w, r)
		})
		_, stop := w.agent(laptop, "old", nil)
		settle(time.Second)
		answers := make(chan int, 1)
		go func() {
			status, _, _ := w.get("lisbon", "shop", "/")
			answers <- status
		}()
		synctest.Wait()
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			w.agent(laptop, "new", nil)
			settle(time.Second)
			for range 5 {
				if status, _, err := w.get("lisbon", "shop", "/"); status != 200 {
					t.Errorf("while the old agent drains: %d %v", status, err)
				}
			}
		}()
		if err := stop(); err != nil || time.Since(began) != 10*time.Second && time.Since(began) > 11*time.Second {
			t.Errorf("the agent stops after %v: %v", time.Since(began), err)
		}
		if status := <-answers; status != 200 {
			t.Errorf("a request that ran when the agent stopped gives %d", status)
		}
		settle(2 * time.Minute)
	})
}

func TestSeveralAgents(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("lisbon")
		var stops []func()
		for i := range 3 {
			host := w.net.Host(fmt.Sprintf("host%d", i))
			stops = append(stops, w.web(host, func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(time.Second)
				body, _ := io.ReadAll(r.Body)
				fmt.Fprintf(w, "host%d %s", i, body)
			}))
			w.agent(host, fmt.Sprintf("agent%d", i), nil)
		}
		settle(time.Second)
		count := func(n int) map[string]int {
			got := map[string]int{}
			bodies := make(chan string, n)
			for range n {
				go func() {
					r, _ := http.NewRequestWithContext(w.ctx, http.MethodPost, "http://shop.example/", strings.NewReader("content"))
					status, body, err := w.ask("lisbon", "shop", r)
					if status != 200 || !strings.HasSuffix(body, " content") {
						t.Errorf("%d %q %v", status, body, err)
					}
					bodies <- body
				}()
			}
			for range n {
				got[<-bodies]++
			}
			return got
		}
		if got := count(30); fmt.Sprint(got) != "map[host0 content:10 host1 content:10 host2 content:10]" {
			t.Errorf("the requests went to %v", got)
		}
		stops[0]()
		settle(time.Second)
		// It is the service that died, not the agent: that says so, and the next one is asked.
		if got := count(30); got["host0 content"] != 0 || got["host1 content"] < 12 || got["host2 content"] < 12 {
			t.Errorf("with a dead service the requests went to %v", got)
		}
		for _, o := range w.nodes["lisbon"].table.Offers() {
			if o.Running != 0 || o.Site == "shop" && (o.Trouble != "") != (o.Agent == "agent0") {
				t.Errorf("after all that there is %+v", o)
			}
		}
		stops[1]()
		stops[2]()
		settle(time.Second)
		status, body, err := w.get("lisbon", "shop", "/")
		if err == nil {
			t.Fatalf("without any service: %d %q", status, body)
		}
		if f := fault.Of(err); f.Party != fault.Origin || f.Status != 502 || !strings.Contains(err.Error(), "nothing answers at 127.0.0.1:3000") ||
			!strings.Contains(err.Error(), "start the service there") {
			t.Errorf("without any service: %v", err)
		}
	})
}

func TestContentThatCantBeSentAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("lisbon")
		laptop, server := w.net.Host("laptop"), w.net.Host("server")
		w.agent(laptop, "a", nil) // nothing runs there
		settle(time.Second)
		w.web(server, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		w.agent(server, "b", nil)
		settle(time.Second)
		closed := false
		r, _ := http.NewRequestWithContext(w.ctx, http.MethodPost, "http://shop.example/", &closing{strings.NewReader("content"), &closed})
		status, body, err := w.ask("lisbon", "shop", r)
		synctest.Wait()
		if !closed || err == nil && body != "content" {
			t.Errorf("%d %q %v, closed %v", status, body, err, closed)
		}
	})
}

type closing struct {
	io.Reader
	closed *bool
}

func (c *closing) Close() error {
	*c.closed = true
	return nil
}

func TestRefusals(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("lisbon", "osaka", "quito")
		laptop := w.net.Host("laptop")
		for _, c := range []struct {
			change func(o *tunnel.AgentOptions)
			want   string
		}{
			{func(o *tunnel.AgentOptions) { o.Token = "wrong" }, "site shop: the token isn't valid: make one with wherry token"},
			{func(o *tunnel.AgentOptions) { o.Services[1].Site = "forbidden" }, "site forbidden: the token isn't for this site"},
		} {
			began := time.Now()
			_, stop := w.agent(laptop, "laptop", c.change)
			settle(time.Second)
			err := stop()
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "wrong") || time.Since(began) > 2*time.Second {
				t.Errorf("after %v: %v, want %q", time.Since(began), err, c.want)
			}
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for want, change := range map[string]func(o *tunnel.AgentOptions){
		`"a b" can't be an agent's name`:       func(o *tunnel.AgentOptions) { o.Name = "a b" },
		"an agent needs a token":               func(o *tunnel.AgentOptions) { o.Token = "" },
		"between 1 and 16 services":            func(o *tunnel.AgentOptions) { o.Services = nil },
		`"localhost" isn't where a service`:    func(o *tunnel.AgentOptions) { o.Services[0].To = "localhost" },
		"site shop is offered twice":           func(o *tunnel.AgentOptions) { o.Services = append(o.Services, o.Services[0]) },
		"protocol 0 can't be offered":          func(o *tunnel.AgentOptions) { o.Services[0].Protocol = 0 },
		"take more than 8192 bytes together":   func(o *tunnel.AgentOptions) { o.Token = strings.Repeat("x", 9000) },
		`"shop/x" can't be a site's name`:      func(o *tunnel.AgentOptions) { o.Services[0].Site = "shop/x" },
		`":3000" isn't where a service can be`: func(o *tunnel.AgentOptions) { o.Services[0].To = ":3000" },
	} {
		o := tunnel.AgentOptions{Name: "a", Token: token, Services: []tunnel.Service{{Site: "shop", Protocol: tunnel.HTTP, To: "localhost:3000"}}}
		change(&o)
		if _, err := tunnel.NewAgent(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestSilentAndForeignSessions(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("lisbon")
		for _, said := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x01\x40", "\x01\x02\x07"} {
			began := time.Now()
			session, err := w.dial(w.ctx, "lisbon")
			if err != nil {
				t.Fatal(err)
			}
			if said != "" {
				stream, _ := session.OpenStream(w.ctx)
				_, _ = stream.Write([]byte(said))
				go func() { _, _ = io.Copy(io.Discard, stream); _ = session.Close() }()
			}
			<-session.Done()
			if time.Since(began) > 11*time.Second {
				t.Errorf("%q is kept for %v", said, time.Since(began))
			}
		}
		if n := len(w.nodes["lisbon"].table.Offers()); n != 0 {
			t.Errorf("%d offers", n)
		}
	})
}

func TestUpgradeThroughATunnel(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("lisbon")
		laptop := w.net.Host("laptop")
		w.web(laptop, func(w http.ResponseWriter, r *http.Request) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			_ = rw.Flush()
			line, _ := rw.ReadString('\n')
			fmt.Fprint(rw, strings.ToUpper(line))
			_ = rw.Flush()
		})
		w.agent(laptop, "laptop", nil)
		settle(time.Second)
		r, _ := http.NewRequestWithContext(w.ctx, http.MethodGet, "https://shop.example/ws", nil)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		resp, err := w.nodes["lisbon"].table.Upstream("shop").RoundTrip(r)
		if err != nil || resp.StatusCode != 101 {
			t.Fatal(resp, err)
		}
		conn := resp.Body.(io.ReadWriteCloser)
		fmt.Fprintln(conn, "ping")
		if line, err := bufio.NewReader(conn).ReadString('\n'); line != "PING\n" {
			t.Errorf("%q %v", line, err)
		}
		_ = conn.Close()
		settle(time.Second)
		if o := w.nodes["lisbon"].table.Offers(); o[0].Running+o[1].Running != 0 {
			t.Errorf("%+v", o)
		}
	})
}

func TestAgentDiesInTheMiddle(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("lisbon")
		laptop := w.net.Host("laptop")
		w.web(laptop, func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(make([]byte, 100_000))
			<-r.Context().Done()
		})
		w.agent(laptop, "laptop", nil)
		settle(time.Second)
		failed := make(chan error, 1)
		go func() {
			status, body, err := w.get("lisbon", "shop", "/")
			if err == nil {
				err = fmt.Errorf("%w: %d %d %.200s", io.EOF, status, len(body), body)
			}
			failed <- err
		}()
		settle(time.Second)
		w.kill("lisbon") // its sessions
		if err := <-failed; err == nil || errors.Is(err, io.EOF) {
			t.Errorf("a response that was cut off gives %v", err)
		} else if _, isReset := exchange.ResetCode(err); isReset && fault.Of(err).Retry {
			t.Errorf("a response that was cut off can be had again: %v", err)
		}
	})
}

// TestDyingSessions has sessions die all the time, while requests and connections run: each fails, or is whole.
func TestDyingSessions(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("lisbon")
		for i := range 2 {
			host := w.net.Host(fmt.Sprintf("host%d", i))
			w.web(host, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					panic(http.ErrAbortHandler)
				}
				for range 20 { // without Content-Length
					_, _ = w.Write(body)
					time.Sleep(time.Millisecond)
				}
			})
			w.tcp(host, ":5432", upcase)
			w.agent(host, fmt.Sprintf("agent%d", i), nil)
		}
		settle(time.Second)
		rng := rand.New(rand.NewPCG(1, 2))
		end := time.Now().Add(3 * time.Second)
		w.running.Go(func() {
			for time.Now().Before(end) {
				time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
				w.mu.Lock()
				sessions := w.sessions["lisbon"]
				if n := len(sessions); n > 0 {
					sessions[n-1-rng.IntN(min(n, 4))].Kill()
				}
				w.mu.Unlock()
			}
		})
		var whole, failed atomic.Int64
		var asking sync.WaitGroup
		for i := range 20 {
			asking.Go(func() {
				said := strings.Repeat(fmt.Sprintf("content %d ", i), 300)
				for time.Now().Before(end) {
					time.Sleep(10 * time.Millisecond)
					var got, want string
					var err error
					if i%2 == 0 {
						r, _ := http.NewRequestWithContext(w.ctx, http.MethodPost, "http://shop.example/", strings.NewReader(said))
						var status int
						if status, got, err = w.ask("lisbon", "shop", r); status != 200 && err == nil {
							err = errors.New("refused")
						}
						want = strings.Repeat(said, 20)
					} else {
						got, err = w.say("lisbon", said)
						want = strings.ToUpper(said)
					}
					switch {
					case err != nil:
						failed.Add(1)
					case got != want:
						t.Errorf("%d bytes of %d look whole", len(got), len(want))
					default:
						whole.Add(1)
					}
				}
			})
		}
		asking.Wait()
		if whole.Load() < 30 || failed.Load() < 30 {
			t.Errorf("%d were whole and %d failed", whole.Load(), failed.Load())
		}
		settle(2 * time.Minute)
		if status, _, err := w.get("lisbon", "shop", "/"); status != 200 {
			t.Errorf("after all that: %d %v", status, err)
		}
		for _, o := range w.nodes["lisbon"].table.Offers() {
			if o.Running != 0 {
				t.Errorf("%d are under way, says %+v", o.Running, o)
			}
		}
	})
}

// say connects to the database, says something and returns the answer.
func (w *world) say(node, said string) (answer string, err error) {
	conn, err := w.nodes[node].table.DialContext(w.ctx, "db")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, said); err != nil {
		return "", err
	}
	if err := conn.(half).CloseWrite(); err != nil {
		return "", err
	}
	all, err := io.ReadAll(conn)
	return string(all), err
}
