package config

import (
	"os"

	"golang.org/x/sys/unix"
)

// mountOf looks at the file system that f is on.
func mountOf(f *os.File) mount {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return mount{}
	}
	return mount{point: mountPoint(f.Name()), readOnly: st.Flags&unix.ST_RDONLY != 0, tmpfs: st.Type == unix.TMPFS_MAGIC}
}
