package acceptance

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// alertRules is deploy/prometheus/alerts.yml.
type alertRules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

func readAlerts(t *testing.T) alertRules {
	t.Helper()
	f, err := os.Open(filepath.Join(root, "deploy/prometheus/alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	var out alertRules
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// expressions returns every query of the alerts and dashboards, by its location.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, g := range readAlerts(t).Groups {
		for _, r := range g.Rules {
			out["alert "+r.Alert] = r.Expr
		}
	}
	for name, board := range dashboards(t) {
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				out["dashboard "+name+": "+p.Title+" "+target.RefID] = target.Expr
			}
		}
	}
	if len(out) < 60 {
		t.Fatalf("only %d queries found", len(out))
	}
	return out
}

type dashboard struct {
	UID, Title, Description string
	Panels                  []struct {
		ID      int
		Title   string
		Type    string
		GridPos struct{ H, W, X, Y int }
		Targets []struct {
			RefID      string
			Expr       string
			Datasource struct{ UID string }
		}
	}
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "deploy/grafana/dashboards/*.json"))
	if err != nil || len(paths) < 4 {
		t.Fatalf("dashboards: %v, %v", paths, err)
	}
	out := map[string]dashboard{}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out[filepath.Base(path)] = d
	}
	return out
}

// notOurMetrics are exported by Prometheus itself and its Go client.
var notOurMetrics = regexp.MustCompile(`^(up|go_(goroutines|gc_duration_seconds)|process_(cpu_seconds_total|resident_memory_bytes|open_fds|max_fds|start_time_seconds))$`)

