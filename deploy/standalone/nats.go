package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	natsUser    = "realmgate"
	natsReady   = 10 * time.Second
	natsMaxDisk = 8 << 30
	// The server's health is checked at this interval, and less often after restarts that did not
	// help.
	natsPause    = 5 * time.Second
	natsMaxPause = 5 * time.Minute
	// natsRoom is the free disk space in bytes that a restart of the server needs.
	natsRoom = 1 << 20
)

// natsServer is the embedded NATS server. After a failed write to the disk a stream stores nothing
// until the server is restarted (nats-server 2.15), so watch restarts it.
type natsServer struct {
	options server.Options
	log     *slog.Logger

	mu     sync.Mutex
	server *server.Server
	closed bool
}

func openNATS(dir, password string, log *slog.Logger) (*natsServer, error) {
	n := &natsServer{log: log, options: server.Options{
		ServerName: "realmgate-standalone", Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: natsUser,
		Password:  password,
		JetStream: true, StoreDir: dir, JetStreamMaxStore: natsMaxDisk, NoSigs: true, NoSystemAccount: true,
	}}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n, n.start()
}

// start starts a server, on the port of the previous one if there was one. The caller holds n.mu.
func (n *natsServer) start() error {
	options := n.options // a copy, because the server changes them
	s, err := server.NewServer(&options)
	if err != nil {
		return err
	}
	s.SetLoggerV2(natsLog{n.log}, false, false, false)
	s.Start()
	n.server = s
	if !s.ReadyForConnections(natsReady) {
		return errors.New("does not accept connections; its folder nats in DATA_DIR may be damaged: see the log at " +
			"LOG_LEVEL=debug")
	}
	n.options.Port = s.Addr().(*net.TCPAddr).Port
	return nil
}

func (n *natsServer) url() string {
	at := net.JoinHostPort(n.options.Host, fmt.Sprint(n.options.Port))
	return (&url.URL{Scheme: "nats", User: url.UserPassword(n.options.Username, n.options.Password), Host: at}).String()
}

func (n *natsServer) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	n.stop()
}

func (n *natsServer) stop() {
	if n.server != nil {
		n.server.Shutdown()
		n.server.WaitForShutdown()
	}
}

// watch restarts the server when two health checks in a row fail and its disk has room. Restarts
// that do not help are repeated at growing intervals.
func (n *natsServer) watch(ctx context.Context) {
	pause, unwell := natsPause, false
	for {
		why := n.health()
		switch {
		case why == nil:
			pause = natsPause
		case unwell && n.restart(why):
			pause = min(2*pause, natsMaxPause)
		}
		unwell = why != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// health returns an error if the server or one of its streams does not work.
func (n *natsServer) health() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	said := healthAnswer{status: http.StatusOK, header: http.Header{}}
	n.server.HandleHealthz(&said, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/healthz"}})
	if said.status != http.StatusOK {
		return errors.New(said.text.String())
	}
	return nil
}

// healthAnswer is an [http.ResponseWriter] in memory: the server reports its health through HTTP
// only.
type healthAnswer struct {
	status int
	header http.Header
	text   bytes.Buffer
}

func (a *healthAnswer) Header() http.Header         { return a.header }
func (a *healthAnswer) WriteHeader(status int)      { a.status = status }
func (a *healthAnswer) Write(b []byte) (int, error) { return a.text.Write(b) }

// restart restarts the server and reports whether it tried.
func (n *natsServer) restart(why error) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	if err := roomFor(n.options.StoreDir, natsRoom); err != nil {
		n.log.Error("embedded NATS stores no events until its disk has room; they wait in the journal", "error",
			err.Error())
		return false
	}
	n.log.Error("embedded NATS is unwell and is started again", "error", why.Error())
	n.stop()
	if err := n.start(); err != nil {
		n.log.Error("embedded NATS does not start", "error", err.Error())
	}
	return true
}

// roomFor returns an error if dir has no room for a file of the given size.
func roomFor(dir string, bytes int) error {
	path := filepath.Join(dir, "room")
	return errors.Join(os.WriteFile(path, make([]byte, bytes), 0o600), os.Remove(path))
}

// natsLog logs the messages of the NATS server at levels that suit an operator of Realmgate.
type natsLog struct{ log *slog.Logger }

func (l natsLog) Noticef(f string, v ...any) { l.log.Debug("nats", "says", fmt.Sprintf(f, v...)) }
func (l natsLog) Warnf(f string, v ...any)   { l.log.Debug("nats", "warns", fmt.Sprintf(f, v...)) }
func (l natsLog) Errorf(f string, v ...any)  { l.log.Error("nats", "error", fmt.Sprintf(f, v...)) }
func (l natsLog) Fatalf(f string, v ...any)  { l.log.Error("nats", "fatal", fmt.Sprintf(f, v...)) }
func (l natsLog) Debugf(string, ...any)      {}
func (l natsLog) Tracef(string, ...any)      {}
