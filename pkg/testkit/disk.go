package testkit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// diskVariable is the variable with the folder of the small disk in a child of [StartOnSmallDisk].
const diskVariable = "TESTKIT_SMALL_DISK"

// diskSize is the size of the disk, some hundred blocks of a stream.
const diskSize = "8m"

// SmallDisk is a process of this test binary that serves something from a disk of its own, which
// can be full.
type SmallDisk struct {
	// URL is the address of the server, as the process reports it.
	URL string

	t   testing.TB
	in  io.Writer
	out *bufio.Reader
}

// StartOnSmallDisk runs this test binary once more, in a mount namespace of its own with a small
// disk. The child starts the server that TestMain passes to [ServeOnSmallDisk], by default NATS.
// The test is skipped where the system allows no such namespace. The process ends with t.
func StartOnSmallDisk(t testing.TB) *SmallDisk {
	t.Helper()
	const mount = `mount -t tmpfs -o size=` + diskSize + ` tmpfs "$1" && exec "$2" -test.run='^$'`
	dir, space := t.TempDir(), []string{"--user", "--map-root-user", "--mount"}
	if out, err := exec.Command("unshare",
		append(space, "mount", "-t", "tmpfs", "tmpfs", dir)...).CombinedOutput(); err != nil {
		t.Skipf("no disk can be mounted here in a namespace of its own: %v %s", err, out)
	}
	cmd := Command(t, "unshare", append(space, "sh", "-c", mount, "sh", dir, os.Args[0])...)
	cmd.Env = append(os.Environ(), diskVariable+"="+dir)
	cmd.Stderr = t.Output()
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	d := &SmallDisk{t: t, in: in, out: bufio.NewReader(out)}
	d.URL = d.answer()
	return d
}

// Fill takes up all the room on the disk.
func (d *SmallDisk) Fill() { d.command("fill") }

// Free frees the room that Fill took.
func (d *SmallDisk) Free() { d.command("free") }

func (d *SmallDisk) command(name string) {
	d.t.Helper()
	if _, err := fmt.Fprintln(d.in, name); err != nil {
		d.t.Fatal(err)
	}
	if said := d.answer(); said != name {
		d.t.Fatalf("%s: %s", name, said)
	}
}

func (d *SmallDisk) answer() string {
	d.t.Helper()
	line, err := d.out.ReadString('\n')
	if err != nil {
		d.t.Fatalf("the process with the small disk ended: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

// ServeOnSmallDisk must be the first call of TestMain when start is to run in the process of
// [StartOnSmallDisk]. There it calls start with the folder of the disk, and ends the process with
// the test; in any other process it does nothing.
func ServeOnSmallDisk(start func(dir string) (url string, err error)) {
	dir := os.Getenv(diskVariable)
	if dir == "" {
		return
	}
	url, err := start(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testkit: on a small disk:", err)
		os.Exit(1)
	}
	fmt.Println(url)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		said := commands.Text()
		if err := changeSpace(filepath.Join(dir, "filling"), said == "fill"); err != nil {
			said = err.Error()
		}
		fmt.Println(said)
	}
	os.Exit(0)
}

// changeSpace fills the disk with a file at path, or removes it.
func changeSpace(path string, fill bool) error {
	if !fill {
		return os.Remove(path)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(bytes.Repeat([]byte{1}, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			return err
		}
	}
	return nil
}

func natsOnDisk(dir string) (string, error) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, "nats"), NoLog: true,
		NoSigs:             true,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 4 << 30,
	})
	if err != nil {
		return "", err
	}
	s.Start()
	if !s.ReadyForConnections(readyTimeout) {
		return "", errors.New("NATS does not accept connections")
	}
	return s.ClientURL(), nil
}
