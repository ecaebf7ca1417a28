package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/wherry/wherry/overlay/wire"
)

// Token is the proof that a reset comes from the node that has the secret.
func Token(secret []byte, id wire.ID) (t [16]byte) {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("reset"))
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(id)))
	copy(t[:], m.Sum(nil))
	return t
}

// Cookie proves that who shows it was reached at that address lately.
func Cookie(secret []byte, at netip.AddrPort, now time.Time) [wire.CookieSize]byte {
	return cookie(secret, at, now.Unix()/60)
}

func cookie(secret []byte, at netip.AddrPort, minute int64) [wire.CookieSize]byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("cookie"))
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(minute)))
	m.Write([]byte(at.String()))
	return [wire.CookieSize]byte(m.Sum(nil))
}

// CookieGood says whether a cookie is of this minute or the one before.
func CookieGood(secret, shown []byte, at netip.AddrPort, now time.Time) bool {
	minute := now.Unix() / 60
	for _, m := range []int64{minute, minute - 1} {
		if want := cookie(secret, at, m); hmac.Equal(shown, want[:]) {
			return true
		}
	}
	return false
}
