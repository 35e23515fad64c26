// Package console provides the web console: its files, and its session, whose refresh token is in a
// cookie that scripts cannot read. Start reading at Console.ServePage for the files and at
// NewSession for the cookie.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/realmgate/realmgate/pkg/ascii"
)

//go:embed ui
var ui embed.FS

// prefix begins the paths of all files of the console.
const prefix = "/console/"

// contentSecurityPolicy lets the page load and call its own origin only. Trusted types rule out
// that text becomes markup or script.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Console holds the files of the console, compressed once. It never changes.
type Console struct {
	page    file
	files   map[string]file // by path below /console/
	version string          // the first segment of the paths that the page uses
}

// file is one file with the tags of its two representations (RFC 9110, section 8.8.3.3).
type file struct {
	contentType     string
	plain, gzip     []byte // gzip is nil when it is not shorter
	tag, taggedGzip string
}

// Load reads the embedded files. Their paths get the hash of all files as the first segment, so
// that browsers may keep them forever: modules import each other by relative paths, so a hash in
// each name would need a build step.
func Load() (*Console, error) {
	c := &Console{files: map[string]file{}}
	all := sha256.New()
	contents := map[string][]byte{}
	err := fs.WalkDir(ui, "ui", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := ui.ReadFile(name)
		name = strings.TrimPrefix(name, "ui/")
		contents[name] = content
		fmt.Fprintf(all, "%s %d\n%s", name, len(content), content)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.version = "v-" + hex.EncodeToString(all.Sum(nil)[:8])
	const page = "index.html"
	contents[page] = bytes.ReplaceAll(contents[page], []byte(`"`+prefix), []byte(`"`+prefix+c.version+"/"))
	for name, content := range contents {
		if c.files[name], err = newFile(name, content); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	c.page = c.files[page]
	delete(c.files, page)
	return c, nil
}

func newFile(name string, content []byte) (file, error) {
	sum := sha256.Sum256(content)
	tag := hex.EncodeToString(sum[:12])
	f := file{plain: content, tag: `"` + tag + `"`, taggedGzip: `"` + tag + `-gzip"`}
	switch path.Ext(name) {
	case ".html":
		f.contentType = "text/html; charset=utf-8"
	case ".css":
		f.contentType = "text/css; charset=utf-8"
	case ".js":
		f.contentType = "text/javascript; charset=utf-8"
	case ".svg":
		f.contentType = "image/svg+xml"
	default:
		return f, fmt.Errorf("no content type for %q", path.Ext(name))
	}
	var compressed bytes.Buffer
	w, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		return f, err
	}
	if _, err := w.Write(content); err != nil {
		return f, err
	}
	if err := w.Close(); err != nil {
		return f, err
	}
	if compressed.Len() < len(content) {
		f.gzip = compressed.Bytes()
	}
	return f, nil
}

// find returns the file of a path; forever tells whether the path can never name other content.
// The path of another version names the present file: during an upgrade, a page of one gateway asks
// another gateway for its files.
func (s *Console) find(requested string) (f file, forever, ok bool) {
	name, below := strings.CutPrefix(requested, prefix)
	if !below {
		return f, false, false
	}
	if version, rest, cut := strings.Cut(name, "/"); cut && strings.HasPrefix(version, "v-") {
		name, forever = rest, version == s.version
	}
	f, ok = s.files[name]
	return f, forever, ok
}

// isPage reports whether a path is one of the console's pages.
func isPage(requested string) bool {
	switch requested {
	case "/", "/vault", "/activity", "/security", "/tokens", "/account", "/projects", "/admin/users", "/admin/system",
		"/device", "/verify-email", "/reset-password":
		return true
	}
	for _, folder := range [...]string{"/vault/", "/admin/users/"} {
		if name, ok := strings.CutPrefix(requested, folder); ok {
			return name != "" && !strings.Contains(name, "/")
		}
	}
	return false
}

// isReserved reports whether a path belongs to programs, so that the page is not served there.
func isReserved(requested string) bool {
	for _, folder := range [...]string{"/api", "/docs", "/console", "/.well-known"} {
		if rest, ok := strings.CutPrefix(requested, folder); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// matches reports whether a value of If-None-Match names the tag, which is compared weakly
// (RFC 9110, section 13.1.2).
func matches(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		one = strings.Trim(one, " \t")
		if one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}

// acceptsGzip reports whether an Accept-Encoding header (RFC 9110, section 12.5.3) names gzip with
// a weight above 0.
func acceptsGzip(accept string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		coding, weight, _ := strings.Cut(one, ";")
		if ascii.EqualFold(strings.Trim(coding, " \t"), "gzip") {
			weight = strings.ReplaceAll(strings.ReplaceAll(weight, " ", ""), "\t", "")
			return !strings.HasPrefix(weight, "q=0") || strings.Trim(weight[len("q=0"):], ".0") != ""
		}
	}
	return false
}
