package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// bodyMax bounds a cart in bytes.
const bodyMax = 1 << 20

// Cart is what clients send.
type Cart struct {
	Country string `json:"country"`
	Items   []Item `json:"items"`
}

// Item is one line of a cart.
type Item struct {
	SKU   string `json:"sku"`
	Cents int64  `json:"cents"`
	Count int64  `json:"count"`
}

// Total is the answer.
type Total struct {
	Items int64 `json:"items"`
	Net   int64 `json:"net_cents"`
	Tax   int64 `json:"tax_cents"`
	Gross int64 `json:"gross_cents"`
}

// taxPercent is what countries add.
var taxPercent = map[string]int64{"DE": 19, "FR": 20, "PT": 23, "SE": 25, "CH": 8}

func main() {
	http.HandleFunc("POST /cart", price)
	if err := serve(os.Stdin, os.Stdout, http.DefaultServeMux); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func price(w http.ResponseWriter, r *http.Request) {
	var c Cart
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyMax)).Decode(&c); err != nil {
		http.Error(w, "send a cart as JSON: "+err.Error(), http.StatusBadRequest)
		return
	}
	percent, ok := taxPercent[c.Country]
	if !ok {
		http.Error(w, "no tax is known for country "+strconv.Quote(c.Country), http.StatusUnprocessableEntity)
		return
	}
	var t Total
	for _, item := range c.Items {
		if item.Count < 1 || item.Count > 1000 || item.Cents < 0 || item.Cents > 1e9 {
			http.Error(w, "item "+strconv.Quote(item.SKU)+": count is 1 to 1000, cents 0 to 1000000000", http.StatusUnprocessableEntity)
			return
		}
		t.Items += item.Count
		t.Net += item.Cents * item.Count
	}
	t.Tax = (t.Net*percent + 50) / 100
	t.Gross = t.Net + t.Tax
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(t) // into memory
}

// serve answers the requests on in, in order, until it ends.
func serve(in io.Reader, out io.Writer, h http.Handler) error {
	requests := bufio.NewReader(in)
	for {
		r, err := http.ReadRequest(requests)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			_, _ = io.WriteString(out, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") // what is wrong is said below
			return fmt.Errorf("reading a request: %w", err)
		}
		answer := response{header: http.Header{}, status: http.StatusOK}
		h.ServeHTTP(&answer, r)
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, bodyMax)) // the next request stands behind it
		if err := answer.write(out); err != nil {
			return fmt.Errorf("writing a response: %w", err)
		}
	}
}

// response collects what a handler answers, so that it leaves in one write.
type response struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) WriteHeader(status int)      { r.status = status }
func (r *response) Write(p []byte) (int, error) { return r.body.Write(p) }

func (r *response) write(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", r.status, http.StatusText(r.status))
	r.header.Set("Content-Length", strconv.Itoa(r.body.Len()))
	_ = r.header.Write(&b) // a Builder takes all
	b.WriteString("\r\n")
	b.WriteString(r.body.String())
	_, err := io.WriteString(out, b.String())
	return err
}
