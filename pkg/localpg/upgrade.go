package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// watchEvery is the pause between checks of a running server's programs.
	watchEvery = 2 * time.Second
	// tryAgainAfter is the pause after which new programs that did not work are tried again, unless
	// they change earlier.
	tryAgainAfter = time.Minute
)

// programs describes the files of a server's programs. An upgrade of the package replaces them
// under a running server, and files of two versions do not work together.
type programs []os.FileInfo

// programs returns the current state of the files, which an upgrade replaces one after the other.
func (c *Cluster) programs() (programs, error) {
	var all programs
	plpgsql := filepath.Join(c.library, "plpgsql")
	for _, names := range [][]string{{c.bin.postgres()}, {c.bin.initdb()}, {plpgsql + ".so", plpgsql + ".dylib"}} {
		info, err := firstOf(names)
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, nil
}

func firstOf(names []string) (info os.FileInfo, err error) {
	for _, name := range names {
		if info, err = os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			return info, err
		}
	}
	return nil, fmt.Errorf("%s is missing", names[0])
}

func (p programs) equal(other programs) bool {
	if len(p) != len(other) {
		return false
	}
	for i, a := range p {
		if b := other[i]; !os.SameFile(a, b) || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) {
			return false
		}
	}
	return true
}

// supervise waits for the end of the server, and restarts it when its programs were replaced. It
// uses the new programs once all exist, have not changed between two checks, and work.
func (c *Cluster) supervise(ctx context.Context, running programs) {
	defer close(c.ended)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var before, refused programs
	var refusedAt time.Time
	for {
		select {
		case <-c.current().done:
			return
		case <-tick.C:
		}
		now, err := c.programs()
		if err == nil && now.equal(running) {
			before, refused = nil, nil
			continue
		}
		if before == nil && refused == nil {
			c.log.Warn("PostgreSQL's programs are being replaced: it will be restarted when they are complete",
				"folder", c.bin.dir)
		}
		settled := err == nil && now.equal(before)
		before = append(programs{}, now...) // not nil, so that the replacement is not reported again
		if !settled || now.equal(refused) && time.Since(refusedAt) < tryAgainAfter {
			continue
		}
		if err := c.tryPrograms(ctx); err != nil {
			refused, refusedAt = now, time.Now()
			c.log.Error("PostgreSQL goes on with its old programs, because the new ones do not work", "error",
				flat{err}.Error())
			continue
		}
		if err := c.restart(ctx); err != nil {
			if ctx.Err() == nil {
				c.log.Error("PostgreSQL could not be restarted after its programs were replaced", "error",
					flat{err}.Error())
			}
			return
		}
		running, before, refused = now, nil, nil
	}
}

// tryPrograms tests the programs that are installed now: it creates a cluster, which runs the
// server and PL/pgSQL.
func (c *Cluster) tryPrograms(ctx context.Context) error {
	bin, err := inspect(ctx, c.bin.dir, c.folder.account)
	if err == nil {
		err = bin.fits(c.bin.major)
	}
	if err != nil {
		return err
	}
	dir := c.folder.data() + ".try"
	defer os.RemoveAll(dir)
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700), c.folder.account.own(dir)); err != nil {
		return err
	}
	out, err := output(c.folder.account.command(ctx, bin.initdb(), "--pgdata="+dir, "--username="+superuser,
		"--auth=reject", "--encoding=UTF8", "--locale=C", "--no-sync"))
	if err != nil {
		return fmt.Errorf("initdb failed (%w): %s", err, complaint(strings.Split(out, "\n")))
	}
	return nil
}

// restart stops the server and starts one with the programs that are installed now, on the same
// port.
func (c *Cluster) restart(ctx context.Context) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := c.current().stop(ctx); err != nil {
		return err
	}
	o := c.options
	o.Port = c.port
	if err := c.launch(ctx, o); err != nil {
		return err
	}
	c.log.Warn("PostgreSQL was restarted with the programs that replaced its own", "folder", c.bin.dir)
	return nil
}
