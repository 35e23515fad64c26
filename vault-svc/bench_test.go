package vault

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/auth"
)

// The benchmarks compare one call of the service, over HTTP on the loopback, with the bare
// statement for the same row through pgx. Both include the work of the client. Run them with:
//
//	go test -run '^$' -bench . -benchtime 3s -count 6

// quiet makes the service log errors only and open a connection for each client of the benchmark.
func quiet(c *Config) { c.Service.LogRequests, c.DB.MaxConns = "errors", 16 }

// benchClients is the number of concurrent clients for each CPU.
const benchClients = 8

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{100, 10_000, 1 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			s, u := start(b, quiet), user()
			s.put(u, "k", "", strings.Repeat("v", size))
			b.Run("pgx", func(b *testing.B) {
				bench(b, size, func() func() error {
					var sealed []byte
					return func() error {
						return s.pool.QueryRow(b.Context(),
							`SELECT sealed FROM vault_items WHERE user_id = $1 AND realm_id = $2 AND key = $3`,
							u.UserID, "", "k").Scan(&sealed)
					}
				})
			})
			b.Run("service", func(b *testing.B) { bench(b, size, s.caller(u, "GET", nil)) })
		})
	}
}

// BenchmarkPut gives each client a user of its own, because writers of one user wait for the lock
// of that user's account.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{100, 10_000, 1 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			s := start(b, quiet)
			value := strings.Repeat("v", size)
			newUser := func() auth.Identity {
				u := user()
				s.put(u, "k", "", value)
				return u
			}
			b.Run("pgx", func(b *testing.B) {
				bench(b, size, func() func() error {
					u, sealed := newUser(), []byte(value)
					return func() error {
						_, err := s.pool.Exec(b.Context(),
							`UPDATE vault_items SET sealed = $4, updated_at = now()
								WHERE user_id = $1 AND realm_id = $2 AND key = $3`,
							u.UserID, "", "k", sealed)
						return err
					}
				})
			})
			b.Run("service", func(b *testing.B) {
				bench(b, size, func() func() error { return s.caller(newUser(), "PUT", body(value))() })
			})
		})
	}
}

// caller returns a constructor of clients. A client is a function that sends one request.
func (s *stack) caller(i auth.Identity, method string, data []byte) func() func() error {
	header, err := s.signer.Sign(i, Name)
	if err != nil {
		s.t.Fatal(err)
	}
	c := &fasthttp.HostClient{Addr: s.addr, MaxConns: 1024, MaxResponseBodySize: 64 << 20}
	return func() func() error {
		req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		req.Header.SetMethod(method)
		req.SetRequestURI("http://" + s.addr + "/api/v1/vault/keys/k")
		req.Header.Set(auth.IdentityHeader, header)
		req.SetBodyRaw(data)
		return func() error {
			if err := c.Do(req, res); err != nil {
				return err
			}
			if res.StatusCode() != 200 {
				return fmt.Errorf("got %d %.200s", res.StatusCode(), res.Body())
			}
			return nil
		}
	}
}

func bench(b *testing.B, size int, newClient func() func() error) {
	b.ReportAllocs()
	b.SetBytes(int64(size))
	b.SetParallelism(benchClients)
	clients := make(chan func() error, benchClients*runtime.GOMAXPROCS(0))
	for range cap(clients) {
		clients <- newClient()
	}
	b.ResetTimer()
	before := cpu(b)
	defer func() { b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op") }()
	b.RunParallel(func(pb *testing.PB) {
		call := <-clients
		for pb.Next() {
			if err := call(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// cpu returns the CPU time of this process, without PostgreSQL. On a busy machine it is a better
// measure than elapsed time.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
