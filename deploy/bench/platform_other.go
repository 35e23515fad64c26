//go:build !linux

package main

import (
	"errors"
	"os"
	"syscall"
)

const supported = false

func ownGroup() *syscall.SysProcAttr { return nil }

func killGroup(int) {}

func freeze(*os.Process) error { return errors.ErrUnsupported }

func thaw(*os.Process) error { return errors.ErrUnsupported }

func pin(string) error { return errors.ErrUnsupported }
