-- Splits the record into 64 partitions by mailbox, and so by account. Run it by truehop_owner (or a superuser) right after
-- truehop accounts prepare, before any service has started; it refuses a record that is in use. Run roles.sql again after it.
--
-- There are none by age: the identity of a message is kept for ever, see retention.sql for what goes.

DO $$
BEGIN
	IF EXISTS (SELECT FROM truehop.record) THEN
		RAISE EXCEPTION 'the record is in use: partitions are for a new one';
	END IF;
	ALTER TABLE truehop.record RENAME TO record_whole;
	CREATE TABLE truehop.record (LIKE truehop.record_whole INCLUDING ALL) PARTITION BY HASH (mailbox);
	EXECUTE format('ALTER TABLE truehop.record OWNER TO %I', (SELECT tableowner FROM pg_tables WHERE schemaname = 'truehop' AND tablename = 'record_whole'));
	DROP TABLE truehop.record_whole;
	FOR n IN 0 .. 63 LOOP
		EXECUTE format('CREATE TABLE truehop.record_%s PARTITION OF truehop.record FOR VALUES WITH (MODULUS 64, REMAINDER %s)', n, n);
		EXECUTE format('ALTER TABLE truehop.record_%s OWNER TO %I', n, (SELECT tableowner FROM pg_tables WHERE schemaname = 'truehop' AND tablename = 'record'));
	END LOOP;
END $$;
