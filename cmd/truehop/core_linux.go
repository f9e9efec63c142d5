package main

import "golang.org/x/sys/unix"

// forbidCore keeps the kernel from writing the memory of the process, passwords included, to disk if it crashes, whatever limits and
// GOTRACEBACK it was started with. Without PR_SET_DUMPABLE a core that is piped to a program ignores the limit (core(5));
// programs that truehop starts have the limit only. Where both fail, which no kernel does, the units' LimitCORE remains.
func forbidCore() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
