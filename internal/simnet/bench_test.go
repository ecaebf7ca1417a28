package simnet_test

import (
	"io"
	"net"
	"testing"

	"github.com/wherry/wherry/internal/simnet"
)

func BenchmarkTCP(b *testing.B) {
	n := simnet.New(simnet.Options{})
	l, err := n.Host("server").Listen("tcp", ":80")
	if err != nil {
		b.Fatal(err)
	}
	client, err := n.Host("client").DialContext(b.Context(), "tcp", "server:80")
	if err != nil {
		b.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func(c net.Conn) { defer close(done); io.Copy(io.Discard, c) }(server)
	block := make([]byte, 32<<10)
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	client.Close()
	<-done
	server.Close()
	l.Close()
}
