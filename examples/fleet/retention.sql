-- Takes out of the record what only people read, of mail that was delivered more than 180 days ago: who wrote, to whom, what the MTA said.
-- What a message is known by stays for ever: mailbox, UID, hash, size, state. Without it a mailbox that still has the message would
-- deliver it again. Run it daily by truehop_owner, from cron or pg_cron; history then shows these messages without their details.

UPDATE truehop.record
SET helo = '', client = '', sender = '', recipients = '', reply = '', queueid = '', why = '', author = '', subject = '', messageid = '', dated = 0
WHERE state = 'delivered' AND last < extract(epoch FROM now() - interval '180 days') * 1000
	AND (helo, client, sender, recipients, reply, queueid, why, author, subject, messageid) <> ('', '', '', '', '', '', '', '', '', '');
