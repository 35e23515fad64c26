//go:build linux

package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// soakFor lets the test run longer: go test -run Soak -soak 5m ./standalone (in deploy).
var soakFor = flag.Duration("soak", 3*time.Second, "how long TestSoak goes on")

const (
	idleConnections = 10_000
	slowConnections = 500
	soakReadTimeout = 5 * time.Second
	settleTime      = testkit.Patience
	// idleTimeout is the gateway's setting: it closes a connection without a request for this long.
	idleTimeout = 60 * time.Second
)

// footprint is the resources that a process holds.
type footprint struct {
	goroutines, files, heapMB, residentMB int
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d open files, %d MB heap, %d MB resident", f.goroutines, f.files, f.heapMB,
		f.residentMB)
}

// TestSoak holds thousands of idle and slow connections to the product while other clients connect,
// sign in and out, move large values and break off. Afterwards the product must have released all
// resources. It runs as another process so that only its resources are measured.
func TestSoak(t *testing.T) {
	t.Parallel()
	if testkit.Race && !testkit.ReleaseBuild() {
		t.Skip("the program would have the race detector, which allows 8,128 goroutines; run this with CI=true or without -race")
	}
	p := spawn(t, append([]string{
		"DATA_DIR=" + dataFolder(t), "GATEWAY_ADDR=127.0.0.1:0", "ADMIN_EMAIL=" + adminEmail,
		"ADMIN_PASSWORD=" + adminPassword, "LOG_LEVEL=info", "LOG_REQUESTS=errors",
		"READ_TIMEOUT=" + soakReadTimeout.String(),
	}, noLimits...)...)
	if p.url == "" {
		t.Fatalf("does not start: %s", p.errors)
	}
	s := &soak{process: p, running: p.client(t), addr: strings.TrimPrefix(p.url, "http://")}
	for i := range s.users {
		s.users[i] = s.user(fmt.Sprint("soak", i))
	}
	s.churn(time.Second) // fill pools and caches
	before := s.footprint()

	began := time.Now()
	idle := s.openIdle()
	opened := time.Since(began)
	s.openSlow()
	s.login(adminEmail, adminPassword)
	s.get("/api/v1/vault/keys", s.users[0].Token).want(t, "a request beside the others", 200, "")
	held := s.footprint()
	done := s.churn(*soakFor)
	if asleep := time.Since(began); asleep < idleTimeout {
		s.stillThere(idle)
	} else if asleep > idleTimeout+30*time.Second {
		s.ended(idle)
	}
	busy := s.footprint()
	for _, c := range idle {
		_ = c.Close()
	}
	closed := time.Now()
	after := s.settled(footprint{goroutines: before.goroutines + 60, files: before.files + 40,
		heapMB: before.heapMB + 48})
	t.Logf("before: %v", before)
	t.Logf("with %d idle and %d slow connections, opened in %v: %v", len(idle), slowConnections, opened, held)
	t.Logf("after %v of churn, %d requests: %v", *soakFor, done, busy)
	t.Logf("%v after all were closed: %v", time.Since(closed), after)
	if busy.residentMB > 1024 {
		t.Errorf("%d MB resident", busy.residentMB)
	}
}

// soak is a product under test.
type soak struct {
	*running
	process *process
	addr    string
	users   [4]account
}

// footprint measures the product after a garbage collection.
func (s *soak) footprint() footprint {
	s.t.Helper()
	found := regexp.MustCompile(`service=gateway.*admin_addr=(\S+)`).FindStringSubmatch(s.process.errors.String())
	if found == nil {
		s.t.Fatalf("the log does not say where the admin port is:\n%s", s.process.errors)
	}
	admin := func(path string) string {
		res, err := http.Get("http://" + found[1] + path)
		if err != nil {
			s.t.Fatal(err)
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			s.t.Fatal(err)
		}
		return string(raw)
	}
	number := func(pattern, text string) int {
		m := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if m == nil {
			s.t.Fatalf("no %s in %.200s", pattern, text)
		}
		f, _ := strconv.ParseFloat(m[1], 64)
		return int(f)
	}
	admin("/debug/pprof/heap?gc=1")
	var f footprint
	f.goroutines = number(`total (\d+)`, admin("/debug/pprof/goroutine?debug=1"))
	f.heapMB = number(`(?m)^go_memstats_heap_alloc_bytes (\S+)`, admin("/metrics")) >> 20
	dir := fmt.Sprintf("/proc/%d", s.process.cmd.Process.Pid)
	files, err := filepath.Glob(dir + "/fd/*")
	status, err2 := os.ReadFile(dir + "/status")
	if err != nil || err2 != nil {
		s.t.Fatal(err, err2)
	}
	f.files, f.residentMB = len(files), number(`VmRSS:\s+(\d+)`, string(status))>>10
	return f
}

// settled waits until the process holds at most the given resources: fasthttp keeps idle goroutines
// for ten seconds.
func (s *soak) settled(most footprint) footprint {
	s.t.Helper()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for deadline := time.Now().Add(settleTime); ; time.Sleep(time.Second) {
		now := s.footprint()
		if now.goroutines <= most.goroutines && now.files <= most.files && now.heapMB <= most.heapMB {
			return now
		}
		if time.Now().After(deadline) {
			s.t.Errorf("after %v: %v; want at most %v", settleTime, now, most)
			return now
		}
	}
}

