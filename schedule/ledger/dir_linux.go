package ledger

import (
	"os"

	"golang.org/x/sys/unix"
)

// refuseNetworkFS refuses a directory on a network file system.
func refuseNetworkFS(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return failed("file system cannot be told", dir, err)
	}
	return checkFS(dir, int64(st.Type))
}

// checkFS refuses the file system with this magic number (linux/magic.h) if it is a network's.
func checkFS(dir string, magic int64) error {
	var name string
	switch magic & 0xffffffff {
	case unix.NFS_SUPER_MAGIC:
		name = "NFS"
	case unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		name = "CIFS"
	case unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC:
		name = "AFS"
	case unix.CODA_SUPER_MAGIC:
		name = "Coda"
	case unix.CEPH_SUPER_MAGIC:
		name = "Ceph"
	default:
		return nil
	}
	return &Error{Kind: Network, Op: "is on " + name, Path: dir,
		Advice: "locks and shared memory do not hold there: put the state on a local disk"}
}

// allocate makes f size octets long and gives it the disk space.
func allocate(f *os.File, size int64) error {
	return unix.Fallocate(int(f.Fd()), 0, 0, size)
}

// allocateBeyond gives f the disk space for size octets and leaves its length alone.
func allocateBeyond(f *os.File, size int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
}

// identify returns the identity of a file.
func identify(path string) (identity, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return identity{}, err
	}
	id := identity{inode: int64(st.Ino)}
	if st.Mask&unix.STATX_BTIME != 0 {
		id.born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return id, nil
}
