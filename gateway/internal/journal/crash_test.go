package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// journalChild, in the environment, makes this test binary append to the journal in the folder that
// it names: "kill <dir>" until it is killed, "full <dir>" on a disk that fails.
const journalChild = "REALMGATE_TEST_JOURNAL"

func TestMain(m *testing.M) {
	if os.Getenv(journalChild) != "" {
		appendUntilKilled()
	}
	testkit.Main(m)
}

func appendUntilKilled() {
	what, dir, _ := strings.Cut(os.Getenv(journalChild), " ")
	j, err := Open(testConfig(dir), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if what == "full" {
		appendOnFullDisk(j)
	}
	var out sync.Mutex
	for range 8 {
		go func() {
			for {
				e := newEvent()
				if err := j.Append(e); err != nil {
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(e.ID) // only now would the answer leave
				out.Unlock()
			}
		}()
	}
	select {}
}

// appendOnFullDisk lets no file grow above 50,000 bytes: writes then fail, half done, as they do
// when the disk is full.
func appendOnFullDisk(j *Journal) {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 50_000, Max: 50_000}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var accepted []string
	failures := 0
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		e := newEvent()
		if j.Append(e) == nil {
			accepted = append(accepted, e.ID)
		} else {
			failures++
			time.Sleep(time.Millisecond)
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"accepted": accepted, "failures": failures})
	os.Exit(0)
}

func child(t *testing.T, what, dir string) (*exec.Cmd, io.Reader) {
	t.Helper()
	c := testkit.Command(t, os.Args[0])
	c.Env = append(os.Environ(), journalChild+"="+what+" "+dir)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c, out
}

func TestKillingTheGatewayLosesNoEventThatWasAnswered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	answered := map[string]bool{}
	for round := range 5 {
		c, out := child(t, "kill", dir)
		lines := bufio.NewScanner(out)
		for n := 0; n < 200+round*300 && lines.Scan(); n++ {
			answered[lines.Text()] = true
		}
		if err := c.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it still said before it died
			if len(lines.Text()) == 24 {
				answered[lines.Text()] = true
			}
		}
		_ = c.Wait()
	}
	kept := contents(t, open(t, testConfig(dir)))
	seen := map[string]bool{}
	for _, eventID := range kept {
		if seen[eventID] {
			t.Fatal("an event stands twice in the journal")
		}
		seen[eventID] = true
	}
	for eventID := range answered {
		if !seen[eventID] {
			t.Fatalf("%s was answered and is lost (%d answered, %d kept)", eventID, len(answered), len(kept))
		}
	}
	if len(answered) < 1000 {
		t.Errorf("only %d were answered: the test is too weak", len(answered))
	}
}

func TestADiskThatFailsLosesNothingThatWasAcceptedAndKeepsNothingThatWasNot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, out := child(t, "full", dir)
	var said struct {
		Accepted []string
		Failures int
	}
	if err := json.NewDecoder(out).Decode(&said); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	if said.Failures == 0 || len(said.Accepted) < 500 {
		t.Fatalf("%d failures, %d accepted: the test is too weak", said.Failures, len(said.Accepted))
	}
	if got := contents(t, open(t, testConfig(dir))); !slices.Equal(got, said.Accepted) {
		t.Errorf("the journal holds %d events, %d were accepted", len(got), len(said.Accepted))
	}
}

func TestAppendsBesideTheEndOfTheJournal(t *testing.T) {
	t.Parallel()
	for range 50 {
		cfg := testConfig(t.TempDir())
		j := open(t, cfg)
		var accepted atomic.Int64
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for {
					switch err := j.Append(newEvent()); {
					case err == nil:
						accepted.Add(1)
					case errors.Is(err, errClosed):
						return
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		for accepted.Load() < 10 {
			time.Sleep(10 * time.Microsecond)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		if got := int64(len(contents(t, open(t, cfg)))); got != accepted.Load() {
			t.Fatalf("%d events are in the journal, %d were accepted", got, accepted.Load())
		}
	}
}
