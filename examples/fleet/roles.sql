-- The roles of a fleet, with the least rights. Run it by a superuser in the database that is to hold the record, before
-- truehop_owner makes the schema, again after that, and after each upgrade of truehop that brings the schema to a new version:
--
--   psql --set ON_ERROR_STOP=1 --file roles.sql truehop
--
-- Passwords are not set here: \password truehop_node, or certificates (pg_hba.conf).

DO $$
DECLARE
	role text;
BEGIN
	FOREACH role IN ARRAY ARRAY['truehop_owner', 'truehop_node', 'truehop_admin', 'truehop_panel'] LOOP
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
			EXECUTE format('CREATE ROLE %I LOGIN', role);
		END IF;
	END LOOP;
	-- Nobody but these four comes in, and nothing is made outside of the schema truehop.
	EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
	EXECUTE format('GRANT CONNECT ON DATABASE %I TO truehop_owner, truehop_node, truehop_admin, truehop_panel', current_database());
	EXECUTE format('ALTER ROLE truehop_node IN DATABASE %I SET synchronous_commit = on', current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- Makes the schema and brings it to a new version. No service uses it.
CREATE SCHEMA IF NOT EXISTS truehop AUTHORIZATION truehop_owner;

-- A node: reads and writes the record, reads the accounts.
GRANT USAGE ON SCHEMA truehop TO truehop_node;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA truehop TO truehop_node;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA truehop TO truehop_node;

-- A person with truehop accounts, who must also have the key to the passwords; a panel, which writes passwords and reads none.
GRANT USAGE ON SCHEMA truehop TO truehop_admin, truehop_panel;
DO $$
BEGIN
	IF to_regclass('truehop.account') IS NULL THEN
		RAISE NOTICE 'the schema is not made yet: run this again after that';
		RETURN;
	END IF;
	REVOKE INSERT, UPDATE, DELETE ON truehop.account FROM truehop_node;
	REVOKE INSERT, UPDATE, DELETE ON truehop.format FROM truehop_node;
	GRANT SELECT ON truehop.format TO truehop_admin, truehop_panel;
	GRANT SELECT, INSERT, UPDATE, DELETE ON truehop.account TO truehop_admin;
	GRANT SELECT (name, settings, enabled, changed), INSERT, UPDATE, DELETE ON truehop.account TO truehop_panel;
END $$;
