//go:build linux

package ledger

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// fillDisk fills the disk at several moments of a delivery.
func fillDisk(dir string) error {
	state, err := onTmpfs(dir, 6<<20)
	if err != nil {
		fmt.Println("SKIP cannot mount:", err)
		return nil
	}
	filler := filepath.Join(dir, "filler")
	l, err := Open(context.Background(), state)
	if err != nil {
		return err
	}
	delivered := 0
	deliver := func() error {
		delivered++
		return l.Put(context.Background(), record(strconv.Itoa(delivered), Delivered))
	}

	// The WAL has its space: somebody else may even take the reserve.
	if err := l.Put(context.Background(), record("0", Sending)); err != nil {
		return err
	}
	if err := exhaust(filler); err != nil {
		return err
	}
	l.writer.reserve.release()
	if err := exhaust(filler); err != nil {
		return err
	}
	for range 20 {
		if err := deliver(); err != nil {
			return fmt.Errorf("disk full, reserve taken: %w", err)
		}
	}
	if err := l.Put(context.Background(), record("no", Sending)); KindOf(err) != Full {
		return fmt.Errorf("a delivery began without a reserve: %v, want Kind full", err)
	}

	// Space again: deliveries begin again, and the reserve is back.
	if err := os.Remove(filler); err != nil {
		return err
	}
	if err := l.Put(context.Background(), record("yes", Sending)); err != nil {
		return fmt.Errorf("with space again: %w", err)
	}
	if info, err := os.Stat(filepath.Join(state, reserveName)); err != nil || info.Size() != reserveSize {
		return fmt.Errorf("the reserve is not back: %v, %v", info, err)
	}
	if err := useReserve(l, filler, deliver); err != nil {
		return err
	}
	return recorded(l, state, filler, delivered)
}

// useReserve uses up all space but the reserve, and then some of that.
func useReserve(l *Ledger, filler string, deliver func() error) error {
	if err := exhaust(filler); err != nil {
		return err
	}
	begun := 0
	for ; begun < 10_000; begun++ {
		err := l.Put(context.Background(), record("s"+strconv.Itoa(begun), Sending))
		if KindOf(err) == Full {
			break
		}
		if err != nil {
			return err
		}
	}
	if begun == 10_000 {
		return fmt.Errorf("%d deliveries began on a full disk", begun)
	}
	for i := range 30 {
		if err := deliver(); err != nil {
			return fmt.Errorf("verdict %d from the reserve: %w", i, err)
		}
	}
	return nil
}

// recorded checks that all verdicts are there, now and after opening again.
func recorded(l *Ledger, state, filler string, delivered int) error {
	if err := l.Close(); err != nil {
		return err
	}
	for _, when := range []string{"on the full disk", "with space again"} {
		l, err := OpenReadOnly(context.Background(), state)
		if err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
		n, err := l.Counts(context.Background(), "")
		if err != nil || n[Delivered] != delivered {
			return fmt.Errorf("%s: %v, %v, want %d delivered", when, n, err, delivered)
		}
		if err := l.Close(); err != nil {
			return err
		}
		_ = os.Remove(filler)
	}
	l, err := Open(context.Background(), state)
	if err != nil {
		return err
	}
	return l.Close()
}

func TestFullDisk(t *testing.T) {
	start(t, "full", t.TempDir(), ownMounts()).ends(t)
}
