//go:build !linux

package main

import "golang.org/x/sys/unix"

// forbidCore keeps the kernel from writing the memory of the process, passwords included, to disk if it crashes.
func forbidCore() { _ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
