package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestHostileBodiesCostAFewTimesTheirLength sends many anonymous requests at once. A JSON parser
// could spend much more memory on their bodies than they are long. The test is not parallel because
// it counts the allocations of the whole process: gateway, users-svc and its own client.
func TestHostileBodiesCostAFewTimesTheirLength(t *testing.T) {
	r := start(t, noLimits...)
	const size, senders, most = 64 << 10, 100, 12
	for name, body := range hostileBodies(size) {
		for _, path := range []string{"/api/v1/users/auth/login", "/api/v1/auth/signup"} {
			sent := senders * len(body)
			before, peak, stop := memory(), uint64(0), make(chan struct{})
			var watch sync.WaitGroup
			watch.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond):
						m := memory()
						peak = max(peak, m.HeapInuse+m.StackInuse)
					}
				}
			})
			var wait sync.WaitGroup
			for range senders {
				wait.Go(func() { r.refused(t, path, body) })
			}
			wait.Wait()
			close(stop)
			watch.Wait()
			after := memory()
			ratio := float64(after.TotalAlloc-before.TotalAlloc) / float64(sent)
			growth := float64(peak) - float64(before.HeapInuse+before.StackInuse)
			if ratio > most {
				t.Errorf("%s to %s: %.1f bytes allocated for each byte sent, want at most %d", name, path, ratio, most)
			}
			if growth > 2*most*float64(sent) {
				t.Errorf("%s to %s: the process grew by %.0f bytes for %d bytes sent", name, path, growth, sent)
			}
		}
	}
}

// hostileBodies returns bodies of at most size bytes, and one of a megabyte, that are expensive to
// parse.
func hostileBodies(size int) map[string]string {
	many := func(from, to int, member string) string {
		var b strings.Builder
		for i := from; b.Len() < to; i++ {
			fmt.Fprintf(&b, member, i)
		}
		return b.String()
	}
	whole := func(begin, filling, end string) string {
		return begin + filling[:min(len(filling), size-len(begin)-len(end))] + end
	}
	return map[string]string{
		"many members":            "{" + many(0, size-40, `"%x":1,`) + `"z":1}`,
		"many members in one":     `{"client":{` + many(0, size-60, `"%x":1,`) + `"z":1}}`,
		"many nested objects":     `{"client":[` + many(0, size-60, `{"%x":{}},`) + `1]}`,
		"an array of numbers":     `{"client":[` + strings.Repeat("1,", size/2-20) + `1]}`,
		"deep":                    `{"client":` + strings.Repeat("[", size-10),
		"deep objects":            `{"client":` + strings.Repeat(`{"a":`, size/5-10),
		"a long escaped string":   whole(`{"password":"`, strings.Repeat(`\u00e9`, size/6), ``)[:size-10],
		"a long string":           `{"password":"` + strings.Repeat("a", size-20) + `"}`,
		"a long name":             `{"` + strings.Repeat("a", size-20) + `":1}`,
		"one name many times":     "{" + strings.Repeat(`"a":1,`, size/6-10) + `"a":1}`,
		"no JSON":                 strings.Repeat("x", size-10),
		"white space":             strings.Repeat(" ", size-10),
		"a megabyte, refused":     "{" + many(0, 1<<20, `"%x":1,`) + `"z":1}`,
		"a long number":           `{"email":` + strings.Repeat("9", size-20) + `}`,
		"lists where text is due": `{"email":[` + strings.Repeat(`"a",`, size/4-20) + `"a"],"password":[]}`,
	}
}

func memory() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}

// refused sends a body on a new connection and wants an answer of 400 or 413.
func (r *running) refused(t *testing.T, path, body string) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", path, len(body))
	if _, err := io.WriteString(conn, body); err != nil && len(body) < 1<<20 {
		t.Errorf("%s: %v", path, err)
		return
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Errorf("%s: no answer: %v", path, err)
		return
	}
	_ = res.Body.Close()
	if res.StatusCode != 400 && res.StatusCode != 413 {
		t.Errorf("%s: %d, want 400 or 413", path, res.StatusCode)
	}
}
