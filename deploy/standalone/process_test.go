package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// standalone is this command as a program. The first test that needs it builds it; removeBinary
// deletes it after the last.
var standalone struct {
	once sync.Once
	dir  string
}

func binary(t *testing.T) string {
	t.Helper()
	standalone.once.Do(func() {
		dir, err := os.MkdirTemp("", "realmgate-standalone")
		if err != nil {
			t.Fatal(err)
		}
		cmd := testkit.Command(t, "go", "build", "-o", dir, ".")
		cmd.Env = testkit.BuildEnv()
		if out, err := cmd.CombinedOutput(); err != nil {
			_ = os.RemoveAll(dir)
			t.Fatalf("go build: %v\n%s", err, out)
		}
		standalone.dir = dir
	})
	if standalone.dir == "" {
		t.Fatal("the program could not be built")
	}
	return filepath.Join(standalone.dir, "standalone")
}

func removeBinary() {
	if standalone.dir != "" {
		_ = os.RemoveAll(standalone.dir)
	}
}

// process is the product run as a separate program, as operators do.
type process struct {
	cmd    *exec.Cmd
	said   string // output until it was ready
	errors *testkit.Buffer
	url    string
}

func spawn(t *testing.T, environ ...string) *process {
	t.Helper()
	return spawnCommand(t, testkit.Command(t, binary(t)), environ...)
}

// spawnCommand is spawn for a prepared command.
func spawnCommand(t *testing.T, cmd *exec.Cmd, environ ...string) *process {
	t.Helper()
	p := &process{cmd: cmd, errors: &testkit.Buffer{}}
	p.cmd.Env = append(append(os.Environ(), "ADMIN_ADDR=127.0.0.1:0"), environ...)
	p.cmd.Stderr = p.errors
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p.said += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "Ctrl-C") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			p.url = regexp.MustCompile(`http://[0-9.:]+`).FindString(p.said)
			return p
		}
	}
	_ = p.cmd.Wait()
	return p
}

// interrupt sends Ctrl-C, which must end the process with status 0.
func (p *process) interrupt(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C: %v\n%s", err, p.errors)
	}
}

func (p *process) client(t *testing.T) *running { return &running{t: t, url: p.url} }

func TestDataSurvivesKillAndPasswordIsShownOnce(t *testing.T) {
	t.Parallel()
	environ := []string{"DATA_DIR=" + dataFolder(t), "GATEWAY_ADDR=127.0.0.1:0"}
	first := spawn(t, environ...)
	found := regexp.MustCompile(`password  (\S+)`).FindStringSubmatch(first.said)
	if len(found) != 2 {
		t.Fatalf("the first start shows no password:\n%s%s", first.said, first.errors)
	}
	admin := first.client(t).login("admin@realmgate.local", found[1])
	first.client(t).do("PUT", "/api/v1/vault/keys/k", admin.Token, map[string]any{"value": "kept"}).want(t, "put", 201,
		"")
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.cmd.Wait()

	second := spawn(t, environ...)
	if second.url == "" || strings.Contains(second.said, found[1]) {
		t.Fatalf("the start after kill -9 says:\n%s%s", second.said, second.errors)
	}
	r := second.client(t)
	var item struct{ Value string }
	r.get("/api/v1/vault/keys/k", admin.Token).want(t, "get with the token of the first life", 200, "").into(t, &item)
	if item.Value != "kept" {
		t.Errorf("value %q, want kept", item.Value)
	}
	eventually(t, "the request answered just before the kill is in the log", func() bool {
		a := r.get("/api/v1/users/auth/activity?method=PUT", admin.Token)
		return a.status == 200 && a.Metadata.Total == 1
	})
	second.interrupt(t)
}

func TestNoPasswordIsShownIfTheOperatorGaveOne(t *testing.T) {
	t.Parallel()
	environ := []string{"DATA_DIR=" + dataFolder(t), "GATEWAY_ADDR=127.0.0.1:0"}
	given := spawn(t, append(environ, "ADMIN_PASSWORD=correct-Horse-7-staple")...)
	if given.url == "" || strings.Contains(given.said, "password  ") {
		t.Fatalf("a start with a given password says:\n%s%s", given.said, given.errors)
	}
	given.interrupt(t)
	later := spawn(t, environ...)
	if later.url == "" || strings.Contains(later.said, "password  ") {
		t.Fatalf("the next start without it says:\n%s%s", later.said, later.errors)
	}
	later.client(t).login("admin@realmgate.local", "correct-Horse-7-staple")
}

func TestASecondCtrlCSkipsTheDrainDelay(t *testing.T) {
	t.Parallel()
	p := spawn(t, "DATA_DIR="+dataFolder(t), "GATEWAY_ADDR=127.0.0.1:0", "DRAIN_DELAY=1h")
	if p.url == "" {
		t.Fatalf("no start:\n%s%s", p.said, p.errors)
	}
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // two signals at the same moment would count as one
	p.interrupt(t)
}

func TestAFailedStartSaysInOneLineWhatToDo(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "letter.txt"), []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		environ []string
		says    string
	}{
		{"a taken port", []string{"DATA_DIR=" + dataFolder(t), "GATEWAY_ADDR=" + taken.Addr().String()},
			"set GATEWAY_ADDR to another"},
		{"a foreign folder", []string{"DATA_DIR=" + foreign, "GATEWAY_ADDR=127.0.0.1:0"},
			"set DATA_DIR to an empty folder"},
		{"a folder without PostgreSQL programs",
			[]string{"DATA_DIR=" + dataFolder(t), "GATEWAY_ADDR=127.0.0.1:0", "POSTGRES_BIN=" + foreign},
			"POSTGRES_BIN"},
	} {
		started := time.Now()
		p := spawn(t, c.environ...)
		said := strings.TrimSpace(p.errors.String())
		if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(said, c.says) ||
			strings.Contains(said, "\n") {
			t.Errorf("%s: exit %d after %v, said %q; want one line with %q", c.name, code, time.Since(started), said,
				c.says)
		}
	}
	entries, err := os.ReadDir(foreign)
	if err != nil || len(entries) != 1 {
		t.Errorf("the foreign folder was changed: %v, %v", entries, err)
	}
}
