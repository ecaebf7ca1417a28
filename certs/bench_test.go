package certs

import (
	"crypto/tls"
	"strconv"
	"testing"
)

func BenchmarkGetCertificate(b *testing.B) {
	k := keeperOf(b, newCA(b), &clock{now: epoch}, "shop shop.test")
	h := hello("shop.test")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.GetCertificate(h); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIssue(b *testing.B) {
	ca := newCA(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := ca.issue("host-"+strconv.Itoa(i)+".test", epoch); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHandshake measures both sides of a handshake over a pipe, with a leaf that is there and with a ticket.
func BenchmarkHandshake(b *testing.B) {
	k := keeperOf(b, newCA(b), &clock{now: epoch}, "shop shop.test")
	for name, sessions := range map[string]tls.ClientSessionCache{"full": nil, "resumed": tls.NewLRUClientSessionCache(1)} {
		b.Run(name, func(b *testing.B) {
			server := k.TLSConfig()
			client := clientOf(sessions)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := handshakeWith(b, server, "192.0.2.7:443", client); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
