package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fakePrometheus answers each range query with a line for each of two jobs; refused and empty are
// parts of queries that go otherwise.
type fakePrometheus struct {
	refused, empty string

	mu      sync.Mutex
	queries []string
}

// ServeHTTP implements http.Handler.
func (f *fakePrometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.FormValue("query")
	f.mu.Lock()
	f.queries = append(f.queries, query)
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case f.refused != "" && strings.Contains(query, f.refused):
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}`)
	case f.empty != "" && strings.Contains(query, f.empty):
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"matrix","result":[]}}`)
	default:
		start, _ := strconv.ParseFloat(r.FormValue("start"), 64)
		step, _ := strconv.ParseFloat(r.FormValue("step"), 64)
		var result []any
		for i, job := range []string{"gateway", "vault-svc"} {
			var values [][2]any
			for n := range 40 {
				if n != 20 { // a gap
					values = append(values, [2]any{start + float64(n)*step, strconv.Itoa((i + 1) * n)})
				}
			}
			result = append(result, map[string]any{"metric": map[string]string{"job": job, "instance": "one"}, "values": values})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success",
			"data": map[string]any{"resultType": "matrix", "result": result}})
	}
}

// picture runs the command over the real dashboards.
func picture(t *testing.T, f *fakePrometheus, args ...string) (code int, dir, stdout, stderr string) {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	dir = t.TempDir()
	var out, errs bytes.Buffer
	args = append([]string{"-prometheus", server.URL, "-dashboards", "../dashboards", "-out", dir}, args...)
	code = command(t.Context(), args, &out, &errs)
	return code, dir, out.String(), errs.String()
}

func TestEveryDashboardIsDrawn(t *testing.T) {
	t.Parallel()
	f := &fakePrometheus{empty: "events_dropped_total"}
	code, dir, stdout, stderr := picture(t, f, "-from", "2026-11-01T12:00:00Z", "-to", "2026-11-01T12:10:00Z")
	if code != 0 || stderr != "" {
		t.Fatalf("code %d, %s", code, stderr)
	}
	boards, _ := filepath.Glob("../dashboards/*.json")
	for _, board := range boards {
		path := filepath.Join(dir, strings.TrimSuffix(filepath.Base(board), ".json")+".png")
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		drawn, err := png.Decode(bytes.NewReader(raw))
		if err != nil || drawn.Bounds().Dx() != pictureWidth || len(raw) > 150<<10 {
			t.Errorf("%s: %v, %v, %d bytes", path, err, drawn.Bounds(), len(raw))
		}
	}
	if len(boards) < 4 || strings.Count(stdout, "\n") != len(boards) ||
		strings.Count(stdout, "no data: Events lost") != 1 {
		t.Errorf("of %d dashboards it says: %s", len(boards), stdout)
	}
	for _, query := range f.queries {
		if strings.Contains(query, "$") {
			t.Errorf("a variable reached Prometheus: %s", query)
		}
	}
	if all := strings.Join(f.queries, "\n"); !strings.Contains(all, `route=~".*"`) || !strings.Contains(all, "[60s]") {
		t.Errorf("variables have other values than Grafana's: %s", all)
	}
}

func TestAQueryThatIsRefusedIsNamed(t *testing.T) {
	t.Parallel()
	code, dir, _, stderr := picture(t, &fakePrometheus{refused: "journal_bytes"})
	if code != 1 {
		t.Errorf("code %d", code)
	}
	for _, part := range []string{"Realmgate: gateway", "gateway.json", "Journal on disk", "query journal_bytes",
		"parse error: unexpected end"} {
		if !strings.Contains(stderr, part) {
			t.Errorf("%q is not in %s", part, stderr)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("a failure left %v", files)
	}
}

func TestWhatCannotBeDrawnIsNamed(t *testing.T) {
	t.Parallel()
	for name, board := range map[string]string{
		"unknown variables: $nobody": `{"title":"t","panels":[{"title":"p","type":"stat","targets":[{"expr":"up{job=\"$nobody\"}"}]}]}`,
		"type heatmap":               `{"title":"t","panels":[{"title":"p","type":"heatmap"}]}`,
		"unexpected end of JSON":     `{"title":`,
	} {
		dashboards := t.TempDir()
		if err := os.WriteFile(filepath.Join(dashboards, "one.json"), []byte(board), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, _, stderr := picture(t, &fakePrometheus{}, "-dashboards", dashboards); code != 1 ||
			!strings.Contains(stderr, name) {
			t.Errorf("%s: code %d, %s", board, code, stderr)
		}
	}
	if code, _, _, stderr := picture(t, &fakePrometheus{}, "-to", "yesterday"); code != 2 ||
		!strings.Contains(stderr, "-to") {
		t.Errorf("code %d, %s", code, stderr)
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		unit, want string
		value      float64
	}{
		{"s", "1.2 ms", 0.0012}, {"s", "30 s", 30}, {"s", "1.5 min", 90}, {"s", "250 µs", 0.00025},
		{"bytes", "27.3 MiB", 28626125}, {"bytes", "512 B", 512},
		{"percentunit", "12.5 %", 0.125}, {"percentunit", "0 %", 0},
		{"reqps", "105 req/s", 105.2}, {"reqps", "0 req/s", 0},
		{"short", "1.25 k", 1250}, {"short", "0", 0}, {"short", "7", 7}, {"short", "0.05", 0.05},
	} {
		if got := inUnit(c.unit, c.value); got != c.want {
			t.Errorf("%v %s is written %q, not %q", c.value, c.unit, got, c.want)
		}
	}
}
