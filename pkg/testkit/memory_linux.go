package testkit

import "syscall"

// memoryDir is the tmpfs that Linux systems have; in containers it is often 64 MB.
const (
	memoryDir   = "/dev/shm"
	enoughBytes = 2 << 30
)

func hasRoom(dir string) bool {
	var fs syscall.Statfs_t
	return syscall.Statfs(dir, &fs) == nil && fs.Bavail*uint64(fs.Bsize) >= enoughBytes
}
