//go:build unix

package localpg_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/localpg"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// runHelper runs in the process that the tests below kill.
func runHelper(dir string) {
	c, err := localpg.Start(context.Background(), localpg.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(c.URL("postgres"))
	<-c.Done()
	os.Exit(3)
}

// startHelper returns a process group with a cluster in it, and its address.
func startHelper(t *testing.T, dir string) (kill func(), url string) {
	t.Helper()
	cmd := testkit.Command(t, os.Args[0]) // in a process group of its own
	cmd.Env = append(os.Environ(), "LOCALPG_HELPER="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // killed: that is its error
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "postgres://") {
		t.Fatalf("the helper said %q, %v", line, err)
	}
	return kill, strings.TrimSpace(line)
}

func TestCommittedDataSurvivesKillOfTheWholeProcess(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	for round := range 3 {
		kill, url := startHelper(t, dir)
		ask(t, url, "CREATE TABLE IF NOT EXISTS item (n int)")
		ask(t, url, fmt.Sprintf("INSERT INTO item VALUES (%d)", round))
		kill()
		// The next Start comes at once: PostgreSQL may be shutting down, dead or alive.
		c := start(t, localpg.Options{Dir: dir})
		if got, want := ask(t, c.URL("postgres"), "SELECT count(*) FROM item"), strconv.Itoa(round+1); got != want {
			t.Errorf("rows after kill %d: got %s, want %s", round, got, want)
		}
		stop(t, c)
	}
}

func TestPostgresEndsWithItsParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("only Linux tells a child; here the next Start ends it, as TestSurvivorIsStopped shows")
		return
	}
	t.Parallel()
	dir := folder(t)
	kill, url := startHelper(t, dir)
	pidFile := filepath.Join(ask(t, url, "SHOW data_directory"), "postmaster.pid")
	if _, err := os.Stat(pidFile); err != nil {
		t.Fatal(err)
	}
	kill()
	for deadline := time.Now().Add(testkit.Patience); ; time.Sleep(20 * time.Millisecond) {
		// A clean shutdown removes the file; a killed server leaves it.
		if _, err := os.Stat(pidFile); errors.Is(err, fs.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("PostgreSQL outlived its parent")
		}
	}
}

// TestSurvivorIsStopped runs a PostgreSQL that does not end with its parent.
func TestSurvivorIsStopped(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := start(t, localpg.Options{Dir: dir})
	data := ask(t, c.URL("postgres"), "SHOW data_directory")
	stop(t, c)
	url := c.URL("postgres")
	survivor := survive(t, url, data)
	ask(t, url, "CREATE TABLE item AS SELECT 'there' AS name")

	c = start(t, options(t, dir))
	if got := ask(t, c.URL("postgres"), "SELECT name FROM item"); got != "there" {
		t.Errorf("row: got %q, want \"there\"", got)
	}
	select {
	case <-survivor:
	case <-time.After(testkit.Patience):
		t.Error("the survivor still runs")
	}
}

// survive starts postgres on the data folder as its owner, and returns a channel that is closed
// when it ends.
func survive(t *testing.T, url, data string) <-chan struct{} {
	t.Helper()
	info, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	programs, err := exec.LookPath("postgres")
	if err != nil {
		matches, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
		if len(matches) == 0 {
			t.Fatal("postgres is not in PATH")
		}
		programs = matches[len(matches)-1]
	}
	port := url[strings.LastIndex(url, ":")+1 : strings.LastIndex(url, "/")]
	cmd := testkit.Command(t, programs, "-D", data, "-c", "port="+port, "-c", "unix_socket_directories=", "-c",
		"listen_addresses=127.0.0.1")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the caller checks how it ended
		close(done)
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	for deadline := time.Now().Add(testkit.Patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		if strings.Contains(string(text), "ready") {
			return done
		}
	}
	t.Fatal("the survivor did not start")
	return nil
}

func TestAKilledPostgresIsNoticedAndRecovers(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := start(t, localpg.Options{Dir: dir})
	data := ask(t, c.URL("postgres"), "SHOW data_directory")
	ask(t, c.URL("postgres"), "CREATE TABLE item AS SELECT 'there' AS name")
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Done():
	case <-time.After(testkit.Patience):
		t.Fatal("Done is open although PostgreSQL was killed")
	}
	stop(t, c)
	c = start(t, options(t, dir))
	if got := ask(t, c.URL("postgres"), "SELECT name FROM item"); got != "there" {
		t.Errorf("row: got %q, want \"there\"", got)
	}
}

func TestAStalePostmasterFileIsIgnored(t *testing.T) {
	t.Parallel()
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	rest := "\n/somewhere\n1700000000\n5432\n\n127.0.0.1\n  1234567    1\nready\n"
	tests := []struct{ name, text string }{
		{"of a process that is gone", strconv.Itoa(dead.Process.Pid) + rest},
		{"whose process id is another program's by now", strconv.Itoa(os.Getpid()) + rest},
		{"whose process id is that of the parent", strconv.Itoa(os.Getppid()) + rest},
		{"left empty by a power failure", ""},
		{"with something else in it", "hello\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t)
			c := start(t, options(t, dir))
			data := ask(t, c.URL("postgres"), "SHOW data_directory")
			ask(t, c.URL("postgres"), "CREATE TABLE item AS SELECT 'there' AS name")
			stop(t, c)
			name := filepath.Join(data, "postmaster.pid")
			write(t, data, "postmaster.pid", test.text)
			info, err := os.Stat(data)
			if err != nil {
				t.Fatal(err)
			}
			stat := info.Sys().(*syscall.Stat_t)
			if err := os.Chown(name, int(stat.Uid), int(stat.Gid)); err != nil {
				t.Fatal(err)
			}
			c = start(t, options(t, dir))
			if got := ask(t, c.URL("postgres"), "SELECT name FROM item"); got != "there" {
				t.Errorf("row: got %q, want \"there\"", got)
			}
		})
	}
}

// TestPostgresOutlivesTheThreadThatStartedIt checks process.run: the kernel sends the parent-death
// signal when the thread that forked ends.
func TestPostgresOutlivesTheThreadThatStartedIt(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	started := make(chan *localpg.Cluster)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		c, err := localpg.Start(t.Context(), options(t, dir))
		if err != nil {
			t.Error(err)
		}
		started <- c
	}()
	c := <-started
	if c == nil {
		return
	}
	defer stop(t, c)
	select {
	case <-c.Done():
		t.Error("PostgreSQL ended with the thread")
	case <-time.After(500 * time.Millisecond):
	}
	ask(t, c.URL("postgres"), "SELECT 1")
}

func TestAnUnfinishedClusterIsCreatedAgain(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	write(t, dir, "localpg.lock", "")
	write(t, dir, "password", "known\n")
	write(t, filepath.Join(dir, "data.new"), "PG_VERSION", "15\n")
	write(t, filepath.Join(dir, "data.new", "base"), "1", "half")
	c := start(t, options(t, dir))
	if got := ask(t, c.URL("postgres"), "SELECT 1"); got != "1" {
		t.Errorf("got %q, want 1", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "data.new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the unfinished folder: got %v, want it gone", err)
	}
}
