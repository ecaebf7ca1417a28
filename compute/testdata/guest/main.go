// Command guest answers HTTP/1.1 requests on standard input: by its path each asks for something that programs do, well or badly.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var input = bufio.NewReader(os.Stdin)

// version is another one in another image.
var version = "1"

func main() {
	switch os.Getenv("START") {
	case "crash":
		panic("as asked")
	case "exit":
		return
	case "fail":
		fmt.Fprintln(os.Stderr, "no luck at the start")
		os.Exit(1)
	}
	for n := 1; ; n++ {
		head, content, err := read(input)
		if err != nil {
			return
		}
		_, path, _ := strings.Cut(head, " ")
		path, _, _ = strings.Cut(path, " ")
		do(path, n, head, content)
	}
}

func read(in *bufio.Reader) (head string, content []byte, err error) {
	length := 0
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", nil, err
		}
		head += line
		if line == "\r\n" {
			break
		}
		if v, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(v))
		}
	}
	if strings.Contains(head, " /early ") {
		return head, nil, nil
	}
	content = make([]byte, length)
	_, err = io.ReadFull(in, content)
	return head, content, err
}

func do(path string, n int, head string, content []byte) {
	switch {
	case strings.Contains(head, "\r\nWherry-Stage: request\r\n") && path != "/loop":
		before(path, head)
		return
	case strings.Contains(head, "\r\nWherry-Stage: response\r\n"):
		answer(strings.ToUpper(string(content)))
		return
	}
	switch path {
	case "/early":
		early(head)
	case "/dribble":
		fmt.Print("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for _, piece := range []string{"one", "two", "three"} {
			fmt.Printf("%x\r\n%s\r\n", len(piece), piece)
			time.Sleep(30 * time.Millisecond)
		}
		fmt.Print("0\r\n\r\n")
	case "/compute":
		fmt.Print("HTTP/1.1 200 OK\r\n\r\nsoon")
		for {
		}
	case "/forever":
		fmt.Print("HTTP/1.1 200 OK\r\n\r\n")
		for {
			fmt.Print("tick")
			time.Sleep(10 * time.Millisecond)
		}
	case "/half":
		fmt.Print("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		time.Sleep(30 * time.Millisecond)
		os.Exit(3)
	case "/stops":
		fmt.Print("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		time.Sleep(30 * time.Millisecond)
	case "/behind":
		answer("whole")
		time.Sleep(30 * time.Millisecond)
		fmt.Print("more")
	case "/until":
		fmt.Print("HTTP/1.1 200 OK\r\n\r\nto the end")
		time.Sleep(30 * time.Millisecond)
		fmt.Print(" of the call")
	case "/flood":
		text := strings.Repeat("0123456789abcdef", 1<<16)
		n, err := syscall.Write(1, []byte("HTTP/1.1 200 OK\r\n\r\n"+text)) // as a pipe does, it takes all
		fmt.Print(n-len(text), err)
	case "/empty":
		fmt.Print("HTTP/1.1 204 No Content\r\n\r\n")
	case "/same":
		fmt.Print("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n")
	case "/interim":
		fmt.Print("HTTP/1.1 100 Continue\r\n\r\n")
		time.Sleep(30 * time.Millisecond)
		answer("final")
	case "/count":
		answer(os.Getenv("SAY") + strconv.Itoa(n))
	case "/echo":
		answer(head + string(content))
	case "/version":
		answer("version " + version)
	case "/cached":
		fmt.Print("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\nkept")
	case "/fail":
		fmt.Fprintln(os.Stderr, "no luck")
		os.Exit(3)
	case "/say":
		fmt.Fprintln(os.Stderr, "something to say")
		answer("said")
	case "/loop":
		for {
		}
	case "/sleep":
		time.Sleep(time.Hour)
	case "/babble":
		for {
			fmt.Println(strings.Repeat("bla ", 1000))
		}
	case "/grow":
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
		}
	case "/panic":
		panic("as asked")
	case "/garbage":
		fmt.Print("hello, world\n")
	case "/silent":
	case "/two":
		answer("one")
		answer("two")
	case "/last":
		answer("bye")
		os.Exit(0)
	default:
		fmt.Print("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	}
}

// early answers before it has read the content, and skips it then.
func early(head string) {
	answer("early")
	if _, text, ok := strings.Cut(head, "Content-Length: "); ok {
		text, _, _ = strings.Cut(text, "\r")
		n, _ := strconv.ParseInt(text, 10, 64)
		_, _ = io.CopyN(io.Discard, input, n)
	}
}

// before lets requests go on whose sender says who he is; what is asked for by its old name by another.
func before(path, head string) {
	switch {
	case !strings.Contains(head, "\r\nX-Token: "):
		fmt.Print("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 12\r\n\r\nwho are you?")
	case path == "/old":
		fmt.Print("HTTP/1.1 204 No Content\r\nWherry-Target: /cached\r\n\r\n")
	default:
		fmt.Print("HTTP/1.1 204 No Content\r\nWherry-Set-X-User: ada\r\n\r\n")
	}
}

func answer(s string) {
	fmt.Printf("HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Kept: 1\r\nContent-Length: %d\r\n\r\n%s", len(s), s)
}
