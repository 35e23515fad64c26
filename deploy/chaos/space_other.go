//go:build !linux

package main

import (
	"errors"
	"fmt"
	"io"
	"syscall"
)

func insideSpace() bool { return false }

func enterSpace(_ []string, stderr io.Writer) int {
	fmt.Fprintln(stderr, "chaos: mount namespaces and /proc are Linux's: run it there, for example in a container")
	return 1
}

func ownHosts(string) error       { return errors.ErrUnsupported }
func smallDisk(string, int) error { return errors.ErrUnsupported }
func removeDisk(string)           {}
func leaveHosts()                 {}
func child() *syscall.SysProcAttr { return nil }
