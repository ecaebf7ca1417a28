package mesh

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/wherry/wherry/feed"
)

// JoinToken is what a machine shows to join a network: where control is, how to know it, and a secret that is good for a while. Printed in
// any way but by Text it doesn't show the secret.
type JoinToken struct {
	Servers []string // mesh addresses of control nodes, HOST:PORT
	Pin     []byte   // Authority.Pin
	ID      string   // of the token, by which control finds it
	Secret  string   // 130 bits
}

// tokenForm is what stands in the text of a token, in JSON; see Text.
type tokenForm struct {
	Servers []string `json:"s"`
	Pin     []byte   `json:"p"`
	ID      string   `json:"i"`
	Secret  string   `json:"k"`
}

const (
	tokenFront      = "wjt1."
	tokenChecksum   = 4
	tokenMax        = 4096
	tokenServersMax = 16
)

var otherToken = regexp.MustCompile(`^wjt[0-9]{1,6}\.`)

// NewJoinToken returns a token with a new secret.
func NewJoinToken(servers []string, pin [32]byte) JoinToken {
	return JoinToken{Servers: servers, Pin: pin[:], ID: strings.ToLower(rand.Text()[:12]), Secret: rand.Text()}
}

// Text returns the token as it is pasted:
//
//	wjt1.BASE64URL( JSON of tokenForm | first 4 bytes of its SHA-256 )
//
// The checksum tells a token that was cut off from one that control doesn't know.
func (t JoinToken) Text() string {
	data, err := json.Marshal(tokenForm(t))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return tokenFront + base64.RawURLEncoding.EncodeToString(append(data, sum[:tokenChecksum]...))
}

func (t JoinToken) String() string { return "join token " + t.ID }

// GoString implements fmt.GoStringer.
func (t JoinToken) GoString() string { return t.String() }

// LogValue implements slog.LogValuer.
func (t JoinToken) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText refuses to: a token that stands in a structure isn't to be kept or sent.
func (t JoinToken) MarshalText() ([]byte, error) {
	return nil, errors.New("BUG: a join token is written by Text alone")
}

// ParseJoinToken reads a token, and says what is wrong with one that was pasted wrongly.
func ParseJoinToken(text string) (JoinToken, error) {
	text = strings.Join(strings.Fields(text), "") // terminals break long lines
	rest, ok := strings.CutPrefix(text, tokenFront)
	switch {
	case text == "":
		return JoinToken{}, errors.New("the join token is empty: paste the one that wherry init or wherry node token printed")
	case !ok && otherToken.MatchString(text):
		return JoinToken{}, fmt.Errorf("the join token is of another version of wherry (%s): use the version that control has", text[:strings.IndexByte(text, '.')])
	case !ok:
		return JoinToken{}, fmt.Errorf("a join token begins with %s: paste the whole of the one that wherry init or wherry node token printed", tokenFront)
	case len(text) > tokenMax:
		return JoinToken{}, fmt.Errorf("the join token is longer than any can be (%d characters): paste it alone", len(text))
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err == nil && len(data) > tokenChecksum {
		sum := data[len(data)-tokenChecksum:]
		data = data[:len(data)-tokenChecksum]
		want := sha256.Sum256(data)
		ok = string(want[:tokenChecksum]) == string(sum)
	}
	if err != nil || len(data) <= tokenChecksum || !ok {
		return JoinToken{}, fmt.Errorf("the join token was cut off, or has something else in it (%d characters): paste the whole of it", len(text))
	}
	var t tokenForm
	if err := json.Unmarshal(data, &t); err != nil || len(t.Pin) != sha256.Size || t.ID == "" || t.Secret == "" {
		return JoinToken{}, errors.New("the join token isn't of this version of wherry: use the version that control has")
	}
	if len(t.Servers) == 0 || len(t.Servers) > tokenServersMax {
		return JoinToken{}, fmt.Errorf("the join token names %d addresses of control, want 1 to %d: print another one with wherry node token", len(t.Servers), tokenServersMax)
	}
	for _, s := range t.Servers {
		if host, port, err := net.SplitHostPort(s); err != nil || host == "" || port == "" {
			return JoinToken{}, fmt.Errorf("the join token has %.80q for an address of control, want HOST:PORT: print another one with wherry node token", s)
		}
	}
	return JoinToken(t), nil
}

// JoinTransport reaches control for a machine that has no certificate yet. It knows control by the hash of its authority, and speaks to
// nodes of the role control alone: another node of the network could use the token's secret itself.
func JoinTransport(t JoinToken) *http.Transport {
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, // verified below
		VerifyConnection: func(cs tls.ConnectionState) error { return verifyPinned(cs.PeerCertificates, t.Pin, time.Now()) },
	}
	return &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
			defer cancel()
			return (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
		},
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("BUG: control is asked without TLS")
		},
		ResponseHeaderTimeout: 30 * time.Second, DisableKeepAlives: true,
	}
}

// verifyPinned says whether the chain's first certificate is control's, signed by an authority with that hash, which must be in it.
func verifyPinned(chain []*x509.Certificate, pin []byte, now time.Time) error {
	for _, root := range chain[min(1, len(chain)):] {
		if have := pinOf(root); string(have[:]) != string(pin) || !root.IsCA {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(root)
		who, err := verify(chain[0], roots, x509.ExtKeyUsageServerAuth, now, false)
		if err == nil && !who.Has(feed.RoleControl) {
			err = fmt.Errorf("%s answers there, which isn't control: print another join token, or look what listens there", who.Node)
		}
		return err
	}
	return errors.New("what answers there isn't control of the network that the token is for: look at the address, and print another token " +
		"if the network was begun anew")
}
