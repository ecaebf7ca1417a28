package trace

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Field is the request field with which an operator asks for a trace. The edge takes it off every request, traced or not.
const Field = "Wherry-Trace"

// credentialLife is how long a Credential is good for: long enough for clocks that differ a little, too short to pass on.
const credentialLife = time.Minute

// Credential returns the value of Field for a trace called id: `ID.EXPIRY.MAC`, where EXPIRY is in Unix seconds and MAC the
// HMAC-SHA256 of `ID.EXPIRY` under the operator's token in hex. The token itself never travels to an edge.
func Credential(token, id string, now time.Time) string {
	claim := id + "." + strconv.FormatInt(now.Add(credentialLife).Unix(), 10)
	return claim + "." + mac(token, claim)
}

// Verify checks a Credential and returns the id in it. An empty token verifies nothing.
func Verify(token, credential string, now time.Time) (id string, err error) {
	i := strings.LastIndexByte(credential, '.')
	if token == "" || i < 0 || len(credential) > 256 {
		return "", fmt.Errorf("malformed trace credential")
	}
	claim := credential[:i]
	if !hmac.Equal([]byte(mac(token, claim)), []byte(credential[i+1:])) {
		return "", fmt.Errorf("trace credential not signed with this network's operator token")
	}
	id, expiry, _ := strings.Cut(claim, ".")
	unix, err := strconv.ParseInt(expiry, 10, 64)
	if err != nil || id == "" {
		return "", fmt.Errorf("malformed trace credential")
	}
	if left := time.Unix(unix, 0).Sub(now); left < 0 || left > 2*credentialLife {
		return "", fmt.Errorf("trace credential expired or from the future: compare the clocks")
	}
	return id, nil
}

func mac(token, claim string) string {
	h := hmac.New(sha256.New, []byte(token))
	h.Write([]byte(claim))
	return hex.EncodeToString(h.Sum(nil))
}
