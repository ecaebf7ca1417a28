package control

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

// withClock is the same control as another node of it sees it whose clock is wrong.
func (c *Control) withClock(wrong time.Duration) *Control {
	o := c.o
	o.Now = func() time.Time { return time.Now().Add(wrong) }
	return New(o)
}

// joiner is a machine that joins with a name.
type joiner struct {
	t    *testing.T
	name config.NodeID
	csr  []byte
}

func newJoiner(t *testing.T, name config.NodeID) *joiner {
	t.Helper()
	id, err := mesh.OpenIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	csr, err := id.CSR()
	if err != nil {
		t.Fatal(err)
	}
	return &joiner{t, name, csr}
}

func (j *joiner) request(token string) JoinRequest {
	j.t.Helper()
	parsed, err := mesh.ParseJoinToken(token)
	if err != nil {
		j.t.Fatal(err)
	}
	return JoinRequest{ID: parsed.ID, Secret: parsed.Secret, CSR: j.csr, Node: feed.NodeRecord{
		Name: j.name, Cluster: "osaka", Roles: []feed.Role{feed.RoleEdge}, Mesh: "192.0.2.2:8440",
	}}
}

func (j *joiner) mustJoin(c *Control) []byte {
	j.t.Helper()
	made, err := c.CreateJoinToken(j.t.Context(), admin, api.JoinTokenRequest{})
	if err != nil {
		j.t.Fatal(err)
	}
	answer, err := c.Join(j.t.Context(), j.request(made.Token))
	if err != nil {
		j.t.Fatal(err)
	}
	return answer.Certificate
}

// issued is when a certificate says that it was issued, which is what removals are compared with.
func issued(t *testing.T, certificate []byte) time.Time {
	t.Helper()
	block, _ := pem.Decode(certificate)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	nanoseconds, err := strconv.ParseInt(leaf.URIs[0].Query().Get("issued"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(0, nanoseconds)
}

func (c *Control) revokedAt(t *testing.T, id config.NodeID) time.Time {
	t.Helper()
	r, _, _, err := read[feed.Revocations](t.Context(), c, keyRevoked)
	if err != nil {
		t.Fatal(err)
	}
	return r.Nodes[id]
}

// Whatever control nodes issue and remove, with clocks that differ by a day: what was issued before the removal isn't good after it, and what is
// issued after it is.
func TestRemovalsHoldWhateverTheClocksSay(t *testing.T) {
	right := newControl(t)
	const day = 24 * time.Hour
	for _, clocks := range []struct{ joins, renews, removes, again time.Duration }{
		{0, 0, 0, 0}, {day, 0, 0, 0}, {0, day, 0, -day}, {0, 0, day, -day}, {-day, day, -day, 0}, {day, -day, 0, -day},
	} {
		j := newJoiner(t, "osaka-1")
		first := j.mustJoin(right.withClock(clocks.joins))
		second, _, err := right.withClock(clocks.renews).Renew(t.Context(), mesh.Who{Node: "osaka-1", Issued: issued(t, first)}, j.csr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := right.withClock(clocks.removes).RemoveNode(t.Context(), admin, api.RemoveNodeRequest{Node: "osaka-1"}); err != nil {
			t.Fatal(err)
		}
		at := right.revokedAt(t, "osaka-1")
		if issued(t, first).After(at) || issued(t, second).After(at) {
			t.Errorf("%+v: a certificate outlives the removal at %s: issued %s and %s", clocks, at, issued(t, first), issued(t, second))
		}
		_, _, err = right.withClock(clocks.again).Renew(t.Context(), mesh.Who{Node: "osaka-1"}, j.csr)
		refusedWith(t, err, http.StatusForbidden, "was removed")
		if third := j.mustJoin(right.withClock(clocks.again)); !issued(t, third).After(at) {
			t.Errorf("%+v: the certificate of a node that joined again is as good as removed: issued %s, removed %s", clocks, issued(t, third), at)
		}
		if _, err := right.RemoveNode(t.Context(), admin, api.RemoveNodeRequest{Node: "osaka-1"}); err != nil {
			t.Fatal(err)
		}
	}
}

// A node that renews while it is removed either gets no certificate or one that the removal is of.
func TestRenewalsRaceARemoval(t *testing.T) {
	c := newControl(t)
	for range 20 {
		j := newJoiner(t, "osaka-1")
		j.mustJoin(c)
		var all sync.WaitGroup
		got := make([][]byte, 4)
		for i := range got {
			all.Go(func() {
				for range 8 {
					certificate, _, err := c.withClock(time.Duration(i)*time.Hour).Renew(context.Background(), mesh.Who{Node: "osaka-1"}, j.csr)
					if err != nil {
						return
					}
					got[i] = certificate
				}
			})
		}
		if _, err := c.RemoveNode(t.Context(), admin, api.RemoveNodeRequest{Node: "osaka-1"}); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		for i, certificate := range got {
			if certificate != nil && issued(t, certificate).After(c.revokedAt(t, "osaka-1")) {
				t.Errorf("renewal %d got a certificate of %s, after the removal at %s", i, issued(t, certificate), c.revokedAt(t, "osaka-1"))
			}
		}
	}
}

func TestAJoinTokenExpires(t *testing.T) {
	c := newControl(t)
	made, err := c.CreateJoinToken(t.Context(), admin, api.JoinTokenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.withClock(2*time.Hour).Join(t.Context(), newJoiner(t, "osaka-1").request(made.Token))
	refusedWith(t, err, http.StatusForbidden, "expired at", "the clock of lisbon-1 says")
}
