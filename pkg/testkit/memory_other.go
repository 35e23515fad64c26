//go:build !linux

package testkit

const memoryDir = ""

func hasRoom(string) bool { return false }
