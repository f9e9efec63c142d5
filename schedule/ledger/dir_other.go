//go:build !linux

package ledger

import (
	"errors"
	"os"
)

// networkFS cannot tell.
func networkFS(string) (string, error) { return "", nil }

func allocate(*os.File, int64) error { return errors.ErrUnsupported }

func allocateBeyond(*os.File, int64) error { return errors.ErrUnsupported }
