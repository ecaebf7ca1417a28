// Command asker asks the edge for things while it answers. It listens, or with STDIN reads standard input; with SDK it asks by the SDK.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	wherry "github.com/wherry/wherry/sdk/go"
)

var client = http.DefaultClient

func main() {
	http.HandleFunc("/ask", ask)
	http.HandleFunc("/post", post)
	http.HandleFunc("/many", many)
	http.HandleFunc("/parallel", parallel)
	http.HandleFunc("/sleep", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * time.Millisecond)
		fmt.Fprint(w, "slept")
	})
	http.HandleFunc("/hostile", hostile)
	http.HandleFunc("/leave", leave)
	if os.Getenv("STDIN") != "" {
		if err := wherry.Serve(nil); err != nil {
			log.Fatal(err)
		}
		return
	}
	log.Fatal(http.ListenAndServe(":8080", nil))
}

func number(r *http.Request, name string) int {
	n, _ := strconv.Atoi(r.FormValue(name))
	return n
}

// ask asks for each url, and says what came of it.
func ask(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	for _, url := range r.Form["url"] {
		response, err := client.Get(url)
		fmt.Fprintln(w, told(response, err))
	}
}

// told is what came: the status, and the content or its length.
func told(response *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	if len(b) > 100 {
		return fmt.Sprint(response.StatusCode, " ", len(b), " bytes, ", bytes.Count(b, []byte("x")), " of them x")
	}
	return fmt.Sprint(response.StatusCode, " ", strings.TrimSpace(string(b)))
}

func post(w http.ResponseWriter, r *http.Request) {
	response, err := client.Post(r.FormValue("url"), "text/plain", strings.NewReader(strings.Repeat("x", number(r, "n"))))
	fmt.Fprint(w, told(response, err))
}

// many asks n times, and says how often which status came.
func many(w http.ResponseWriter, r *http.Request) {
	statuses := map[int]int{}
	for range number(r, "n") {
		response, err := client.Get(r.FormValue("url"))
		if err != nil {
			fmt.Fprint(w, err)
			return
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		statuses[response.StatusCode]++
	}
	fmt.Fprint(w, statuses)
}

func parallel(w http.ResponseWriter, r *http.Request) {
	var all sync.WaitGroup
	results := make([]string, number(r, "n"))
	for i := range results {
		all.Go(func() { results[i] = told(client.Get(r.FormValue("url"))) })
	}
	all.Wait()
	fmt.Fprint(w, strings.Join(results, ","))
}

// leave asks in the background, and answers before that is done.
func leave(w http.ResponseWriter, r *http.Request) {
	asked := make(chan struct{})
	go func() {
		c, err := net.Dial("tcp", "edge:80")
		if err != nil {
			log.Print(err)
		} else {
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: edge\r\n\r\n", r.FormValue("path"))
		}
		close(asked)
		if err == nil {
			_, err = io.ReadAll(c)
			log.Print(err)
		}
	}()
	<-asked
	time.Sleep(20 * time.Millisecond) // so that the request arrives
	fmt.Fprint(w, "left")
}

// hostile does what it shouldn't, and says at which connection it was refused.
func hostile(w http.ResponseWriter, r *http.Request) {
	var kept []net.Conn
	for range number(r, "n") {
		c, err := net.Dial("tcp", "10.0.0.1:80")
		if err != nil {
			fmt.Fprint(w, "refused")
			return
		}
		switch r.FormValue("how") {
		case "keep":
			kept = append(kept, c)
		case "garbage":
			_, _ = c.Write([]byte(strings.Repeat("\x00\xff\r\n", 1000)))
			c.Close()
		case "half":
			_, _ = c.Write([]byte("POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 1000000\r\n\r\nxx"))
			kept = append(kept, c)
		case "head":
			_, _ = c.Write([]byte("GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 100_000)))
			kept = append(kept, c)
		default:
			c.Close()
		}
	}
	fmt.Fprint(w, "all ", len(kept))
}
