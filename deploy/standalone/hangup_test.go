//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestAHangUpEndsTheProcessInOrder sends SIGHUP, as a closed terminal does, during a request.
func TestAHangUpEndsTheProcessInOrder(t *testing.T) {
	t.Parallel()
	// This process handles SIGHUP, so its children get the default action, even if nohup started
	// the tests.
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangUps) })
	p := spawn(t, "DATA_DIR="+dataFolder(t), "GATEWAY_ADDR=127.0.0.1:0")
	if p.url == "" {
		t.Fatalf("no start:\n%s%s", p.said, p.errors)
	}
	addr := strings.TrimPrefix(p.url, "http://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	body := `{"email":"nobody@example.com","password":"correct-Horse-7"}`
	fmt.Fprintf(conn,
		"POST /api/v1/users/auth/login HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
		len(body))
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Fatalf("got %q, %v", line, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no new connection is taken", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	fmt.Fprint(conn, body)
	if answer, _ := io.ReadAll(answers); !strings.Contains(string(answer), "HTTP/1.1 401") ||
		!strings.Contains(string(answer), "INVALID_CREDENTIALS") {
		t.Errorf("the request on its way got %q", answer)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("SIGHUP: %v\n%s", err, p.errors)
	}
}

// TestAProcessThatNohupStartedOutlivesAHangUp: an operator who uses nohup wants the process to go
// on.
func TestAProcessThatNohupStartedOutlivesAHangUp(t *testing.T) {
	t.Parallel()
	p := spawnCommand(t, testkit.Command(t, "sh", "-c", `trap "" HUP; exec "$0"`, binary(t)), "DATA_DIR="+dataFolder(t),
		"GATEWAY_ADDR=127.0.0.1:0")
	if p.url == "" {
		t.Fatalf("no start:\n%s%s", p.said, p.errors)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		p.client(t).get("/api/v1/auth/config", "").want(t, "after SIGHUP", 200, "")
	}
	p.interrupt(t)
}
