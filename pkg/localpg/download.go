package localpg

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// The version that is downloaded when the machine has no PostgreSQL.
const (
	downloadVersion = embedded.V18
	downloadMajor   = 18
)

// download fetches PostgreSQL once and returns the folder of its programs.
//
// The library cannot only fetch and unpack, so it also starts a cluster that is deleted again. As
// root that fails, but after the unpacking, and only the programs matter here. The library takes no
// context: it gives up a server that does not answer after the 30 s of Go's default dialer.
func download(o Options, a *account) (string, error) {
	cache, err := cacheDir(o, a)
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, "postgresql-"+string(downloadVersion))
	bin := filepath.Join(home, "bin")
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("cannot keep a downloaded PostgreSQL: %w; install PostgreSQL, or set a cache folder "+
			"that can be written", err)
	}
	scratch, err := os.MkdirTemp(cache, "unpack-")
	if err != nil {
		return "", fmt.Errorf("cannot unpack a downloaded PostgreSQL: %w; install PostgreSQL, or set a cache "+
			"folder that can be written", err)
	}
	defer os.RemoveAll(scratch)
	port, err := freePort()
	if err != nil {
		return "", err
	}
	o.Log.Info("no PostgreSQL found, downloading it", "version", downloadVersion, "to", home)
	unpacked := filepath.Join(scratch, "postgresql")
	config := embedded.DefaultConfig()
	if o.Mirror != "" {
		config = config.BinaryRepositoryURL(o.Mirror)
	}
	throwaway := embedded.NewDatabase(config.
		Version(downloadVersion).
		CachePath(scratch).
		BinariesPath(unpacked).
		RuntimePath(filepath.Join(scratch, "run")).
		DataPath(filepath.Join(scratch, "data")).
		Port(uint32(port)).
		Logger(io.Discard))
	defer removeLogs(logs())
	problem := throwaway.Start()
	if problem == nil {
		problem = throwaway.Stop()
	}
	if _, err := os.Stat(filepath.Join(unpacked, "bin", "initdb")); err != nil {
		return "", fmt.Errorf("found no PostgreSQL and could not download one (%w); install it (Debian: apt "+
			"install postgresql, macOS: brew install postgresql@18) or give the folder of its programs", problem)
	}
	if err := os.Chmod(unpacked, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(unpacked, home); err != nil {
		return "", fmt.Errorf("keep the downloaded PostgreSQL: %w", err)
	}
	return bin, nil
}

// logs lists the log files that the library leaves in the folder of temporary files, one for each
// start. The library does not return their names.
func logs() []string {
	found, _ := filepath.Glob(filepath.Join(os.TempDir(), "embedded_postgres_log*"))
	return found
}

// removeLogs removes the logs that are not in before. Another process that downloads at this moment
// loses its logs too, but does not need them: only the programs matter, and they are unpacked by
// then.
func removeLogs(before []string) {
	for _, name := range logs() {
		if !slices.Contains(before, name) {
			_ = os.Remove(name)
		}
	}
}

// cacheDir returns the folder of downloads. For root it is one that the unprivileged account can
// enter, unlike root's home and usually the caller's choice.
func cacheDir(o Options, a *account) (string, error) {
	if a != nil {
		return elsewhere, nil
	}
	if o.CacheDir != "" {
		return filepath.Abs(o.CacheDir)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("found no PostgreSQL and no folder to download one to (%w); install PostgreSQL", err)
	}
	return filepath.Join(base, "realmgate"), nil
}
