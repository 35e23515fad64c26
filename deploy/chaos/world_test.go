package main

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestACutNetworkHoldsBytesBackAndLosesNone(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	n, err := newNetwork(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	before := dialTo(t, n.addr())
	echo(t, before, "one", 5*time.Second, true)
	n.setCut(true)
	during := dialTo(t, n.addr()) // a pulled cable refuses no connection
	echo(t, before, "two", 200*time.Millisecond, false)
	echo(t, during, "three", 200*time.Millisecond, false)
	n.setCut(false)
	receive(t, before, "two", 5*time.Second, true)
	receive(t, during, "three", 5*time.Second, true)
	if err := before.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(before); err != nil || len(rest) != 0 {
		t.Errorf("after the end: got %q, %v, want the end", rest, err)
	}
	n.close()
	if _, err := during.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlives its network")
	}
}

func TestANetworkWithoutServerEndsConnections(t *testing.T) {
	t.Parallel()
	n, err := newNetwork(testkit.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	c := dialTo(t, n.addr())
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection got an answer")
	}
}

func dialTo(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func echo(t *testing.T, c net.Conn, text string, within time.Duration, want bool) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	receive(t, c, text, within, want)
}

func receive(t *testing.T, c net.Conn, text string, within time.Duration, want bool) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(within))
	defer func() { _ = c.SetReadDeadline(time.Now().Add(10 * time.Second)) }()
	got := make([]byte, len(text))
	n, err := io.ReadFull(c, got)
	if (err == nil) != want || string(got[:n]) != map[bool]string{true: text}[want] {
		t.Fatalf("got %q, %v, want %q to arrive: %v", got[:n], err, text, want)
	}
}

func TestRevocationsAreJudgedByTheLastAcceptedRequest(t *testing.T) {
	t.Parallel()
	acked := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(gateway int, after time.Duration, status int) use {
		return use{gateway, acked.Add(after), acked.Add(after + time.Millisecond), status}
	}
	fine := []use{at(0, -time.Second, 200), at(1, -time.Second, 200), at(0, 2*time.Second, 401),
		at(1, 2*time.Second, 401)}
	for _, c := range []struct {
		name     string
		more     []use
		worst    time.Duration
		breaches int
	}{
		{"refused at once", nil, 0, 0},
		{"let in for a while", []use{at(1, 700*time.Millisecond, 200)}, 700 * time.Millisecond, 0},
		{"let in for too long", []use{at(1, 1200*time.Millisecond, 200)}, 1200 * time.Millisecond, 1},
		{"let in again after it was refused", []use{at(1, 5*time.Second, 200)}, 5 * time.Second, 1},
		{"not known for a while", []use{at(1, time.Second, 503), at(0, time.Second, 0)}, 0, 0},
		{"refused before it was revoked", []use{at(1, -500*time.Millisecond, 401)}, 0, 1},
		{"an answer that is none of both", []use{at(1, 500*time.Millisecond, 404)}, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := &victim{kind: "ban", refusals: []int{401}, asked: acked.Add(-50 * time.Millisecond), acked: acked,
				uses: append(append([]use{}, fine...), c.more...)}
			row := judgeRevocations(condition{name: "x", bound: quick}, []*victim{v}, 2)
			if row.worst["ban"] != c.worst || len(row.breaches) != c.breaches {
				t.Errorf("got %v and %v, want %v and %d breaches", row.worst["ban"], row.breaches, c.worst, c.breaches)
			}
		})
	}
	silent := judgeRevocations(condition{name: "x", bound: quick},
		[]*victim{{kind: "ban", acked: acked, uses: fine[:3]}}, 2)
	if len(silent.breaches) == 0 {
		t.Error("a gateway that was never seen to refuse passes")
	}
}
