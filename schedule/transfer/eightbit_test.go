package transfer

import (
	"bytes"
	"testing"
)

// TestEightBitWhereverItStands: one octet above 127 is found at each place of a text of each length.
func TestEightBitWhereverItStands(t *testing.T) {
	for length := range 20 {
		text := bytes.Repeat([]byte{0x7f}, length)
		if hasEightBit(text) {
			t.Errorf("%d octets of 127 are taken for more", length)
		}
		for at := range text {
			text[at] = 0x80
			if !hasEightBit(text) {
				t.Errorf("octet %d of %d is not found", at, length)
			}
			text[at] = 0x7f
		}
	}
}
