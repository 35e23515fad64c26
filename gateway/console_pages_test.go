package gateway

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// browserCases are requests with and without text/html in Accept.
var browserCases = []struct {
	method, path, accept string
	status               int
	page                 bool
}{
	{"GET", "/", browser, 200, true},
	{"HEAD", "/", browser, 200, true},
	{"GET", "/?x=1", "TEXT/HTML", 200, true},
	{"GET", "/", "*/*", 302, false},
	{"GET", "/", "", 302, false},
	{"GET", "/", "text/*", 302, false},
	{"GET", "/", "text/html;q=0, */*", 302, false},
	{"GET", "/", "application/json, text/html;q=0.1", 200, true},
	{"GET", "/vault", browser, 200, true},
	{"GET", "/vault/some.key_1-2", browser, 200, true},
	{"GET", "/vault/a/b", browser, 404, true},
	{"GET", "/vault/", browser, 404, true},
	{"GET", "/vault", "*/*", 404, false},
	{"POST", "/vault", browser, 404, false},
	{"GET", "/activity?errors_only=true", browser, 200, true},
	{"GET", "/admin/users/507f1f77bcf86cd799439011", browser, 200, true},
	{"GET", "/admin/system", browser, 200, true},
	{"GET", "/device?user_code=ABCD-EFGH", browser, 200, true},
	{"GET", "/verify-email?token=x", browser, 200, true},
	{"GET", "/verify-email?token=x", "*/*", 200, false},
	{"GET", "/reset-password?token=x", browser, 200, true},
	{"GET", "/login", browser, 404, true},
	{"HEAD", "/login", browser, 404, true},
	{"GET", "/login", "*/*", 404, false},
	{"PUT", "/login", browser, 404, false},
	{"GET", "/api", browser, 404, false},
	{"GET", "/api/v1/nothing", browser, 404, false},
	{"GET", "/apiary", browser, 404, true},
	{"GET", "/docs/errors/NOTHING", browser, 404, false},
	{"GET", "/console", browser, 404, false},
	{"GET", "/console/", browser, 404, false},
	{"GET", "/console/nothing.js", browser, 404, false},
	{"GET", "/console/session", browser, 405, false},
	{"GET", "/.well-known/nothing", browser, 404, false},
	{"GET", "/healthz", browser, 200, false},
	{"GET", "/a//b", browser, 400, false},
}

