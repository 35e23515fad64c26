package localpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/realmgate/realmgate/pkg/atomicfile"
)

// Names in Options.Dir.
const (
	lockName     = "localpg.lock" // held while the cluster is in use; marks the folder as ours
	passwordFile = "password"     // of the superuser, mode 0600
	portFile     = "port"         // the last one used
	pointerFile  = "data-is-in"   // path of the data when it is not in Dir
	dataName     = "data"         // PostgreSQL's own folder
)

// elsewhere is the folder for root's clusters, whose data an unprivileged account must reach.
const elsewhere = "/var/lib/realmgate"

// folder is the folder of one cluster, locked by this process.
//
// The data lies in dir/data, with one exception. For root, when dir is below a folder that the
// unprivileged account may not enter (such as /root), the data lies in a folder of its own under
// /var/lib/realmgate, and the file dir/data-is-in holds its path. Opening /root to others would be
// worse, and PostgreSQL cannot run as root. The name of that folder is random and not a hash of
// dir's path, so that dir may be moved, and a new cluster at the same path never finds the data of
// an old one.
type folder struct {
	dir     string
	home    string // holds data: dir, or a folder under elsewhere
	account *account
	locks   []*os.File
	log     *slog.Logger
}

func openFolder(dir string, log *slog.Logger) (_ *folder, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w; choose a folder that can be written", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w; run as the user that owns the folder", err)
	}
	if _, err := os.Stat(filepath.Join(dir, lockName)); err != nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty and was not made by this program; choose an empty or new folder", dir)
	}
	f := &folder{dir: dir, home: dir, log: log}
	if err := f.lock(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if place, err := os.ReadFile(f.path(pointerFile)); err == nil {
		f.home = strings.TrimSpace(string(place))
		if err := f.lock(f.home); err != nil {
			return nil, fmt.Errorf("%w (named in %s)", err, f.path(pointerFile))
		}
	}
	f.account, err = newAccount(f.data())
	return f, err
}

func (f *folder) lock(dir string) error {
	l, err := lockFile(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; put the folder back, or run as the user that owns it", err)
	}
	if err != nil {
		return fmt.Errorf("%s is in use by another process (%w); stop that one or choose another folder", dir, err)
	}
	f.locks = append(f.locks, l)
	return nil
}

// close unlocks the folder for another process.
func (f *folder) close() {
	for _, l := range f.locks {
		l.Close()
	}
	f.locks = nil
}

// remove deletes the data first: without the other files it is lost anyway, while those without the
// data would look like a cluster to repair.
func (f *folder) remove() error {
	return errors.Join(os.RemoveAll(f.home), os.RemoveAll(f.dir))
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }
func (f *folder) data() string            { return filepath.Join(f.home, dataName) }

// major returns the major version of the data, 0 when there is none yet.
func (f *folder) major() (int, error) {
	text, err := os.ReadFile(filepath.Join(f.data(), "PG_VERSION"))
	switch {
	case err == nil:
		major, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return 0, fmt.Errorf("%s/PG_VERSION is damaged; restore the folder from a backup", f.data())
		}
		return major, nil
	case !errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("%w; run as the user that owns the folder", err)
	}
	entries, err := os.ReadDir(f.data())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if len(entries) > 0 {
		return 0, fmt.Errorf("%s has files but no PG_VERSION, so it is no PostgreSQL data; move it away or restore "+
			"it from a backup", f.data())
	}
	return 0, nil
}

// place makes the data folder accessible to the account and the account its owner.
func (f *folder) place(ctx context.Context, bin binaries) error {
	if f.account == nil {
		return nil
	}
	if err := os.Chmod(f.home, 0o711); err != nil {
		return err
	}
	if f.account.canEnter(ctx, f.home, bin) {
		return f.hand(f.data())
	}
	if _, err := os.Stat(f.data()); err == nil {
		return fmt.Errorf("user %s, as which PostgreSQL runs, may not enter %s; let it, or move the folder to "+
			"where it may", f.account, f.home)
	}
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		return f.nowhere(err)
	}
	home, err := os.MkdirTemp(elsewhere, "cluster-")
	if err != nil {
		return f.nowhere(err)
	}
	if err := os.Chmod(home, 0o711); err != nil {
		return err
	}
	if err := f.lock(home); err != nil {
		return err
	}
	if err := atomicfile.Write(f.path(pointerFile), []byte(home+"\n")); err != nil {
		return err
	}
	f.log.Warn("the PostgreSQL data lies outside of its folder, which the user that PostgreSQL runs as may not enter",
		"folder", f.dir, "data", home, "user", f.account.String())
	f.home = home
	return nil
}

func (f *folder) nowhere(err error) error {
	return fmt.Errorf("user %s, as which PostgreSQL runs, may not enter %s, and there is no other place (%w); "+
		"choose a folder that it may enter", f.account, f.dir, err)
}

// hand makes the account the owner of a data folder that root owns, such as one restored from a
// backup.
func (f *folder) hand(data string) error {
	if uid, _, err := owner(data); err != nil || uid == f.account.uid {
		return nil
	}
	return filepath.WalkDir(data, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return f.account.own(path)
	})
}

// password returns the superuser's password. It is stored before the cluster is created, so that no
// crash leaves a cluster whose password is lost.
func (f *folder) password() (string, error) {
	name := f.path(passwordFile)
	text, err := os.ReadFile(name)
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w; run as the user that owns the folder", err)
	}
	if _, err := os.Stat(f.data()); err == nil {
		return "", fmt.Errorf("%s is missing; restore it from a backup, the data cannot be opened without it", name)
	}
	password := rand.Text()
	return password, atomicfile.Write(name, []byte(password+"\n"))
}

// initialize creates the cluster under another name and then renames it, so that an unfinished one
// is never taken for data.
func (f *folder) initialize(ctx context.Context, bin binaries, password string, disposable bool) error {
	unfinished := f.data() + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		return err
	}
	secret := filepath.Join(f.home, passwordFile+".initdb")
	defer os.Remove(secret)
	if err := atomicfile.Write(secret, []byte(password+"\n")); err != nil {
		return err
	}
	if err := errors.Join(f.account.own(unfinished), f.account.own(secret)); err != nil {
		return fmt.Errorf("%w; root needs the right to change owners, or run as another user", err)
	}
	args := []string{"--pgdata=" + unfinished, "--username=" + superuser, "--pwfile=" + secret,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"}
	if disposable {
		args = append(args, "--no-sync")
	}
	if out, err := output(f.account.command(ctx, bin.initdb(), args...)); err != nil {
		return fmt.Errorf("creating the PostgreSQL data in %s failed (%w): %s", f.home, err,
			complaint(strings.Split(out, "\n")))
	}
	if err := os.Rename(unfinished, f.data()); err != nil {
		return err
	}
	return atomicfile.SyncDir(f.home)
}

func (f *folder) serverCommand(bin binaries, port int, custom map[string]string) *exec.Cmd {
	args := append([]string{"-D", f.data()}, settings(port, custom)...)
	return f.account.command(context.Background(), bin.postgres(), args...)
}

// port returns the requested port, else the last one if it is free, else any free port.
func (f *folder) port(wished int, another bool) (int, error) {
	if wished != 0 {
		return wished, nil
	}
	if text, err := os.ReadFile(f.path(portFile)); err == nil && !another {
		if last, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && isFree(last) {
			return last, nil
		}
	}
	return freePort()
}

func (f *folder) keepPort(port int) error {
	return atomicfile.Write(f.path(portFile), []byte(strconv.Itoa(port)+"\n"))
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("no free port on %s: %w", loopback, err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
