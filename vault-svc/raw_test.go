package vault

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// raw sends a request with an unchanged request line on a new connection and returns the whole
// answer. claimed, if given, is the Content-Length instead of the length of the body.
func (s *stack) raw(i auth.Identity, line, body string, claimed ...int64) (string, error) {
	header, err := s.signer.Sign(i, Name)
	if err != nil {
		return "", err
	}
	c, err := net.DialTimeout("tcp", s.addr, testkit.Patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(testkit.Patience))
	_, err = fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: vault\r\nConnection: close\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s",
		line, auth.IdentityHeader, header, append(claimed, int64(len(body)))[0], body)
	if err != nil {
		return "", err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(c)
	return string(answer), err
}

func TestPathsAreMatchedExactly(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	s.put(u, "kept", "", "v")
	for line, want := range map[string]string{
		"DELETE /api/v1/vault/":                    "404 NOT_FOUND",
		"DELETE /api/v1/vault//":                   "404 NOT_FOUND",
		"DELETE /api/v1/vault/keys/":               "404 NOT_FOUND",
		"DELETE /api/v1/vault/keys/..":             "404 VAULT_KEY_NOT_FOUND",
		"DELETE /api/v1/vault/keys/.":              "404 VAULT_KEY_NOT_FOUND",
		"DELETE /api/v1/vault/keys/%2e%2e":         "404 VAULT_KEY_NOT_FOUND",
		"DELETE /api/v1/vault/keys/%2E.":           "404 VAULT_KEY_NOT_FOUND",
		"DELETE /api/v1/vault/keys/../":            "404 NOT_FOUND",
		"DELETE /api/v1/vault/keys/../../vault":    "404 NOT_FOUND",
		"DELETE /api/v1/vault/./":                  "404 NOT_FOUND",
		"DELETE /api/v1/vault/stats/..":            "404 NOT_FOUND",
		"DELETE /api/v1/./vault":                   "404 NOT_FOUND",
		"DELETE /api/v1/x/../vault":                "404 NOT_FOUND",
		"DELETE //api/v1/vault":                    "404 NOT_FOUND",
		"DELETE /api/v1//vault":                    "404 NOT_FOUND",
		"DELETE /API/v1/vault":                     "404 NOT_FOUND",
		"DELETE /api/v1/vault%2f":                  "404 NOT_FOUND",
		"DELETE /api/v1/%76ault":                   "404 NOT_FOUND",
		"DELETE /api/v1/vault;x":                   "404 NOT_FOUND",
		"DELETE /api/v1/vault/keys":                "405 METHOD_NOT_ALLOWED",
		"DELETE /api/v1/vault/stats":               "405 METHOD_NOT_ALLOWED",
		"POST /api/v1/vault/keys/kept":             "405 METHOD_NOT_ALLOWED",
		"GET /api/v1/vault":                        "405 METHOD_NOT_ALLOWED",
		"GET /api/v1/vault/keys/":                  "404 NOT_FOUND",
		"GET /api/v1/vault/keys/kept/":             "404 NOT_FOUND",
		"GET /api/v1/vault/keys/kept/x":            "404 NOT_FOUND",
		"DELETE /api/v1/vault/keys/..%2f..%2fkept": "400 VALIDATION_ERROR",
		`DELETE /api/v1/vault/keys/..\..`:          "400 VALIDATION_ERROR",
	} {
		answer, err := s.raw(u, line, "")
		status, code, _ := strings.Cut(want, " ")
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 "+status+" ") ||
			!strings.Contains(answer, `"code":"`+code+`"`) {
			t.Errorf("%s: got %.400s (%v), want %s", line, answer, err, want)
		}
		if status == "405" && !strings.Contains(answer, "\r\nAllow: ") {
			t.Errorf("%s: no Allow in %s", line, answer)
		}
	}
	if r := s.call(u, "GET", "/api/v1/vault/keys/kept", nil); r.status != 200 {
		t.Fatalf("something was cleared: %s", r.raw)
	}
}

func TestDotsAreLegalKeys(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	for _, path := range []string{"/api/v1/vault/keys/..", "/api/v1/vault/keys/%2e"} {
		if answer, err := s.raw(u, "PUT "+path, `{"value":"dots"}`); err != nil ||
			!strings.HasPrefix(answer, "HTTP/1.1 201 ") {
			t.Errorf("PUT %s: got %.300s %v", path, answer, err)
		}
		if answer, err := s.raw(u, "GET "+path, ""); err != nil || !strings.Contains(answer, `"value":"dots"`) {
			t.Errorf("GET %s: got %.300s %v", path, answer, err)
		}
	}
	if r := s.call(u, "GET", "/api/v1/vault/keys", nil); !strings.Contains(string(r.Data), `"key":".",`) ||
		!strings.Contains(string(r.Data), `"key":"..",`) {
		t.Errorf("got %s", r.raw)
	}
}

func TestChunkedAndIncompleteBodies(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	header, err := s.signer.Sign(u, Name)
	if err != nil {
		t.Fatal(err)
	}
	head := "PUT /api/v1/vault/keys/k HTTP/1.1\r\nHost: vault\r\n" + auth.IdentityHeader + ": " + header + "\r\n"
	chunk := strings.Repeat("v", 100_000)
	for name, c := range map[string]struct{ request, want string }{
		"chunked": {head +
			"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"value\":\"\"\r\n1\r\n}\r\n0\r\n\r\n",
			"HTTP/1.1 20"},
		"chunked, large": {head +
			"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{\"value\":\"\r\n186a0\r\n" + chunk +
			"\r\n2\r\n\"}\r\n0\r\n\r\n", "HTTP/1.1 20"},
		"a chunk of no size": {head + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400 "},
		"longer than any may be": {head + "Connection: close\r\nContent-Length: 999999999999\r\n\r\n" + chunk,
			"HTTP/1.1 413 "},
		"on a call that has none": {strings.Replace(head, "PUT", "DELETE", 1) +
			"Connection: close\r\nContent-Length: 2000000\r\n\r\n" + chunk, "HTTP/1.1 413 "},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.DialTimeout("tcp", s.addr, testkit.Patience)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
			if _, err := io.WriteString(conn, c.request); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 64)
			if _, err := io.ReadFull(conn, answer); err != nil || !strings.HasPrefix(string(answer), c.want) {
				t.Errorf("got %s (%v), want %s", answer, err, c.want)
			}
		})
	}
}
