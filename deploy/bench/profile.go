package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// profile takes CPU profiles of the services of a subject during its first cell. It returns a
// function that waits for them. Without -profiles it does nothing.
func (b *bench) profile(g group, s subject, round int, seconds time.Duration) (wait func()) {
	if b.options.profiles == "" || round > 0 {
		return func() {}
	}
	var all sync.WaitGroup
	for _, i := range b.instances {
		if !worksFor(i, s) {
			continue
		}
		all.Go(func() {
			url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", i.admin, max(1, int(seconds.Seconds())))
			name := regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(g.name+"-"+s.name, "-") + "." + i.name +
				".pprof"
			status, body, err := httpGet(url)
			if err == nil && status == 200 {
				err = os.WriteFile(filepath.Join(b.options.profiles, name), body, 0o644)
			}
			if err != nil || status != 200 {
				b.say("no profile %s: %d %v", name, status, err)
			}
		})
	}
	return all.Wait
}

func worksFor(i *instance, s subject) bool {
	for _, pid := range s.servers {
		if pid == i.pid() {
			return true
		}
	}
	return false
}
