package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc: USER_HZ, which is 100 on every Linux that Go
// supports (proc(5)).
const clockTick = 10 * time.Millisecond

// processStat has the used fields of /proc/<pid>/stat.
type processStat struct {
	parent int
	cpu    time.Duration // user and system time, including ended children
}

// readStat reads /proc/<pid>/stat (proc(5)). The program's name may contain any character, so
// fields are counted from the last parenthesis.
func readStat(pid int) (processStat, error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return processStat{}, err
	}
	return parseStat(raw)
}

func parseStat(raw []byte) (processStat, error) {
	end := bytes.LastIndexByte(raw, ')')
	fields := strings.Fields(string(raw[end+1:]))
	if end < 0 || len(fields) < 15 {
		return processStat{}, fmt.Errorf("stat %.80q: too short", raw)
	}
	var n [4]int64
	for i := range n {
		v, err := strconv.ParseInt(fields[11+i], 10, 64) // utime, stime, cutime, cstime: fields 14 to 17
		if err != nil {
			return processStat{}, err
		}
		n[i] = v
	}
	parent, err := strconv.Atoi(fields[1])
	return processStat{parent: parent, cpu: time.Duration(n[0]+n[1]+n[2]+n[3]) * clockTick}, err
}

// family returns the processes and all their descendants.
func family(roots []int) []int {
	entries, _ := filepath.Glob("/proc/[0-9]*") // the pattern is valid
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(filepath.Base(e))
		if err != nil {
			continue
		}
		if st, err := readStat(pid); err == nil { // fails for a process that has ended
			children[st.parent] = append(children[st.parent], pid)
		}
	}
	all, seen := []int{}, map[int]bool{}
	for queue := roots; len(queue) > 0; queue = queue[1:] {
		if pid := queue[0]; !seen[pid] {
			seen[pid] = true
			all = append(all, pid)
			queue = append(queue, children[pid]...)
		}
	}
	return all
}

// cpuOf returns the CPU time of the processes and their descendants.
func cpuOf(roots []int) time.Duration {
	var sum time.Duration
	for _, pid := range family(roots) {
		if st, err := readStat(pid); err == nil {
			sum += st.cpu
		}
	}
	return sum
}

// memoryOf returns the resident memory of the processes and their descendants in bytes. A page that
// several of them share counts once, in proportion (Pss). Where the kernel does not report that,
// resident sets are added up.
func memoryOf(roots []int) int64 {
	var sum int64
	for _, pid := range family(roots) {
		n, err := kilobytes(pid, "smaps_rollup", "Pss:")
		if err != nil {
			n, _ = kilobytes(pid, "status", "VmRSS:") // 0 for a process that has ended
		}
		sum += n << 10
	}
	return sum
}

func kilobytes(pid int, file, field string) (int64, error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/%s has no %s", pid, file, field)
}
