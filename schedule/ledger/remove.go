package ledger

import "context"

// Remove deletes the records with these keys, in one transaction: what they say
// has been taken over by others. Keys without a record are ignored.
func (l *Ledger) Remove(ctx context.Context, keys []Key) error {
	if len(keys) == 0 {
		return nil
	}
	return l.write(ctx, true, func(tx *tx) error { return tx.remove(keys) })
}

func (t *tx) remove(keys []Key) error {
	for i := range keys {
		k := &keys[i]
		id, err := t.mailbox(k, false)
		if err != nil {
			return err
		}
		if _, err := t.conn.ExecContext(context.Background(),
			"DELETE FROM record WHERE mailbox = ? AND uid = ? AND hash = ?", id, []byte(k.UID), k.Hash[:]); err != nil {
			return err
		}
	}
	return nil
}
