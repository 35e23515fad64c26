package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// watchedNATS runs the embedded server in the process with the small disk.
func watchedNATS(dir string) (string, error) {
	n, err := openNATS(filepath.Join(dir, "nats"), "password", slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return "", err
	}
	go n.watch(context.Background())
	return n.url(), nil
}

// TestTheEmbeddedNATSStoresAgainAfterItsDiskWasFull fails without watch: the stream then refuses
// every message until the process ends.
func TestTheEmbeddedNATSStoresAgainAfterItsDiskWasFull(t *testing.T) {
	t.Parallel()
	disk := testkit.StartOnSmallDisk(t)
	c, err := bus.Connect(bus.Config{URL: config.Secret(disk.URL)}, t.Name(), testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	stream := bus.StreamConfig{Name: "LOG", Subjects: []string{"log"}, MaxBytes: 1 << 30, DupWindow: time.Minute}
	for c.EnsureStream(ctx, stream) != nil && ctx.Err() == nil {
	}
	message := make([]byte, 64<<10)
	store := func() error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return c.Store(ctx, "log", message)
	}
	if err := store(); err != nil {
		t.Fatal(err)
	}
	disk.Fill()
	if err := store(); err == nil {
		t.Fatal("a message was stored on a full disk")
	}
	disk.Free()
	for err = store(); err != nil && ctx.Err() == nil; err = store() {
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("the disk has room, and still: %v", err)
	}
}
