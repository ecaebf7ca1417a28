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
	"strings"
	"time"
)

// JoinToken is what a machine shows to join a network: where control is, how to know it, and a secret that is good for a while.
type JoinToken struct {
	Servers []string `json:"s"` // mesh addresses of control nodes, HOST:PORT
	Pin     []byte   `json:"p"` // Authority.Pin
	ID      string   `json:"i"` // of the token, which control finds it by
	Secret  string   `json:"k"`
}

const (
	tokenFront    = "wjt1."
	tokenChecksum = 4
	tokenMax      = 4096
)

// NewJoinToken returns a token with a new secret.
func NewJoinToken(servers []string, pin [32]byte) JoinToken {
	return JoinToken{Servers: servers, Pin: pin[:], ID: strings.ToLower(rand.Text()[:12]), Secret: rand.Text()}
}

// Text returns the token as it is pasted.
func (t JoinToken) Text() string {
	data, err := json.Marshal(t)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return tokenFront + base64.RawURLEncoding.EncodeToString(append(data, sum[:tokenChecksum]...))
}

// LogValue keeps the secret out of logs.
func (t JoinToken) LogValue() slog.Value { return slog.StringValue("join token " + t.ID) }

// ParseJoinToken reads a token, and says what is wrong with one that was pasted wrongly.
func ParseJoinToken(text string) (JoinToken, error) {
	text = strings.Join(strings.Fields(text), "") // terminals break long lines
	rest, ok := strings.CutPrefix(text, tokenFront)
	if !ok || len(text) > tokenMax {
		return JoinToken{}, fmt.Errorf("a join token begins with %s: paste the one that wherry init or wherry node token printed", tokenFront)
	}
	data, err := base64.RawURLEncoding.DecodeString(rest)
	if err != nil || len(data) < tokenChecksum {
		return JoinToken{}, errors.New("the join token was cut off, or has something else in it: paste the whole of it")
	}
	data, sum := data[:len(data)-tokenChecksum], data[len(data)-tokenChecksum:]
	if want := sha256.Sum256(data); string(want[:tokenChecksum]) != string(sum) {
		return JoinToken{}, errors.New("the join token was cut off, or has something else in it: paste the whole of it")
	}
	var t JoinToken
	if err := json.Unmarshal(data, &t); err != nil || len(t.Servers) == 0 || len(t.Pin) != sha256.Size || t.ID == "" || t.Secret == "" {
		return JoinToken{}, errors.New("the join token isn't of this version of wherry")
	}
	return t, nil
}

// JoinTransport reaches control for a machine that has no certificate yet. It knows control by the hash of its authority.
func JoinTransport(t JoinToken) *http.Transport {
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, // verified below
		VerifyConnection: func(cs tls.ConnectionState) error { return verifyPinned(cs.PeerCertificates, t.Pin) },
	}
	return &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
		},
		ResponseHeaderTimeout: 30 * time.Second, DisableKeepAlives: true,
	}
}

// verifyPinned says whether the chain's first certificate is signed by an authority with that hash, which must be in it.
func verifyPinned(chain []*x509.Certificate, pin []byte) error {
	for _, root := range chain[min(1, len(chain)):] {
		if have := pinOf(root); string(have[:]) != string(pin) || !root.IsCA {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(root)
		_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return fmt.Errorf("control's certificate is good from %s to %s, and it is %s by this machine's clock: set the clock",
				stamp(chain[0].NotBefore), stamp(chain[0].NotAfter), stamp(time.Now()))
		}
		return err
	}
	return errors.New("what answers there isn't control of the network that the token is for")
}
