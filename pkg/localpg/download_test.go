package localpg

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestFailedDownloadSaysWhatToInstall(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	silent := httptest.NewServer(http.NotFoundHandler())
	silent.Close()
	tests := []struct {
		name   string
		mirror string
	}{
		{"a mirror that has no such version", serve(t, http.NotFoundHandler())},
		{"a mirror that cannot be reached", silent.URL},
		{"a mirror that sends something else", serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, ".jar") {
				_, _ = w.Write([]byte("<html>sign in to the hotel's network</html>"))
				return
			}
			http.NotFound(w, r)
		}))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cache := t.TempDir()
			_, err := download(Options{Mirror: test.mirror, CacheDir: cache, Log: slog.New(slog.DiscardHandler)}, nil)
			if err == nil || !strings.Contains(err.Error(), "apt install postgresql") ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("error: got %v, want one line that says what to install", err)
			}
			left, err := os.ReadDir(cache)
			if err != nil || len(left) != 0 {
				t.Errorf("left in the cache folder: %v, %v", left, err)
			}
			if left := logs(); len(left) != 0 {
				t.Errorf("left in the folder of temporary files: %v", left)
			}
		})
	}
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}
