package testkit

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/localpg"
)

// PostgresPrograms copies the PostgreSQL that tests use, so that t may damage the copy. It returns
// the folders of the programs and of plpgsql.so. Any user may read them.
func PostgresPrograms(t testing.TB) (bin, library string) {
	t.Helper()
	root, err := os.MkdirTemp("", folderPrefix+"programs-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	at := programFolders(t, filepath.Join(root, "cluster"))
	// The programs find their files by relative paths.
	bin, library = filepath.Join(root, at["BINDIR"]), filepath.Join(root, at["PKGLIBDIR"])
	share := filepath.Join(root, at["SHAREDIR"])
	err = os.Chmod(root, 0o755)
	for _, name := range []string{"postgres", "initdb"} {
		if err == nil {
			err = CopyFile(filepath.Join(at["BINDIR"], name), filepath.Join(bin, name))
		}
	}
	if err == nil {
		err = copyLibraries(at["PKGLIBDIR"], library)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(share), 0o755)
	}
	if err == nil {
		err = os.Symlink(at["SHAREDIR"], share)
	}
	if err != nil {
		t.Fatalf("testkit: copy PostgreSQL: %v", err)
	}
	return bin, library
}

// programFolders asks a server for the folders of its files.
func programFolders(t testing.TB, dir string) map[string]string {
	t.Helper()
	c, err := localpg.Start(t.Context(),
		localpg.Options{Dir: dir, Settings: localpg.Disposable(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Remove(context.WithoutCancel(t.Context())) }()
	conn, err := pgx.Connect(t.Context(), c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	at := map[string]string{}
	var name, setting string
	rows, err := conn.Query(t.Context(), `SELECT name, setting FROM pg_config`)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&name, &setting}, func() error { at[name] = setting; return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func copyLibraries(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "bitcode" {
			return fs.SkipDir
		}
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(d.Name(), "llvm") {
			return CopyFile(path, filepath.Join(to, strings.TrimPrefix(path, from)))
		}
		return err
	})
}

// CopyFile copies from to the new file to, which every user may run.
func CopyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, content, 0o755)
	}
	return err
}
