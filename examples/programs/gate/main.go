package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

// tokenMax bounds a token in bytes.
const tokenMax = 8 << 10

func main() {
	key := os.Getenv("KEY")
	if key == "" {
		log.Fatal("set KEY to the key that signs the tokens")
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			refuse(w, "", errors.New("send Authorization: Bearer TOKEN"))
			return
		}
		claims, err := check(token, []byte(key), time.Now())
		if err != nil {
			refuse(w, "invalid_token", err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(claims) // into the connection
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}

// refuse answers as RFC 6750 §3 has it.
func refuse(w http.ResponseWriter, code string, err error) {
	challenge := "Bearer"
	if code != "" {
		challenge += ` error="` + code + `"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, err.Error(), http.StatusUnauthorized)
}

// check returns the claims of a token that key signed and that is valid at now, as JSON.
func check(token string, key []byte, now time.Time) ([]byte, error) {
	if len(token) > tokenMax {
		return nil, errors.New("the token is too long")
	}
	signed, signature, ok := cutLast(token)
	head, body, found := strings.Cut(signed, ".")
	if !ok || !found {
		return nil, errors.New("the token doesn't have three parts")
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	if b, err := base64.RawURLEncoding.DecodeString(head); err != nil || json.Unmarshal(b, &header) != nil || header.Algorithm != "HS256" {
		return nil, errors.New("the token isn't signed by HS256") // others, "none" first of all, aren't taken
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	if got, err := base64.RawURLEncoding.DecodeString(signature); err != nil || !hmac.Equal(got, mac.Sum(nil)) {
		return nil, errors.New("the signature is wrong")
	}
	var claims struct {
		Expires   *float64 `json:"exp"`
		NotBefore *float64 `json:"nbf"`
	}
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(b, &claims) != nil {
		return nil, errors.New("the claims aren't JSON")
	}
	at := float64(now.Unix())
	switch {
	case claims.Expires == nil:
		return nil, errors.New("the token has no end (exp)")
	case at >= *claims.Expires:
		return nil, errors.New("the token has expired")
	case claims.NotBefore != nil && at < *claims.NotBefore:
		return nil, errors.New("the token isn't valid yet")
	}
	return b, nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
