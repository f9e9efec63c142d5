//go:build !linux

package ledger

import (
	"errors"
	"os"
)

// refuseNetworkFS refuses nothing: only Linux names its file systems by numbers that are known here.
func refuseNetworkFS(string) error { return nil }

func allocate(*os.File, int64) error { return errors.ErrUnsupported }

func allocateBeyond(*os.File, int64) error { return errors.ErrUnsupported }
