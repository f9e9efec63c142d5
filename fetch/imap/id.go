package imap

import (
	"errors"
	"strings"

	imapwire "github.com/emersion/go-imap/v2"

	"github.com/truehop/truehop/fetch"
)

// clientName is what a server is told when it wants to know who its client is.
const clientName = "truehop"

// refusedUnnamed reports whether SELECT was refused in Coremail's words for a client without a name.
func (c *Client) refusedUnnamed(err error) bool {
	var refused *fetch.Error
	if !errors.As(err, &refused) || refused.Ends || c.identified || !c.Has("ID") {
		return false
	}
	return strings.Contains(strings.ToLower(refused.Text), "unsafe login")
}

// identify says the name. A refusal changes nothing: SELECT tells what comes of it.
func (c *Client) identify() error {
	c.identified = true
	_, err := c.lib.ID(&imapwire.IDData{Name: clientName}).Wait()
	if err = c.failed("ID", err); fetch.EndsSession(err) {
		return err
	}
	return nil
}
