package testkit_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

const childOf = "TESTKIT_CHILD"

// startTree runs in a child test binary. It starts a program that has a child process and prints
// both process ids.
func startTree(t *testing.T) {
	cmd := testkit.Command(t, "sh", "-c", `sleep 600 & echo $$ $!; wait`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString(line)
	switch os.Getenv(childOf) {
	case "ends":
	case "panics":
		panic("on purpose")
	default:
		_ = cmd.Wait()
	}
}

func TestACommandAndItsChildrenEndWithTheTest(t *testing.T) {
	if os.Getenv(childOf) != "" {
		startTree(t)
		return
	}
	t.Parallel()
	for _, c := range []struct {
		name  string
		flags []string
		kill  bool
	}{{"ends", nil, false}, {"panics", nil, false}, {"times out", []string{"-test.timeout=500ms"}, false},
		{"is killed", nil, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0],
				append([]string{"-test.run=^TestACommandAndItsChildrenEndWithTheTest$"}, c.flags...)...)
			cmd.Env = append(os.Environ(), childOf+"="+c.name)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			pids := strings.Fields(line)
			if err != nil || len(pids) != 2 {
				t.Fatalf("the test binary said %q, %v", line, err)
			}
			if c.kill {
				_ = cmd.Process.Kill()
			}
			_ = cmd.Wait() // its exit code does not matter here
			for _, pid := range pids {
				waitGone(t, pid)
			}
		})
	}
}

// waitGone returns when no process has the id.
func waitGone(t *testing.T, text string) {
	t.Helper()
	pid, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) || zombie(text) {
			return
		}
	}
	t.Errorf("process %d still runs", pid)
}

// zombie reports whether the process has ended and only waits to be reaped: some containers have no
// process that reaps orphans.
func zombie(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestACommandHasItsOwnExitCodeAndProcessID(t *testing.T) {
	t.Parallel()
	cmd := testkit.Command(t, "sh", "-c", "echo $$; exit 7")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 ||
		strings.TrimSpace(string(out)) != strconv.Itoa(cmd.Process.Pid) {
		t.Errorf("got %v and %q, want exit code 7 and process id %d", err, out, cmd.Process.Pid)
	}
}
