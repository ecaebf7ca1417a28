// Pages answers requests on standard input with files below /www, and says what was in /etc/greeting when it started.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path"
)

func main() {
	greeting, err := os.ReadFile("/etc/greeting")
	if err != nil {
		log.Fatal(err)
	}
	for in := bufio.NewReader(os.Stdin); ; {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		status, text := http.StatusOK, ""
		switch r.URL.Path {
		case "/greeting":
			text = string(greeting)
		case "/arguments":
			text = fmt.Sprintln(os.Args)
		case "/write":
			text = fmt.Sprintln(os.WriteFile(r.URL.Query().Get("name"), []byte("x"), 0o644))
		default:
			b, err := os.ReadFile(path.Join("/www", r.URL.Path))
			if err != nil {
				status = http.StatusNotFound
			}
			text = string(b)
		}
		fmt.Printf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\nCache-Control: no-store\r\n\r\n", status, http.StatusText(status), len(text))
		_, _ = io.WriteString(os.Stdout, text)
	}
}
