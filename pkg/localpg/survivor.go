package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const postmasterFile = "postmaster.pid"

// postmaster holds the facts that a server writes about itself into its data folder.
type postmaster struct {
	pid   int
	ready bool
}

var errDamaged = errors.New(postmasterFile + " holds no process id")

// readPostmaster reads postmaster.pid; the lines are fixed in PostgreSQL's
// src/include/utils/pidfile.h: the first is the process id, the eighth the state.
func readPostmaster(data string) (postmaster, error) {
	text, err := os.ReadFile(filepath.Join(data, postmasterFile))
	if err != nil {
		return postmaster{}, err
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 {
		return postmaster{}, fmt.Errorf("%w: %q", errDamaged, lines[0])
	}
	return postmaster{pid: pid, ready: len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"}, nil
}

// stopSurvivor stops a server whose parent, the predecessor of this process, was killed. Because
// this process holds the folder's lock, a server that still runs there has no owner. It is stopped
// rather than adopted, because only a child's end can be waited for and only a child ends with its
// parent.
func stopSurvivor(ctx context.Context, data string, log *slog.Logger) error {
	pm, err := readPostmaster(data)
	if errors.Is(err, errDamaged) {
		// A server creates the file and then fills it; the power may fail between the two steps.
		time.Sleep(100 * time.Millisecond)
		if pm, err = readPostmaster(data); errors.Is(err, errDamaged) {
			log.Warn("removing an unreadable file of a killed PostgreSQL", "error", err)
			return os.Remove(filepath.Join(data, postmasterFile))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; run as the user that owns the folder", err)
	}
	if isPostmaster(pm.pid, data) {
		log.Warn("stopping the PostgreSQL that a killed process left behind", "pid", pm.pid)
		return stopByPID(ctx, pm.pid, data)
	}
	if signal(pm.pid, 0) == nil {
		// Another process has this id now, as happens when a container restarts. PostgreSQL would
		// take that process for a server and refuse to start. It notices by itself only when no
		// process has the id.
		log.Warn("removing the process id that a killed PostgreSQL left behind", "pid", pm.pid)
		return os.Remove(filepath.Join(data, postmasterFile))
	}
	return nil
}

func stopByPID(ctx context.Context, pid int, data string) error {
	done := make(chan struct{})
	watching, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for isPostmaster(pid, data) {
			select {
			case <-tick.C:
			case <-watching.Done():
				return
			}
		}
		close(done)
	}()
	return shutdown(ctx, done, func(s syscall.Signal) error { return signal(pid, s) })
}