var (
	quoted       = regexp.MustCompile(`"([^"\\]|\\.)*"`)
	labels       = regexp.MustCompile(`\{[^}]*\}`)
	grouping     = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	ranges       = regexp.MustCompile(`\[[^\]]*\]`)
	metricOrCall = regexp.MustCompile(`\b([a-z_][a-z0-9_]*)\b(\s*\()?`)
	suffix       = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// metricNames returns the metrics in a query.
func metricNames(expr string) []string {
	expr = quoted.ReplaceAllString(expr, "")
	expr = ranges.ReplaceAllString(labels.ReplaceAllString(expr, ""), "")
	expr = grouping.ReplaceAllString(expr, "")
	found := map[string]bool{}
	for _, m := range metricOrCall.FindAllStringSubmatch(expr, -1) {
		if name := m[1]; m[2] == "" && !slices.Contains([]string{"and", "or", "unless", "e"}, name) {
			found[name] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// TestMetricsExist checks that every metric in an alert or panel is exported.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	exported := exportedMetrics(t)
	for where, expr := range expressions(t) {
		names := metricNames(expr)
		if len(names) == 0 {
			t.Errorf("%s: no metric in %s", where, expr)
		}
		for _, name := range names {
			if !exported[name] && !exported[suffix.ReplaceAllString(name, "")] &&
				!notOurMetrics.MatchString(suffix.ReplaceAllString(name, "")) {
				t.Errorf("%s: %s is not exported", where, name)
			}
		}
	}
}

// exportedMetrics returns every string in the sources that could be the name of a metric. Names are
// passed to the Prometheus client nowhere else.
func exportedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	name := regexp.MustCompile(`(?:Name: +|NewDesc\(|counter\(|gauge\(|read\(|Metric\()"([a-z][a-z0-9_]+)"`)
	out := map[string]bool{}
	for _, m := range []string{"pkg", "gateway", "users-svc", "vault-svc", "activity-svc"} {
		err := filepath.WalkDir(filepath.Join(root, m), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			for _, found := range name.FindAllStringSubmatch(string(raw), -1) {
				out[found[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !out["http_requests_total"] {
		t.Fatal("the sources of the metrics were not found")
	}
	return out
}

func TestEveryAlertHasARunbook(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join(root, "deploy/runbooks/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	orphans := map[string]bool{}
	for _, p := range pages {
		orphans[strings.TrimSuffix(filepath.Base(p), ".md")] = true
	}
	const base = "https://github.com/realmgate/realmgate/blob/main/deploy/runbooks/"
	for _, g := range readAlerts(t).Groups {
		for _, r := range g.Rules {
			if r.Annotations["runbook_url"] != base+r.Alert+".md" || r.Annotations["summary"] == "" {
				t.Errorf("%s: annotations %v", r.Alert, r.Annotations)
			}
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			page, err := os.ReadFile(filepath.Join(root, "deploy/runbooks", r.Alert+".md"))
			if err != nil {
				t.Errorf("no runbook: %v", err)
				continue
			}
			delete(orphans, r.Alert)
			for _, part := range []string{"# " + r.Alert + "\n", "\n## Look\n", "\n## Do\n"} {
				if !strings.Contains(string(page), part) {
					t.Errorf("the runbook of %s has no %q", r.Alert, part)
				}
			}
		}
	}
	for page := range orphans {
		t.Errorf("the runbook %s belongs to no alert", page)
	}
}

// TestRunbooksNameRealSettings checks that every setting that a page mentions exists.
func TestRunbooksNameRealSettings(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"GOMEMLIMIT": true, "COMPOSE_PROJECT_NAME": true} // settings of Go and of Compose
	for _, all := range settingsOf() {
		for _, s := range all {
			known[s.Name] = true
		}
	}
	pages, _ := filepath.Glob(filepath.Join(root, "deploy/runbooks/*.md"))
	for _, dir := range []string{"deploy/docs/*.md"} {
		more, _ := filepath.Glob(filepath.Join(root, dir))
		pages = append(pages, more...)
	}
	setting := regexp.MustCompile("`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:_FILE)?(?:=[^`]*)?`")
	links := regexp.MustCompile(`\]\(([A-Za-z./_-]+\.md)\)`)
	for _, page := range pages {
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range setting.FindAllStringSubmatch(string(raw), -1) {
			name := strings.TrimSuffix(m[1], "_FILE")
			if !known[name] && !known[m[1]] && !strings.HasPrefix(name, "REALMGATE_") && !strings.HasSuffix(name, "_IMAGE") {
				t.Errorf("%s: no service has a setting %s", page, name)
			}
		}
		for _, m := range links.FindAllStringSubmatch(string(raw), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: the link %s goes nowhere", page, m[1])
			}
		}
	}
}

// TestPrometheusReadsItsFiles runs promtool on the configuration and the rules, whose queries it
// parses.
func TestPrometheusReadsItsFiles(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "promtool")
	raw, err := os.ReadFile(filepath.Join(root, "deploy/prometheus/prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(filepath.Join(root, "deploy/prometheus/alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(raw), "/etc/prometheus/alerts.yml", rules)),
		0o600); err != nil {
		t.Fatal(err)
	}
	run(t, t.TempDir(), promtool, "check", "config", "--lint=all", "--lint-fatal", path)

	var queries strings.Builder
	queries.WriteString("groups:\n- name: dashboards\n  rules:\n")
	n := 0
	for where, expr := range expressions(t) {
		if !strings.HasPrefix(where, "dashboard") {
			continue
		}
		n++
		raw, err := json.Marshal(strings.NewReplacer("$__rate_interval", "5m", "$route", ".*").Replace(expr))
		if err != nil {
			t.Fatal(err)
		}
		queries.WriteString("  - record: realmgate:panel:" + strings.Repeat("x", n) + "\n    expr: " + string(raw) + "\n")
	}
	path = filepath.Join(t.TempDir(), "panels.yml")
	if err := os.WriteFile(path, []byte(queries.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, t.TempDir(), promtool, "check", "rules", path)
	run(t, filepath.Join(root, "deploy/acceptance/testdata"), promtool, "test", "rules", "alerts_test.yml")
}

// TestPanelsShowZeroBeforeTheFirstFailure checks that a panel of failures shows 0, and not "No
// data", until the first failure: a counter with a status label does not exist before.
func TestPanelsShowZeroBeforeTheFirstFailure(t *testing.T) {
	t.Parallel()
	found := 0
	for where, expr := range expressions(t) {
		if strings.HasPrefix(where, "dashboard") && strings.Contains(expr, `status=~"5..`) {
			found++
			if !strings.Contains(expr, " or ") {
				t.Errorf("%s has no data while nothing fails: %s", where, expr)
			}
		}
	}
	if found == 0 {
		t.Error("no panel shows failures")
	}
}

// TestEveryDashboardIsExplained checks that the page of the dashboards links to each of them.
func TestEveryDashboardIsExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "deploy/docs/dashboards.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range dashboards(t) {
		if !strings.Contains(string(page), "](../grafana/dashboards/"+name+")") {
			t.Errorf("%s: the page does not link to it", name)
		}
	}
}

func TestDashboardsAreComplete(t *testing.T) {
	t.Parallel()
	uids := map[string]bool{}
	for name, d := range dashboards(t) {
		if d.UID == "" || uids[d.UID] || d.Title == "" || d.Description == "" {
			t.Errorf("%s: uid %q, title %q, description %q", name, d.UID, d.Title, d.Description)
		}
		uids[d.UID] = true
		ids, places := map[int]bool{}, map[[2]int]string{}
		for _, p := range d.Panels {
			if ids[p.ID] {
				t.Errorf("%s: two panels have the id %d", name, p.ID)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other, taken := places[[2]int{x, y}]; taken || x >= 24 {
						t.Fatalf("%s: %q lies on %q or beyond the edge", name, p.Title, other)
					}
					places[[2]int{x, y}] = p.Title
				}
			}
			for _, target := range p.Targets {
				if target.Datasource.UID != "prometheus" {
					t.Errorf("%s: %q asks another data source than the one that is provisioned", name, p.Title)
				}
			}
		}
	}
}
