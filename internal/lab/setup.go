package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/node"
)

// bringUp starts the first node, lets the others join, and starts them.
func (l *Lab) bringUp(ctx context.Context, running *sync.WaitGroup) error {
	first := l.nodes[0]
	if l.plan.Token == "" {
		result, err := node.Init(ctx, node.InitOptions{Dir: first.dir, Settings: first.settings, Zone: "wherry.test"})
		if err != nil {
			return fmt.Errorf("make %s: %w", first.name(), err)
		}
		l.plan.Token = result.Token
		data, err := json.MarshalIndent(&l.plan, "", "  ")
		if err != nil {
			return err
		}
		if err := certs.WriteSecret(l.planFile(), data); err != nil {
			return err
		}
	}
	l.client = &api.Client{Server: l.server, Token: l.plan.Token, HTTP: &http.Client{Timeout: time.Minute}}
	// Those that have joined are started together: the store needs most of its members.
	var missing []*machine
	for _, m := range l.nodes {
		if !m.joined() {
			missing = append(missing, m)
		} else if err := l.launch(ctx, running, m); err != nil {
			return err
		}
	}
	if err := l.reach(ctx, first); err != nil {
		return err
	}
	if err := l.join(ctx, missing); err != nil {
		return err
	}
	for _, m := range missing {
		if err := l.launch(ctx, running, m); err != nil {
			return err
		}
	}
	if err := l.grow(ctx); err != nil {
		return err
	}
	return l.await(ctx)
}

func (l *Lab) launch(ctx context.Context, running *sync.WaitGroup, m *machine) error {
	if err := m.start(); err != nil {
		return fmt.Errorf("start %s: %w", m.name(), err)
	}
	running.Go(func() {
		m.watch(ctx, func(what string) {
			l.o.Log.Info("node "+what, "node", m.name())
			if what != "ended by itself" {
				go l.print(m) // who says so holds the process
			}
		})
	})
	return nil
}

// startPatience bounds how long the network may take to come up.
const startPatience = 3 * time.Minute

// until asks every 50 ms.
func (l *Lab) until(ctx context.Context, what string, done func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		err := done()
		if err == nil {
			return nil
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return fmt.Errorf("%s: %w; the logs of the nodes are in %s", what, err, l.o.Dir)
		}
	}
}

func (l *Lab) reach(ctx context.Context, m *machine) error {
	return l.until(ctx, m.name()+" doesn't come up", func() error {
		if pid, _ := m.current(); pid == 0 {
			return fmt.Errorf("it ended: %s", lastLine(m.log))
		}
		_, err := l.client.Status(ctx)
		return err
	})
}

func lastLine(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return "no log"
	}
	return string(data[max(0, len(data)-500):])
}

func (m *machine) joined() bool {
	_, err := os.Stat(filepath.Join(m.dir, node.SettingsName))
	return err == nil
}

// join makes these the network's nodes.
func (l *Lab) join(ctx context.Context, missing []*machine) error {
	if len(missing) == 0 {
		return nil
	}
	token, err := l.client.CreateJoinToken(ctx, api.JoinTokenRequest{
		Roles: []feed.Role{feed.RoleControl, feed.RoleEdge, feed.RoleDNS, feed.RoleCollect, feed.RoleRelay}, Uses: len(missing), Life: time.Hour,
	})
	if err != nil {
		return fmt.Errorf("join token: %w", err)
	}
	for _, m := range missing {
		if err := node.Join(ctx, node.JoinOptions{Dir: m.dir, Token: token.Token, Settings: m.settings}); err != nil {
			return fmt.Errorf("join %s: %w", m.name(), err)
		}
	}
	return nil
}

// grow makes all control nodes members of the store.
func (l *Lab) grow(ctx context.Context) error {
	var names []config.NodeID
	for _, m := range l.nodes[1:l.o.Control] {
		names = append(names, m.settings.Name)
	}
	if len(names) == 0 {
		return nil
	}
	return l.until(ctx, "control doesn't grow", func() error {
		_, err := l.client.Grow(ctx, api.GrowRequest{Nodes: names})
		return err
	})
}

// await waits until all nodes are live and have what control has.
func (l *Lab) await(ctx context.Context) error {
	return l.until(ctx, "the nodes don't come up", func() error {
		st, err := l.client.Status(ctx)
		if err != nil {
			return err
		}
		live := 0
		for _, n := range st.Nodes {
			if n.Live && n.Report != nil && n.Report.Config != "" {
				live++
			}
		}
		if live < len(l.nodes) {
			return fmt.Errorf("%d of %d nodes are live", live, len(l.nodes))
		}
		return nil
	})
}
