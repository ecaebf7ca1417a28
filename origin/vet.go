package origin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/wherry/wherry/fault"
)

// vet refuses what net/http lets through and a client must not see.
func vet(req *http.Request, resp *http.Response) *fault.Error {
	if resp.ProtoMajor != 1 && resp.ProtoMajor != 2 {
		return broken("http_protocol_error", fmt.Errorf("unknown version %q", resp.Proto))
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return vetSwitch(req, resp)
	}
	// RFC 9110 §15: outside 100 to 599 a status is invalid; final ones begin at 200.
	if resp.StatusCode < 200 || resp.StatusCode > 599 {
		return broken("http_protocol_error", fmt.Errorf("invalid status %d", resp.StatusCode))
	}
	count := 0
	for _, values := range resp.Header {
		count += len(values)
	}
	if count > responseFieldsMax {
		return broken("http_response_header_section_size", fmt.Errorf("%d fields, more than %d", count, responseFieldsMax))
	}
	for name := range resp.Header {
		if strings.IndexByte(name, ' ') < 0 {
			continue
		}
		if err := mendName(resp, name); err != nil {
			return err
		}
	}
	return nil
}

// vetSwitch checks that a server switched to a protocol that it was offered (RFC 9110 §7.8).
func vetSwitch(req *http.Request, resp *http.Response) *fault.Error {
	if _, ok := resp.Body.(io.ReadWriteCloser); !ok {
		return broken("http_upgrade_failed", errors.New("switched protocols without Connection: upgrade"))
	}
	got := strings.ToLower(resp.Header.Get("Upgrade"))
	for offered := range strings.SplitSeq(strings.ToLower(upgradeWanted(req)), ",") {
		if got != "" && strings.TrimSpace(offered) == got {
			return nil
		}
	}
	return broken("http_upgrade_failed", fmt.Errorf("switched to %q, which wasn't offered", got))
}

// mendName removes the whitespace between a field's name and its colon, as a proxy must (RFC 9112 §5.1). Where the field says
// where the message ends it's too late for that: it has been read without.
func mendName(resp *http.Response, name string) *fault.Error {
	clean := http.CanonicalHeaderKey(strings.TrimRight(name, " "))
	if strings.Contains(clean, " ") || clean == "" || clean == "Content-Length" || clean == "Transfer-Encoding" {
		return broken("http_protocol_error", fmt.Errorf("invalid field name %q", name))
	}
	resp.Header[clean] = append(resp.Header[clean], resp.Header[name]...)
	delete(resp.Header, name)
	return nil
}
