//go:build !linux

package ledger

import (
	"errors"
	"os"
	"syscall"
)

// refuseNetworkFS refuses nothing: only Linux names its file systems by numbers that are known here.
func refuseNetworkFS(string) error { return nil }

func allocate(*os.File, int64) error { return errors.ErrUnsupported }

func allocateBeyond(*os.File, int64) error { return errors.ErrUnsupported }

// identify returns the identity of a file.
func identify(path string) (identity, error) {
	info, err := os.Stat(path)
	if err != nil {
		return identity{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, errors.ErrUnsupported
	}
	return identity{inode: int64(st.Ino)}, nil
}
