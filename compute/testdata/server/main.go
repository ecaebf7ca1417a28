// Command server is an ordinary server: it listens, and knows nothing of where it runs.
package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	wherry "github.com/wherry/wherry/sdk/go"
)

func main() {
	var count atomic.Int64
	http.HandleFunc("/count", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, count.Add(1)) })
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Seen", r.Host+" "+r.Header.Get("Connection")+" "+strconv.FormatInt(r.ContentLength, 10))
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			log.Print(err)
		}
		if r.URL.Query().Has("flush") {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
		}
		piece := make([]byte, 4096)
		for {
			n, err := r.Body.Read(piece)
			_, _ = w.Write(piece[:n])
			_ = http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	})
	http.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * time.Millisecond)
		fmt.Fprint(w, "slow")
	})
	http.HandleFunc("/sleep", func(http.ResponseWriter, *http.Request) { time.Sleep(time.Hour) })
	http.HandleFunc("/loop", func(http.ResponseWriter, *http.Request) {
		for {
		}
	})
	http.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		piece := strings.Repeat("0123456789abcdef", 256)
		for ; n > 0; n-- {
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
		}
	})
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	http.HandleFunc("/talk", talk(&count))
	http.HandleFunc("/socket", socket)
	http.HandleFunc("/garbage", func(w http.ResponseWriter, _ *http.Request) {
		if c, rw := take(w); c != nil {
			defer c.Close()
			_, _ = rw.WriteString("hello\n\n\r\n\r\n")
			_ = rw.Flush()
		}
	})
	if os.Getenv("BOTH") != "" {
		go func() { log.Fatal(http.ListenAndServe(":8080", nil)) }()
		read()
	}
	if os.Getenv("STDIN") != "" {
		read()
		return
	}
	if os.Getenv("SDK") != "" {
		log.Fatal(wherry.Serve(nil))
	}
	if os.Getenv("RUDE") != "" {
		rude()
	}
	var connections atomic.Int64
	http.HandleFunc("/connections", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, connections.Load()) })
	http.HandleFunc("/close", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	s := &http.Server{Addr: ":8080", ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}}
	log.Fatal(s.ListenAndServe())
}

// socket is a WebSocket (RFC 6455) that sends back each message, of one short frame.
func socket(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // §4.2.2
	c, rw := take(w)
	if c == nil {
		return
	}
	defer c.Close()
	_, _ = fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	for rw.Flush() == nil {
		var head [6]byte // §5.2: opcode, length, mask
		if _, err := io.ReadFull(rw, head[:]); err != nil {
			return
		}
		message := make([]byte, head[1]&0x7f)
		if _, err := io.ReadFull(rw, message); err != nil {
			return
		}
		for i := range message {
			message[i] ^= head[2+i%4]
		}
		_, _ = rw.Write(append([]byte{head[0], byte(len(message))}, message...))
	}
}

// read has the same handlers answer requests on standard input.
func read() {
	in := bufio.NewReader(os.Stdin)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		http.DefaultServeMux.ServeHTTP(w, r)
		response := w.Result()
		response.ContentLength = int64(w.Body.Len())
		if response.Write(os.Stdout) != nil {
			return
		}
	}
}

func take(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		log.Print(err)
	}
	return c, rw
}

// talk switches to a protocol of lines, each of which is answered with how many there were.
func talk(count *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "lines" {
			http.Error(w, "lines alone", http.StatusUpgradeRequired)
			return
		}
		c, rw := take(w)
		if c == nil {
			return
		}
		defer c.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
		for {
			if rw.Flush() != nil {
				return
			}
			line, err := rw.ReadString('\n')
			if err != nil || line == "bye\n" {
				return
			}
			_, _ = fmt.Fprintf(rw, "%d %s", count.Add(1), line)
		}
	}
}

// rude answers one request a connection, and closes it a while later, without a word and without a look at what has come since.
func rude() {
	l, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	for n := 1; ; n++ {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			text := strconv.Itoa(n)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
			time.Sleep(3 * time.Millisecond)
		}
		_ = c.Close()
	}
}
