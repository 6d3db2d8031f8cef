-- Whose budget it is (accounts, members) and on what (data sets).

SET LOCAL ROLE ppt_owner;

-- A tree. Rows never change: moving an account would move what it has spent away from
-- its ancestors.
CREATE TABLE ppt.account (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent_id  bigint REFERENCES ppt.account,
    name       text NOT NULL CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
    path       text NOT NULL UNIQUE,
    lineage    bigint[] NOT NULL,  -- ids from the top account down to this one
    created_by name NOT NULL DEFAULT session_user,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (cardinality(lineage) BETWEEN 1 AND 16),
    CHECK (lineage[cardinality(lineage)] = id),
    CHECK ((parent_id IS NULL) = (cardinality(lineage) = 1))
);
SELECT ppt.make_append_only('ppt.account');

CREATE TABLE ppt.account_member (
    account_id bigint NOT NULL REFERENCES ppt.account,
    login      name NOT NULL,
    added_by   name NOT NULL DEFAULT session_user,
    added_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account_id, login)
);
CREATE INDEX account_member_login ON ppt.account_member (login);

-- Who was let in and out, when and by whom.
CREATE TABLE ppt.member_event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES ppt.account,
    login      name NOT NULL,
    what       text NOT NULL CHECK (what IN ('add', 'remove')),
    by_login   name NOT NULL DEFAULT session_user,
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
SELECT ppt.make_append_only('ppt.member_event');

CREATE TABLE ppt.dataset (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE
                    CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,126}$'),
    file            text NOT NULL CHECK (file LIKE '/%' AND length(file) < 1024),
    manifest        text NOT NULL CHECK (octet_length(manifest) BETWEEN 1 AND 65536),
    manifest_sha256 text NOT NULL CHECK (manifest_sha256
                    = encode(sha256(convert_to(manifest, 'UTF8')), 'hex')),
    unit            ppt.unit NOT NULL,
    relation        ppt.relation NOT NULL,
    is_public       boolean NOT NULL,
    created_by      name NOT NULL DEFAULT session_user,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
SELECT ppt.make_append_only('ppt.dataset');

CREATE FUNCTION ppt.account_find(p_path text) RETURNS ppt.account
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_account ppt.account;
BEGIN
    SELECT * INTO v_account FROM ppt.account WHERE path = p_path;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PB005',
            MESSAGE = format('there is no account "%s"', p_path),
            HINT = 'accounts are paths such as acme/research; ppt-budget show lists them';
    END IF;
    RETURN v_account;
END $$;

CREATE FUNCTION ppt.dataset_find(p_name text) RETURNS ppt.dataset
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_dataset ppt.dataset;
BEGIN
    SELECT * INTO v_dataset FROM ppt.dataset WHERE name = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PB005',
            MESSAGE = format('there is no data set "%s"', p_name),
            HINT = 'a privacy officer registers data sets with ppt-budget dataset add';
    END IF;
    RETURN v_dataset;
END $$;

CREATE FUNCTION ppt.account_create(p_path text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_name   text := regexp_replace(p_path, '^.*/', '');
    v_parent ppt.account;
    v_id     bigint;
BEGIN
    IF p_path IS NULL OR length(p_path) > 1000
       OR v_name !~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$' THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = format('"%s" is no name of an account', p_path),
            HINT = 'words of letters, digits, "_", "." and "-", joined by "/"';
    END IF;
    IF p_path <> v_name THEN
        v_parent := ppt.account_find(left(p_path, length(p_path) - length(v_name) - 1));
        IF cardinality(v_parent.lineage) = 16 THEN
            RAISE EXCEPTION USING ERRCODE = 'PB014',
                MESSAGE = 'accounts nest at most 16 deep';
        END IF;
    END IF;
    v_id := nextval(pg_get_serial_sequence('ppt.account', 'id'));
    INSERT INTO ppt.account (id, parent_id, name, path, lineage)
        OVERRIDING SYSTEM VALUE
        VALUES (v_id, v_parent.id, v_name, p_path, v_parent.lineage || v_id);
    RETURN v_id;
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'PB006',
        MESSAGE = format('account "%s" exists already', p_path);
END $$;

CREATE FUNCTION ppt.member_add(p_path text, p_login name) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_account ppt.account := ppt.account_find(p_path);
BEGIN
    IF p_login IS NULL OR p_login = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014', MESSAGE = 'a member needs a login';
    END IF;
    INSERT INTO ppt.account_member (account_id, login) VALUES (v_account.id, p_login)
        ON CONFLICT DO NOTHING;
    IF FOUND THEN
        INSERT INTO ppt.member_event (account_id, login, what)
            VALUES (v_account.id, p_login, 'add');
    END IF;
END $$;

CREATE FUNCTION ppt.member_remove(p_path text, p_login name) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_account ppt.account := ppt.account_find(p_path);
BEGIN
    DELETE FROM ppt.account_member
        WHERE account_id = v_account.id AND login = p_login;
    IF FOUND THEN
        INSERT INTO ppt.member_event (account_id, login, what)
            VALUES (v_account.id, p_login, 'remove');
    END IF;
END $$;

-- May this login submit to the account? Membership of an ancestor counts.
CREATE FUNCTION ppt.is_member(p_account bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM ppt.account_member m
                   JOIN ppt.account a ON m.account_id = ANY (a.lineage)
                   WHERE m.login = session_user AND a.id = p_account);
END $$;
