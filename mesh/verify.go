package mesh

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/wherry/wherry/config"
)

// refusal is why a connection wasn't taken, with the word under which it is counted.
type refusal struct {
	reason string
	error
}

func (r refusal) Unwrap() error { return r.error }

func reasonOf(err error) string {
	var r refusal
	if errors.As(err, &r) {
		return r.reason
	}
	return "handshake"
}

// verify says who a certificate is of, if one of the roots signed it for that usage, and it is good now; of an expired one, if that is let
// in, that it was good at its end.
func verify(leaf *x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage, now time.Time, expired bool) (Who, error) {
	at := now
	if expired && now.After(leaf.NotAfter) {
		at = leaf.NotAfter
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err == nil {
		who, err := whoOf(leaf)
		if err != nil {
			return Who{}, refusal{"malformed", err}
		}
		return who, nil
	}
	name := nameIn(leaf)
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return Who{}, refusal{"foreign", fmt.Errorf("certificate of %s is of another network (%.80q)", name, leaf.Issuer.CommonName)}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Who{}, wrongTime(nameIn(invalid.Cert), invalid.Cert, now)
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return Who{}, refusal{"usage", fmt.Errorf("certificate of %s isn't for what it is used for here: it isn't of wherry", name)}
	default:
		return Who{}, refusal{"malformed", fmt.Errorf("certificate of %s: %w", name, err)}
	}
}

func wrongTime(name string, c *x509.Certificate, now time.Time) error {
	if now.Before(c.NotBefore) {
		return refusal{"early", fmt.Errorf("certificate of %s isn't valid before %s: this machine's clock says %s; set the clock that is wrong",
			name, stamp(c.NotBefore), stamp(now))}
	}
	return refusal{"expired", fmt.Errorf("certificate of %s isn't valid after %s: this machine's clock says %s; if that is right, the node "+
		"couldn't renew it, because its own clock is wrong or it doesn't reach control", name, stamp(c.NotAfter), stamp(now))}
}

// nameIn is what a certificate that may be anybody's says of itself.
func nameIn(c *x509.Certificate) string {
	if config.IsLabel(c.Subject.CommonName) {
		return c.Subject.CommonName
	}
	return fmt.Sprintf("%.80q", c.Subject.CommonName)
}
