package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// watchEvery is how often a running server's programs are looked at.
const watchEvery = 2 * time.Second

// programs is the state of the files that a server is made of. An upgrade of the package replaces them
// under a running server, and files of two versions do not fit together.
type programs []os.FileInfo

// programs looks at the server and at PL/pgSQL, which packages install in one step but at different times.
func (c *Cluster) programs() (programs, error) {
	var all programs
	for _, names := range [][]string{{c.bin.postgres()}, {
		filepath.Join(c.library, "plpgsql.so"), filepath.Join(c.library, "plpgsql.dylib"),
	}} {
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

// supervise waits for the end of the server, and restarts it when its programs were replaced: the new
// ones are used once all are there and have not changed between two looks.
func (c *Cluster) supervise(ctx context.Context, running programs) {
	defer close(c.ended)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var before programs
	told := false
	for {
		select {
		case <-c.current().done:
			return
		case <-tick.C:
		}
		now, err := c.programs()
		if err == nil && now.equal(running) {
			before, told = nil, false
			continue
		}
		if !told {
			told = true
			c.log.Warn("PostgreSQL's programs are being replaced: it will be restarted when they are complete", "folder", c.bin.dir)
		}
		if err != nil || !now.equal(before) {
			before = now
			continue
		}
		if err := c.restart(ctx); err != nil {
			if ctx.Err() == nil {
				c.log.Error("PostgreSQL could not be restarted after its programs were replaced", "error", flat{err}.Error())
			}
			return
		}
		running, before, told = now, nil, false
	}
}

// restart replaces the server by one of the programs that are installed now, at the same port. It leaves
// the server as it is when they cannot open the data.
func (c *Cluster) restart(ctx context.Context) error {
	bin, err := inspect(ctx, c.bin.dir, c.folder.account)
	if err == nil {
		err = bin.fits(c.bin.major)
	}
	if err != nil {
		c.log.Error("PostgreSQL goes on with its old programs", "error", flat{err}.Error())
		return nil
	}
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
	c.log.Info("PostgreSQL was restarted with the programs that replaced its own", "folder", bin.dir)
	return nil
}