// TestABrowserGetsTheConsole and a program what it always got.
func TestABrowserGetsTheConsole(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	d.users.answers(func(w http.ResponseWriter, r seen) {
		if strings.HasPrefix(r.target, "/internal/") {
			d.users.serve(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "page of users-svc")
	})
	for _, c := range browserCases {
		r := d.do(ask{method: c.method, path: c.path, header: map[string]string{"Accept": c.accept}})
		policy := r.header.Get("Content-Security-Policy")
		page := strings.Contains(policy, "trusted-types 'none'")
		if r.status != c.status || page != c.page {
			t.Errorf("%s %s for %q: got %d, the page %v; want %d, %v", c.method, c.path, c.accept, r.status, page, c.status,
				c.page)
		}
		if page && (!strings.Contains(r.header.Get("Vary"), "Accept,") || r.header.Get("Cache-Control") != "no-cache" ||
			r.header.Get("Content-Type") != "text/html; charset=utf-8" || (r.raw == "") != (c.method == "HEAD") ||
			r.header.Get("Cross-Origin-Opener-Policy") != "same-origin" || r.header.Get("Referrer-Policy") != "no-referrer") {
			t.Errorf("%s %s: got the headers %v and %d bytes", c.method, c.path, r.header, len(r.raw))
		}
		if vary := r.header.Get("Vary"); (c.path == "/" || c.path == "/login" || c.path == "/verify-email?token=x") &&
			c.method == "GET" && !strings.Contains(vary, "Accept") {
			t.Errorf("%s for %q: got Vary %q, want Accept in it", c.path, c.accept, vary)
		}
	}
}

var references = regexp.MustCompile(`(?:src|href)="(/console/[^"]+)"`)

// TestFilesOfTheConsoleAreKept by their tags, and by the paths with the hash of all of them
// forever.
func TestFilesOfTheConsoleAreKept(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Limits.Address.Count = 30 })
	page := d.do(ask{method: "GET", path: "/", header: map[string]string{"Accept": "text/html"}})
	paths := references.FindAllStringSubmatch(page.raw, -1)
	if len(paths) < 2 {
		t.Fatalf("got %d files in the page, want some: %s", len(paths), page.raw)
	}
	get := func(path string, header ...string) reply {
		h := map[string]string{}
		for i := 0; i+1 < len(header); i += 2 {
			h[header[i]] = header[i+1]
		}
		return d.do(ask{method: "GET", path: path, header: h})
	}
	for _, match := range paths {
		path := match[1]
		plain := get(path, "Accept-Encoding", "identity")
		small := get(path, "Accept-Encoding", "br;q=1, gzip;q=0.5")
		tag, tagSmall := plain.header.Get("ETag"), small.header.Get("ETag")
		if plain.status != 200 || !strings.Contains(plain.header.Get("Cache-Control"), "immutable") || tag == "" ||
			!strings.Contains(plain.header.Get("Vary"), "Accept-Encoding") ||
			plain.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %d with the headers %v", path, plain.status, plain.header)
		}
		if small.header.Get("Content-Encoding") == "gzip" && (tag == tagSmall || len(small.raw) >= len(plain.raw)) {
			t.Errorf("%s: the compressed one has the tag %s and %d bytes, the other %s and %d", path, tagSmall, len(small.raw),
				tag,
				len(plain.raw))
		}
		for _, c := range []struct {
			tags   string
			status int
		}{{tag, 304}, {"W/" + tag, 304}, {`"x", ` + tag, 304}, {"*", 304}, {tagSmall, 200}, {`"x"`, 200}} {
			if r := get(path, "If-None-Match", c.tags, "Accept-Encoding", "identity"); tag != tagSmall &&
				(r.status != c.status || (r.raw == "") != (c.status == 304)) {
				t.Errorf("%s with If-None-Match %s: got %d and %d bytes, want %d", path, c.tags, r.status, len(r.raw), c.status)
			}
		}
		file := path[strings.LastIndex(path, "/"):]
		for _, other := range []string{"/console" + file, "/console/v-0123456789abcdef" + file} {
			if r := get(other, "Accept-Encoding", "identity"); r.raw != plain.raw ||
				r.header.Get("Cache-Control") != "no-cache" {
				t.Errorf("%s: got %d with Cache-Control %q, want the same file to be revalidated", other, r.status,
					r.header.Get("Cache-Control"))
			}
		}
	}
	if r := get("/", "Accept", "text/html", "If-None-Match", page.header.Get("ETag")); r.status != 200 && r.status != 304 {
		t.Errorf("the page again: got %d", r.status)
	}
	for range 40 {
		if r := get(paths[0][1]); r.status != 200 {
			t.Fatalf("a file after many: got %d, want no limit", r.status)
		}
	}
}

// TestEveryFileOfTheConsoleIsServed, however deep its folder is.
func TestEveryFileOfTheConsoleIsServed(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	err := fs.WalkDir(os.DirFS("console/ui"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == "index.html" {
			return err
		}
		if r := d.do(ask{method: "GET", path: "/console/v-0/" + name}); r.status != 200 {
			t.Errorf("%s: got %d, want 200", name, r.status)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestWithoutTheConsoleABrowserGetsWhatAProgramGets.
func TestWithoutTheConsoleABrowserGetsWhatAProgramGets(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Console = "off" })
	for path, status := range map[string]int{"/": 302, "/vault": 404, "/login": 404, "/console/app.js": 404} {
		r := d.do(ask{method: "GET", path: path, header: map[string]string{"Accept": "text/html"}})
		if r.status != status || r.header.Get("Vary") != "" {
			t.Errorf("%s: got %d and Vary %q, want %d and none", path, r.status, r.header.Get("Vary"), status)
		}
	}
}