const plainRequest = "GET /api/v1/auth/config HTTP/1.1\r\nHost: h\r\n\r\n"

// openIdle opens connections that make one request and then stay idle, as many as the limit of open
// files allows.
func (s *soak) openIdle() []net.Conn {
	s.t.Helper()
	n := idleConnections
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && int(limit.Cur) < n+2000 {
		n = int(limit.Cur) - 2000
		s.t.Logf("only %d idle connections: the limit of open files is %d", n, limit.Cur)
	}
	conns := make([]net.Conn, n)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range 32 {
		wait.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				c, err := net.Dial("tcp", s.addr)
				if err != nil {
					s.t.Error(err)
					return
				}
				conns[i] = c
				s.t.Cleanup(func() { _ = c.Close() })
				if err := ask(c); err != nil {
					s.t.Errorf("connection %d: %v", i, err)
				}
			}
		})
	}
	wait.Wait()
	return conns
}

// ask sends a request on c and reads its answer.
func ask(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(testkit.Patience))
	if _, err := io.WriteString(c, plainRequest); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err == nil && res.StatusCode != 200 {
		err = fmt.Errorf("got %d", res.StatusCode)
	}
	return err
}

// openSlow opens connections that send a header byte by byte, and wants each closed within the time
// limit of a request.
func (s *soak) openSlow() {
	var wait sync.WaitGroup
	for range slowConnections {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			s.t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ")
		wait.Go(func() {
			defer c.Close()
			start := time.Now()
			for time.Since(start) < testkit.Patience {
				_ = c.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := c.Read(make([]byte, 512)); err != nil && !os.IsTimeout(err) {
					return // closed
				}
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
			}
			s.t.Errorf("a slow connection was borne for %v", time.Since(start))
		})
	}
	s.t.Cleanup(wait.Wait)
}

// stillThere sends a second request on some of the idle connections.
func (s *soak) stillThere(idle []net.Conn) {
	s.t.Helper()
	for i := 0; i < len(idle); i += len(idle)/100 + 1 {
		if err := ask(idle[i]); err != nil {
			s.t.Errorf("idle connection %d: %v", i, err)
		}
	}
}

// ended wants the product to have closed the idle connections.
func (s *soak) ended(idle []net.Conn) {
	s.t.Helper()
	for i, c := range idle {
		_ = c.SetReadDeadline(time.Now().Add(testkit.Patience))
		if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil || os.IsTimeout(err) {
			s.t.Fatalf("idle connection %d is not ended after %v: %d bytes, %v", i, idleTimeout, n, err)
		}
	}
}

// churn runs clients for a time, one worker for each user, and returns the number of requests.
func (s *soak) churn(lasts time.Duration) int64 {
	var made atomic.Int64
	var wait sync.WaitGroup
	for i := range s.users {
		wait.Go(func() {
			for end := time.Now().Add(lasts); time.Now().Before(end); {
				s.act(&s.users[i], &made)
			}
		})
	}
	wait.Wait()
	return made.Load()
}

// act performs one of the clients' actions on a new connection.
func (s *soak) act(u *account, made *atomic.Int64) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	do := func(method, path, body string, want int) {
		req, _ := http.NewRequest(method, s.url+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+u.Token)
		req.Header.Set("Content-Type", "application/json")
		res, err := transport.RoundTrip(req)
		if err != nil {
			s.t.Errorf("%s %s: %v", method, path, err)
			return
		}
		defer res.Body.Close()
		raw, _ := io.ReadAll(res.Body)
		if made.Add(1); res.StatusCode != want {
			s.t.Errorf("%s %s: %d %.200s", method, path, res.StatusCode, raw)
		}
	}
	const key = "/api/v1/vault/keys/large"
	switch rand.IntN(5) {
	case 0:
		do("POST", "/api/v1/users/auth/logout", "", 200)
		*u = s.login(u.Email, userPassword)
	case 1:
		value := `{"value":"` + strings.Repeat("v", 1<<20+rand.IntN(8<<20)) + `"}`
		do("PUT", "/api/v1/vault/keys/"+strconv.FormatInt(time.Now().UnixNano(), 36), value, 201)
		do("DELETE", "/api/v1/vault", "", 200)
	case 2: // an upload that breaks off, and malformed bytes
		for _, text := range []string{
			"PUT " + key + " HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + u.Token +
				"\r\nContent-Length: 9000000\r\n\r\n" +
				strings.Repeat("x", 1<<20), "\x00\x01\x02",
		} {
			if c, err := net.Dial("tcp", s.addr); err == nil {
				_, _ = io.WriteString(c, text)
				_ = c.Close()
			}
		}
	case 3: // an answer that the client does not read
		do("PUT", key, `{"value":"`+strings.Repeat("v", 2<<20)+`"}`, 201)
		if c, err := net.Dial("tcp", s.addr); err == nil {
			_, _ = io.WriteString(c, "GET "+key+" HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+u.Token+"\r\n\r\n")
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		do("DELETE", key, "", 200)
	default:
		for range 20 {
			do("GET", "/api/v1/users/me", "", 200)
			do("GET", "/api/v1/vault/stats", "", 200)
		}
	}
}
