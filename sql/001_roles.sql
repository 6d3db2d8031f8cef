-- Roles, the schema's owner, and the grid of orders that all amounts are indexed by.
--
-- Run by a superuser or by the database's owner with CREATEROLE. Roles belong to the
-- whole cluster: they may be there already, made by another database's migration.

DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['ppt_owner', 'ppt_officer', 'ppt_submitter',
                                  'ppt_scheduler', 'ppt_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another database of this cluster made it
        END;
    END LOOP;
    -- A migrator that is no superuser must be able to act as the owner.
    IF NOT pg_has_role(current_user, 'ppt_owner', 'MEMBER') THEN
        EXECUTE format('GRANT ppt_owner TO %I', current_user);
    END IF;
    EXECUTE format('GRANT CREATE ON DATABASE %I TO ppt_owner', current_database());
END $$;

ALTER SCHEMA ppt OWNER TO ppt_owner;
ALTER TABLE ppt.migration OWNER TO ppt_owner;

SET LOCAL ROLE ppt_owner;

-- Nothing is callable by everybody: each function is granted by name in 005.
ALTER DEFAULT PRIVILEGES FOR ROLE ppt_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
GRANT USAGE ON SCHEMA ppt TO ppt_officer, ppt_submitter, ppt_scheduler, ppt_reader;

CREATE DOMAIN ppt.unit AS text CHECK (VALUE IN ('example', 'user'));
CREATE DOMAIN ppt.currency AS text CHECK (VALUE IN ('renyi', 'gaussian'));
CREATE DOMAIN ppt.relation AS text CHECK (VALUE IN ('add_remove', 'replace_one'));

-- Refuses what would change history, for the owner too.
CREATE FUNCTION ppt.append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'PB017',
        MESSAGE = format('%s of %I.%I is refused: its rows are never changed',
                         lower(TG_OP), TG_TABLE_SCHEMA, TG_TABLE_NAME),
        HINT = 'append a correcting row instead';
END $$;

CREATE FUNCTION ppt.make_append_only(p_table regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %s '
                   'FOR EACH ROW EXECUTE FUNCTION ppt.append_only()', p_table);
    EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION ppt.append_only()', p_table);
END $$;

-- The grid: part of the ledger's format. Filled once by ppt-schedd --migrate from C's
-- cost_orders; element idx + 1 of every amount array belongs to alpha.
CREATE TABLE ppt.renyi_order (
    idx   int PRIMARY KEY CHECK (idx >= 0),
    alpha float8 NOT NULL UNIQUE CHECK (alpha > 1 AND alpha < 'infinity')
);
SELECT ppt.make_append_only('ppt.renyi_order');
SELECT ppt.make_append_only('ppt.migration');

-- Every function that locks rows in an order relies on each statement seeing what was
-- committed before it.
CREATE FUNCTION ppt.require_read_committed() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = 'the ledger is written at isolation level read committed only';
    END IF;
END $$;
