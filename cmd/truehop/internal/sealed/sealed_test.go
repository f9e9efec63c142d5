package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
)

// canary is in every password here: no error and no print may hold it.
const canary = "correct horse"

func newIdentity(t *testing.T) string {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return i.String()
}

func keys(t *testing.T, identities ...string) Keys {
	t.Helper()
	k, err := ParseKeys([]byte(strings.Join(identities, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// bare encrypts a plaintext as another program would.
func bare(t *testing.T, k Keys, plain string) []byte {
	t.Helper()
	r, err := age.ParseX25519Recipient(k.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestOpen: a password opens for its account alone, with a key that it was sealed for, and as long as nobody has changed it.
func TestOpen(t *testing.T) {
	old, current, foreign := newIdentity(t), newIdentity(t), newIdentity(t)
	both := keys(t, current, old)
	seal := func(k Keys) []byte {
		data, err := k.Seal("work", canary)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	good := seal(both)
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	for _, c := range []struct {
		name, account string
		keys          Keys
		data          []byte
		err           error
	}{
		{"as it was sealed", "work", both, good, nil},
		{"with the second key", "work", both, seal(keys(t, old)), nil},
		{"by another program", "work", both, bare(t, both, "work\n"+canary+"\n"), nil},
		{"in another account's row", "home", both, good, ErrOtherAccount},
		{"of an account whose name begins alike", "wor", both, good, ErrOtherAccount},
		{"with a key that is not at hand", "work", keys(t, foreign), good, ErrNoIdentity},
		{"with the last octet changed", "work", both, flipped, ErrDamaged},
		{"cut short", "work", both, good[:len(good)-20], ErrDamaged},
		{"in the clear", "work", both, []byte("work\n" + canary), ErrDamaged},
		{"without a name", "work", both, bare(t, both, canary), ErrDamaged},
		{"of two lines", "work", both, bare(t, both, "work\n"+canary+"\nmore"), ErrDamaged},
		{"empty", "work", both, bare(t, both, "work\n"), ErrDamaged},
		{"too long", "work", both, bytes.Repeat([]byte("x"), maxSealed+1), ErrDamaged},
		{"nothing", "work", both, nil, ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.keys.Open(c.account, c.data)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if want := map[bool]string{true: canary}[c.err == nil]; got != want {
				t.Errorf("password %q, want %q", got, want)
			}
		})
	}
}

// TestSealShowsNothing: nothing of name and password is in the ciphertext, and each is another one.
func TestSealShowsNothing(t *testing.T) {
	k := keys(t, newIdentity(t))
	first, err := k.Seal("work", canary)
	if err != nil {
		t.Fatal(err)
	}
	second, err := k.Seal("work", canary)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(first, []byte(canary)) || bytes.Contains(first, []byte("work")) || bytes.Equal(first, second) {
		t.Errorf("the ciphertext shows what is in it")
	}
	for _, password := range []string{"", "a\nb", "a\rb", "a\x00b", strings.Repeat("x", maxPassword+1)} {
		if _, err := k.Seal("work", password); err == nil {
			t.Errorf("a password of %d octets that no login can bear was sealed", len(password))
		}
	}
}

// TestCurrent: what the first key does not open is to be sealed again.
func TestCurrent(t *testing.T) {
	old, current := newIdentity(t), newIdentity(t)
	for _, c := range []struct {
		sealed, have []string
		want         bool
	}{
		{[]string{current}, []string{current, old}, true},
		{[]string{old}, []string{current, old}, false},
		{[]string{old}, []string{old, current}, true},
	} {
		data, err := keys(t, c.sealed...).Seal("work", canary)
		if err != nil {
			t.Fatal(err)
		}
		if got := keys(t, c.have...).Current(data); got != c.want {
			t.Errorf("current %v, want %v", got, c.want)
		}
	}
}

// TestParseKeys: what is no identity is refused by its line, and never shown.
func TestParseKeys(t *testing.T) {
	one, two := newIdentity(t), newIdentity(t)
	for _, c := range []struct {
		name, text string
		n          int
		err        string
	}{
		{"as age-keygen writes it", "# created: 2026-01-01\n# public key: age1\n" + one + "\n", 1, ""},
		{"two, with an empty line between", one + "\r\n\r\n" + two + "\r\n", 2, ""},
		{"empty", "", 0, "no identity"},
		{"comments", "# soon\n", 0, "no identity"},
		{"a password", one + "\n" + canary + "\n", 0, "line 2"},
		{"an identity with a letter changed", one[:len(one)-1] + "b", 0, "line 1"},
		{"a recipient", "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq", 0, "line 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := ParseKeys([]byte(c.text))
			if c.err == "" {
				if err != nil || len(k.identities) != c.n {
					t.Errorf("%d identities, error %v; want %d", len(k.identities), err, c.n)
				}
				if shown := fmt.Sprintf("%v %+v %#v %s %q", k, k, k, k, k); strings.Contains(shown, "SECRET") {
					t.Errorf("printed, it shows %s", shown)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), canary) {
				t.Errorf("error %v, want one with %q that holds nothing of the file", err, c.err)
			}
		})
	}
}
