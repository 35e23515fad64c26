package bus

import (
	"os"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// crashURL is the variable that makes this test binary announce to the NATS at its address and die.
const crashURL = "BUS_TEST_CRASH_URL"

func TestAnAnnouncementArrivesEvenWhenItsSenderIsKilledAtOnce(t *testing.T) {
	if url := os.Getenv(crashURL); url != "" {
		c, err := Connect(Config{URL: config.Secret(url)}, "crash", testkit.Log(t))
		for err == nil && c.Ready(t.Context()) != nil {
			time.Sleep(time.Millisecond)
		}
		if err == nil {
			err = c.Announce("news", []byte("last words"))
		}
		self, _ := os.FindProcess(os.Getpid())
		if err == nil {
			_ = self.Kill() // at once, so that data in memory is lost
		}
		t.Fatal(err)
	}
	t.Parallel()
	url := testkit.NATS(t)
	c, err := Connect(Config{URL: config.Secret(url)}, "listener", testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	heard := make(chan struct{}, 100)
	stop, err := c.Listen("news", func([]byte) { heard <- struct{}{} }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for range 12 {
		cmd := testkit.Command(t, os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), crashURL+"="+url)
		if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("the sender was not killed: %v: %s", err, out)
		}
		select {
		case <-heard:
		case <-time.After(testkit.Patience):
			t.Fatal("an announcement that was acknowledged to its sender never arrived")
		}
	}
}
