package imap

import (
	"context"
	"errors"
	"fmt"

	imapwire "github.com/emersion/go-imap/v2"

	"github.com/truehop/truehop/fetch"
)

var _ fetch.Surveyor = (*Client)(nil)

// Obstacles implements [fetch.Surveyor], for the open folder. It changes nothing.
func (c *Client) Obstacles(ctx context.Context, disposals []fetch.Disposal) (obstacles []error, err error) {
	if c.box == nil {
		return nil, notOpen("survey")
	}
	err = c.run(ctx, 0, func() error {
		for _, d := range disposals {
			obstacle, err := c.obstacle(d)
			if err != nil {
				return err
			}
			if obstacle != nil {
				obstacles = append(obstacles, obstacle)
			}
		}
		return nil
	})
	return obstacles, err
}

// obstacle says what stands in the way of one disposal, nil if nothing does.
func (c *Client) obstacle(d fetch.Disposal) (obstacle, err error) {
	if d.Action == fetch.Keep {
		return nil, nil
	}
	if err := checkTarget(d); err != nil {
		return err, nil
	}
	if c.box.readOnly {
		return &fetch.Error{Kind: fetch.Unsupported, Op: "SELECT", Err: errors.New("the folder is read-only"), Advice: "have it opened for writing, or keep the mail there"}, nil
	}
	removes := c.Has("UIDPLUS") || c.opts.PlainExpunge
	const advice = "set plain_expunge: true if no other client marks messages there, or settle by flag"
	switch {
	case d.Action == fetch.Flag:
		if flag := imapwire.Flag(d.Target); flag != "" && !c.box.keeps(flag) {
			return notKept(flag), nil
		}
	case d.Action == fetch.Delete && !removes:
		return &fetch.Error{Kind: fetch.Unsupported, Op: "UID EXPUNGE", Advice: advice,
			Err: errors.New("the server lacks UIDPLUS: messages would be marked \\Deleted and not removed")}, nil
	case d.Action == fetch.Move && !removes && !c.Has("MOVE"):
		return &fetch.Error{Kind: fetch.Unsupported, Op: "UID MOVE", Advice: advice,
			Err: errors.New("the server has neither MOVE nor UIDPLUS: nothing would be moved")}, nil
	}
	if d.Action != fetch.Move {
		return nil, nil
	}
	exists, err := c.exists(d.Target)
	if exists || err != nil || c.opts.CreateFolders {
		return nil, err
	}
	e := &fetch.Error{Kind: fetch.NoFolder, Op: "STATUS", Err: fmt.Errorf("there is no folder %s", fetch.Sanitize(d.Target)),
		Advice: "correct its name, create it, or set create_folders: true"}
	if !c.Has("NAMESPACE") {
		return e, nil
	}
	// Servers such as Courier, and Dovecot with its namespace, have all folders below INBOX. NAMESPACE names the prefix of the
	// user's own folders (RFC 9051 section 6.3.10), "" if there is none or the server does not say.
	c.g.amend(func(n *notes) { n.prefix = "" })
	_, err = c.lib.Namespace().Wait()
	if err = c.failed("NAMESPACE", err); fetch.EndsSession(err) {
		return e, err
	}
	prefix := c.g.noted().prefix
	if prefix == "" {
		return e, nil
	}
	if exists, err = c.exists(prefix + d.Target); exists {
		e.Advice = fmt.Sprintf("did you mean %s?", fetch.Sanitize(prefix+d.Target))
	}
	return e, err
}

// exists asks whether there is a folder, by STATUS. An error is one that ends the session.
func (c *Client) exists(folder string) (bool, error) {
	_, err := c.messagesIn(folder)
	if fetch.EndsSession(err) {
		return false, err
	}
	return err == nil, nil
}
