package oauth_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/truehop/truehop/fetch/oauth"
)

const nobody = 65534

// fetchedByNobody returns options for a token in the state directory of a user other than root, as root logs in for him.
func fetchedByNobody(t *testing.T) oauth.Options {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	o := options(t, newAuthority())
	must(t, os.Chown(filepath.Dir(filepath.Dir(o.TokenFile)), nobody, nobody))
	return o
}

// ownerOf returns whose a file is.
func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatalf("the owner of %s cannot be told", path)
	}
	return st.Uid
}

// TestOwner: what root writes belongs to the user whose directory it is in, who has to read it.
func TestOwner(t *testing.T) {
	o := fetchedByNobody(t)
	s := loggedIn(t, o)
	for range 2 {
		for _, name := range []string{"", "work", ".work.lock"} {
			path := filepath.Join(filepath.Dir(o.TokenFile), name)
			info, err := os.Stat(path)
			must(t, err)
			if owner := ownerOf(t, path); owner != nobody || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%q: owner %d, mode %v", name, owner, info.Mode())
			}
		}
		_, err := oauth.New(o).Renew(t.Context(), get(t, s))
		must(t, err)
	}
}

// TestLinkedFileIsNotGivenAway: the owner of the directory may have linked a file of root's there.
func TestLinkedFileIsNotGivenAway(t *testing.T) {
	o := fetchedByNobody(t)
	token := get(t, loggedIn(t, o))
	tokens := filepath.Dir(o.TokenFile)
	lock, roots := filepath.Join(tokens, ".work.lock"), filepath.Join(filepath.Dir(tokens), "roots")
	must(t, os.WriteFile(roots, nil, 0o600))
	must(t, os.Remove(lock))
	must(t, os.Link(roots, lock))
	_, err := oauth.New(o).Renew(t.Context(), token)
	if err == nil || !strings.Contains(err.Error(), "has another name elsewhere") {
		t.Errorf("%v", err)
	}
	if owner := ownerOf(t, roots); owner != 0 {
		t.Errorf("it belongs to %d", owner)
	}
}
