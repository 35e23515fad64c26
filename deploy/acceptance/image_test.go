package acceptance

import (
	"debug/elf"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/realmgate/realmgate/pkg/testkit"
)

const (
	stamp        = "1.2.3 0123456789ab"
	maxImageSize = 30 << 20
)

// images holds the binaries. The first test that needs one builds all with the command of
// deploy/Dockerfile.
var images struct {
	once sync.Once
	dir  string
}

func binary(t *testing.T, name string) string {
	t.Helper()
	images.once.Do(func() {
		dockerfile, err := os.ReadFile(filepath.Join(root, "deploy/Dockerfile"))
		if err != nil {
			t.Fatal(err)
		}
		line := regexp.MustCompile(`(?s)go build .*?\n\n`).FindString(string(dockerfile))
		dir := filepath.Join(scratch, "images")
		cmd := testkit.Command(t, "sh", "-euc", strings.ReplaceAll(line, "/out/", dir+"/"))
		cmd.Dir, cmd.Env = root, append(testkit.BuildEnv(), "VERSION="+stamp)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build the images with the Dockerfile's own command: %v\n%s%s", err, line, out)
		}
		images.dir = dir
	})
	if images.dir == "" {
		t.Fatal("the images could not be built")
	}
	return filepath.Join(images.dir, name)
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(root, "deploy/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for what, re := range map[string]string{
		"static binaries":                  `CGO_ENABLED=0`,
		"paths that are the same anywhere": `-trimpath`,
		"an empty file system":             `(?m)^FROM scratch AS base$`,
		"an unprivileged user":             `(?m)^USER 65532:65532$`,
		"a health check without a shell":   `HEALTHCHECK .* CMD \["/realmgate", "-health"\]`,
	} {
		if !regexp.MustCompile(re).MatchString(text) {
			t.Errorf("no %s: nothing matches %s", what, re)
		}
	}
	if regexp.MustCompile(`(?mi)^#\s*syntax\s*=`).MatchString(text) {
		t.Error("a syntax line makes every build ask a registry")
	}
	goMod, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(goMod))[1]
	if !strings.Contains(text, "golang:"+want+"-") {
		t.Errorf("the Go of the Dockerfile is not that of go.work, %s", want)
	}
}

func TestBinariesAreSmallStaticAndStamped(t *testing.T) {
	t.Parallel()
	if !testkit.ReleaseBuild() {
		t.Skip("programs are built as the images are only where CI=true")
	}
	for _, name := range ours {
		path := binary(t, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.1f MiB", name, float64(info.Size())/(1<<20))
		if info.Size() > maxImageSize {
			t.Errorf("%s has %d bytes, more than %d", name, info.Size(), int64(maxImageSize))
		}
		if runtime.GOOS == "linux" {
			f, err := elf.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range f.Progs {
				if p.Type == elf.PT_INTERP {
					t.Errorf("%s is not static", name)
				}
			}
			f.Close()
		}
		if out, _ := run(t, t.TempDir(), path, "-version"); strings.TrimSpace(out) != name+" "+stamp {
			t.Errorf("-version of %s: got %q, want the stamp %q", name, out, stamp)
		}
	}
}

// TestBuildContext checks that the build context has every needed source file, and neither tests
// nor files that could be secrets.
func TestBuildContext(t *testing.T) {
	t.Parallel()
	f, err := os.Open(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	skip := func(path string) bool {
		out, err := ignored.MatchesOrParentMatches(path)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, path := range []string{".git/config", ".env", "realmgate.env", "secrets/internal-keys",
		"data/postgres/PG_VERSION", "gateway/proxy_test.go", "README.md"} {
		if !skip(path) {
			t.Errorf("%s gets into the build", path)
		}
	}
	for _, m := range []string{"activity-svc", "gateway", "pkg", "users-svc", "vault-svc", "deploy/standalone"} {
		err := filepath.WalkDir(filepath.Join(root, m), func(path string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(root, path)
			if err != nil || d.IsDir() || strings.Contains(rel, "testdata") || strings.HasSuffix(rel, "_test.go") {
				return err
			}
			if skip(rel) {
				t.Errorf("%s does not get into the build", rel)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"go.work", "go.work.sum", "deploy/go.mod", "deploy/go.sum"} {
		if skip(path) {
			t.Errorf("%s does not get into the build", path)
		}
	}
}
