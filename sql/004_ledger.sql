-- The ledger: pots, limits, entries; grant, judge, reserve, settle, check.
--
-- Amounts are integers, 2^-40 nat at each order of the grid (delta: 2^-62), so sums are
-- exact and do not depend on their order. 9223372036854775807 stands for "unbounded".
-- A job's amount is its curve and, after it, its mu^2 (2^-40) if it has one: only jobs
-- all of whose releases are Gaussians over all records do. A pot counts in one currency
-- for ever: renyi (the curve) or gaussian (mu^2 alone, see 006).
-- Locks are always taken in this order: lease, table pot, job, balances by pot id.

SET LOCAL ROLE ppt_owner;

-- ---- arithmetic on amounts ----

-- Small functions are written in plpgsql where they run at each admission: it keeps
-- their plans, which SQL functions make anew.
CREATE FUNCTION ppt.n_orders() RETURNS int
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT idx + 1 FROM ppt.renyi_order ORDER BY idx DESC LIMIT 1);
END $$;

CREATE FUNCTION ppt.vec_zero() RETURNS bigint[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN array_fill(0::bigint, ARRAY[ppt.n_orders()]);
END $$;

-- The loops are four times as fast as unnest() and array_agg() at this length.

-- a + b, stopping at "unbounded".
CREATE FUNCTION ppt.vec_add(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    x bigint;
    i int := 0;
BEGIN
    FOREACH x IN ARRAY b LOOP
        i := i + 1;
        a[i] := CASE WHEN a[i] > 9223372036854775807 - x THEN 9223372036854775807
                     ELSE a[i] + x END;
    END LOOP;
    RETURN a;
END $$;

-- a - b where b <= a; unbounded less anything bounded stays unbounded.
CREATE FUNCTION ppt.vec_sub(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    x bigint;
    i int := 0;
BEGIN
    FOREACH x IN ARRAY b LOOP
        i := i + 1;
        a[i] := CASE WHEN a[i] = 9223372036854775807 AND x < a[i] THEN a[i]
                     ELSE a[i] - x END;
    END LOOP;
    RETURN a;
END $$;

-- Is there an order with room? (the weighted filter; caps of unusable orders are -1)
CREATE FUNCTION ppt.vec_fits(p_caps bigint[], p_used bigint[], p_more bigint[],
                             p_rho bigint[]) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_cap bigint;
    i     int := 0;
BEGIN
    FOREACH v_cap IN ARRAY p_caps LOOP
        i := i + 1;
        IF v_cap >= 0 AND p_used[i] <= v_cap AND p_more[i] <= v_cap - p_used[i]
           AND p_rho[i] <= v_cap - p_used[i] - p_more[i] THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;

-- What a pot of this currency takes of a job's amount. A job without a mu^2 is unbounded
-- in a gaussian pot, unless its curve is nothing: then it has told nothing.
CREATE FUNCTION ppt.in_currency(p_currency text, p_rho bigint[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_n int := ppt.n_orders();
BEGIN
    IF p_currency = 'renyi' THEN
        RETURN p_rho[1:v_n];
    ELSIF cardinality(p_rho) > v_n THEN
        RETURN p_rho[v_n + 1:v_n + 1];
    ELSIF 0 < ANY (p_rho) THEN
        RETURN ARRAY[9223372036854775807];
    END IF;
    RETURN ARRAY[0::bigint];
END $$;

-- Refuses what is no amount: NULLs, another length, a negative element, a mu^2 of
-- nothing beside a curve that is something.
CREATE FUNCTION ppt.check_amount(p_unit text, p_relation text, p_rho bigint[],
                                 p_delta bigint) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_fault text;
BEGIN
    IF p_unit IS NULL OR p_unit NOT IN ('example', 'user') THEN
        v_fault := 'its unit is neither example nor user';
    ELSIF p_relation IS NULL OR p_relation NOT IN ('add_remove', 'replace_one') THEN
        v_fault := 'its relation is neither add_remove nor replace_one';
    ELSIF p_rho IS NULL OR array_ndims(p_rho) IS DISTINCT FROM 1
          OR array_lower(p_rho, 1) <> 1
          OR cardinality(p_rho) - ppt.n_orders() NOT IN (0, 1) THEN
        v_fault := format('its curve has not exactly %s elements, with mu^2 one more',
                          ppt.n_orders());
    ELSIF array_position(p_rho, NULL) IS NOT NULL OR p_delta IS NULL THEN
        v_fault := 'an element is null';
    ELSIF 0 > ANY (p_rho) OR p_delta < 0 THEN
        v_fault := 'an element is negative';
    ELSIF p_rho[ppt.n_orders() + 1] = 0 AND 0 < ANY (p_rho) THEN
        v_fault := 'its curve is not nothing, but its mu^2 is';
    END IF;
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = 'this is no cost: ' || v_fault;
    END IF;
END $$;

-- ---- caps ----

-- The most a pot may hold at order alpha when delta_part of its delta stands on that
-- order, in nats: epsilon - ln(1-1/alpha) + (ln delta_part + ln alpha)/(alpha-1)
-- (Canonne, Kamath, Steinke 2020, Prop. 12, solved for rho).
CREATE FUNCTION ppt.cap_nats(p_alpha float8, p_epsilon float8, p_ln_delta float8)
RETURNS float8
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT p_epsilon - ln(1 - 1 / p_alpha)
         + (p_ln_delta + ln(p_alpha)) / (p_alpha - 1)
$$;

-- The filter "some order has room" is sound against adaptive jobs only when each order
-- has its own share of delta, fixed before the first job. Nine tenths stand on the
-- order that admits most of a Gaussian-shaped demand (rho proportional to alpha), the
-- rest is spread evenly. Multiples of 2^-53, so that their sum is exact and at most 1.
CREATE FUNCTION ppt.limit_weights(p_epsilon float8, p_delta float8) RETURNS float8[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_n     int := ppt.n_orders();
    v_order int;
    v_score float8;
BEGIN
    SELECT idx, ppt.cap_nats(alpha, p_epsilon, ln(p_delta)) / alpha AS score
        INTO v_order, v_score
        FROM ppt.renyi_order ORDER BY score DESC, idx LIMIT 1;
    IF v_order IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = 'the grid of orders is not filled in',
            HINT = 'run ppt-schedd --migrate';
    END IF;
    IF v_score <= 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = format('epsilon %s at delta %s is too small: no order of the grid '
                             'could hold any cost', p_epsilon, p_delta),
            HINT = 'raise epsilon or delta';
    END IF;
    RETURN ARRAY(SELECT CASE WHEN idx = v_order THEN 0.9::float8
                             ELSE floor(0.1::float8 / (v_n - 1) * 2.0::float8 ^ 53)
                                  / 2.0::float8 ^ 53 END
                 FROM ppt.renyi_order ORDER BY idx);
END $$;

-- In 2^-40 nat, rounded down. The margin (one unit, and 2^-48 of the terms' size: 32
-- times the rounding of a double) is wider than the error of ln and of the sums, so that
-- no cap is above its exact value. -1: the order is not usable.
CREATE FUNCTION ppt.limit_caps(p_epsilon float8, p_delta float8, p_weights float8[])
RETURNS bigint[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY(
        SELECT CASE WHEN units > 0 THEN units::bigint ELSE -1 END
        FROM (SELECT o.idx, floor(1099511627776.0::float8
                     * (ppt.cap_nats(o.alpha, p_epsilon, ln(w.w) + ln(p_delta))
                        - 2.0::float8 ^ -48
                          * (p_epsilon + 1 / (o.alpha - 1)
                             + (abs(ln(w.w)) + abs(ln(p_delta)) + ln(o.alpha))
                               / (o.alpha - 1)))) - 1 AS units
              FROM ppt.renyi_order o
              JOIN unnest(p_weights) WITH ORDINALITY AS w(w, i) ON w.i = o.idx + 1) c
        ORDER BY idx)
$$;

-- ---- tables ----

-- Where cost gathers: (account, all data), (account, one data set) or (one data set over
-- all accounts). Made by its first limit; unit, relation, currency and weights are fixed
-- for ever.
CREATE TABLE ppt.pot (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint REFERENCES ppt.account,
    dataset_id bigint REFERENCES ppt.dataset,
    unit       ppt.unit NOT NULL,
    relation   ppt.relation NOT NULL,
    currency   ppt.currency NOT NULL,
    weights    float8[] NOT NULL,  -- of the orders; none where the currency is gaussian
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE NULLS NOT DISTINCT (account_id, dataset_id),
    CHECK (account_id IS NOT NULL OR dataset_id IS NOT NULL)
);
CREATE INDEX pot_dataset ON ppt.pot (dataset_id);
SELECT ppt.make_append_only('ppt.pot');

-- The guarantees published for a pot; the row with the largest id is in force.
CREATE TABLE ppt.budget_limit (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pot_id     bigint NOT NULL REFERENCES ppt.pot,
    epsilon    float8 NOT NULL CHECK (epsilon > 0 AND epsilon <= 1e6),
    delta      float8 NOT NULL CHECK (delta > 0 AND delta < 1),
    delta_own  bigint NOT NULL CHECK (delta_own >= 0),  -- 2^-62, part of delta
    caps       bigint[] NOT NULL,
    granted_by name NOT NULL DEFAULT session_user,
    granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason     text NOT NULL CHECK (length(reason) < 512)
);
CREATE INDEX budget_limit_pot ON ppt.budget_limit (pot_id, id);
SELECT ppt.make_append_only('ppt.budget_limit');

-- All that ever happened to a job's money: one reserve, later one spend and one release
-- (reserve = spend + release). A job's pots follow from its account and data set, so a
-- pot made later still gets its history.
CREATE TABLE ppt.ledger_entry (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    login    name NOT NULL DEFAULT session_user,
    job_id   bigint NOT NULL REFERENCES ppt.job,
    kind     text NOT NULL CHECK (kind IN ('reserve', 'spend', 'release')),
    unit     ppt.unit NOT NULL,
    relation ppt.relation NOT NULL,
    rho      bigint[] NOT NULL,
    delta    bigint NOT NULL CHECK (delta >= 0),
    UNIQUE (job_id, kind)
);
SELECT ppt.make_append_only('ppt.ledger_entry');

-- Cached sums of the entries, one short row a pot: the only rows that all jobs of an
-- account fight for. Kept in one piece and with room on the page for the next version.
CREATE TABLE ppt.pot_balance (
    pot_id         bigint PRIMARY KEY REFERENCES ppt.pot,
    reserved       bigint[] NOT NULL,
    spent          bigint[] NOT NULL,
    reserved_delta bigint NOT NULL CHECK (reserved_delta >= 0),
    spent_delta    bigint NOT NULL CHECK (spent_delta >= 0)
) WITH (fillfactor = 35);
ALTER TABLE ppt.pot_balance ALTER COLUMN reserved SET STORAGE PLAIN,
                            ALTER COLUMN spent SET STORAGE PLAIN;

-- The money side of a job's moves, for every way the row can be written.
CREATE FUNCTION ppt.job_guard_money() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_reserved boolean := EXISTS (SELECT 1 FROM ppt.ledger_entry
                                  WHERE job_id = NEW.id AND kind = 'reserve');
    v_settled  boolean := EXISTS (SELECT 1 FROM ppt.ledger_entry
                                  WHERE job_id = NEW.id AND kind = 'spend');
BEGIN
    IF NEW.state IN ('admitted', 'running')
       AND (NEW.is_private IS NULL OR NEW.is_private <> v_reserved OR v_settled) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s has no open reservation to be %s with', NEW.id,
                             NEW.state);
    END IF;
    IF NEW.state NOT IN ('admitted', 'running') AND v_reserved AND NOT v_settled THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s cannot be %s while its reservation is open', NEW.id,
                             NEW.state),
            HINT = 'settle it first';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_money BEFORE UPDATE ON ppt.job FOR EACH ROW
    WHEN ((OLD.state, OLD.attempt) IS DISTINCT FROM (NEW.state, NEW.attempt))
    EXECUTE FUNCTION ppt.job_guard_money();

-- Every pot with its limit in force and what is in it.
CREATE VIEW ppt.budget WITH (security_invoker = true) AS
    SELECT p.id AS pot_id, coalesce(a.path, '') AS account, coalesce(d.name, '') AS dataset,
           p.unit::text AS unit, p.relation::text AS relation, l.epsilon, l.delta,
           l.delta_own, l.granted_by::text AS granted_by, l.granted_at,
           b.reserved_delta, b.spent_delta, p.weights, l.caps, b.reserved, b.spent,
           p.account_id, p.dataset_id, p.currency::text AS currency
    FROM ppt.pot p
    JOIN ppt.pot_balance b ON b.pot_id = p.id
    CROSS JOIN LATERAL (SELECT * FROM ppt.budget_limit
                        WHERE pot_id = p.id ORDER BY id DESC LIMIT 1) l
    LEFT JOIN ppt.account a ON a.id = p.account_id
    LEFT JOIN ppt.dataset d ON d.id = p.dataset_id;

-- The pots that a job of this account on this data set is charged to, from the top
-- account down, all data before the one data set; the data set's own comes last.
CREATE FUNCTION ppt.pots_of(p_account bigint, p_dataset bigint)
RETURNS TABLE (pot_id bigint, place int)
LANGUAGE sql STABLE AS $$
    SELECT p.id, 2 * array_position(a.lineage, p.account_id)
                 + (p.dataset_id IS NOT NULL)::int
    FROM ppt.account a
    JOIN ppt.pot p ON p.account_id = ANY (a.lineage)
                  AND (p.dataset_id IS NULL OR p.dataset_id = p_dataset)
    WHERE a.id = p_account
    UNION ALL
    SELECT p.id, 1000 FROM ppt.pot p
    WHERE p.account_id IS NULL AND p.dataset_id = p_dataset
$$;

-- What the entries say is in a pot: the definition that the cached balance must match.
CREATE FUNCTION ppt.pot_recomputed(p_pot bigint, OUT reserved bigint[],
                                   OUT spent bigint[], OUT reserved_delta bigint,
                                   OUT spent_delta bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH entry AS (
        SELECT e.kind, ppt.in_currency(p.currency, e.rho) AS rho, e.delta
        FROM ppt.pot p
        JOIN ppt.job j ON (p.dataset_id IS NULL OR j.dataset_id = p.dataset_id)
        JOIN ppt.account a ON a.id = j.account_id
                          AND (p.account_id IS NULL OR p.account_id = ANY (a.lineage))
        JOIN ppt.ledger_entry e ON e.job_id = j.id
        WHERE p.id = p_pot
          AND (e.kind = 'spend'
               OR e.kind = 'reserve'
                  AND NOT EXISTS (SELECT 1 FROM ppt.ledger_entry s
                                  WHERE s.job_id = j.id AND s.kind = 'spend'))
    ), sums AS (  -- least() passes over NULL, so coalesce stands inside it
        SELECT u.i,
               least(coalesce(sum(u.x) FILTER (WHERE kind = 'reserve'), 0),
                     9223372036854775807)::bigint AS r,
               least(coalesce(sum(u.x) FILTER (WHERE kind = 'spend'), 0),
                     9223372036854775807)::bigint AS s
        FROM entry, unnest(rho) WITH ORDINALITY AS u(x, i) GROUP BY u.i
    ), size AS (
        SELECT CASE currency WHEN 'renyi' THEN ppt.n_orders() ELSE 1 END AS n
        FROM ppt.pot WHERE id = p_pot
    )
    SELECT ARRAY(SELECT coalesce(r, 0)
                 FROM generate_series(1, (SELECT n FROM size)) AS k
                 LEFT JOIN sums ON i = k ORDER BY k),
           ARRAY(SELECT coalesce(s, 0)
                 FROM generate_series(1, (SELECT n FROM size)) AS k
                 LEFT JOIN sums ON i = k ORDER BY k),
           (SELECT least(coalesce(sum(delta), 0), 9223372036854775807)::bigint
            FROM entry WHERE kind = 'reserve'),
           (SELECT least(coalesce(sum(delta), 0), 9223372036854775807)::bigint
            FROM entry WHERE kind = 'spend')
$$;

-- ---- grant ----

CREATE FUNCTION ppt.grant_words(p_account text, p_dataset text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_account IS NULL OR p_account = ''
                THEN format('data set "%s"', p_dataset)
                WHEN p_dataset IS NULL OR p_dataset = ''
                THEN format('account "%s" over all data', p_account)
                ELSE format('account "%s" on data set "%s"', p_account, p_dataset) END
$$;

-- Makes the pot that the first limit needs and fills it with the history under it.
CREATE FUNCTION ppt.pot_create(p_account bigint, p_dataset bigint, p_unit text,
                               p_relation text, p_currency text, p_weights float8[],
                               p_words text)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO ppt.pot (account_id, dataset_id, unit, relation, currency, weights)
        VALUES (p_account, p_dataset, p_unit, p_relation, p_currency, p_weights)
        RETURNING id INTO v_id;
    IF EXISTS (SELECT 1 FROM ppt.job j JOIN ppt.account a ON a.id = j.account_id
               JOIN ppt.ledger_entry e ON e.job_id = j.id
               WHERE (p_account IS NULL OR p_account = ANY (a.lineage))
                 AND (p_dataset IS NULL OR j.dataset_id = p_dataset)
                 AND (e.unit, e.relation) IS DISTINCT FROM (p_unit, p_relation)) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = format('%s has jobs charged for another unit or relation than '
                             '%s, %s', p_words, p_unit, p_relation),
            HINT = 'costs of different units are never added: limit single data sets';
    END IF;
    INSERT INTO ppt.pot_balance (pot_id, reserved, spent, reserved_delta, spent_delta)
        SELECT v_id, r.reserved, r.spent, r.reserved_delta, r.spent_delta
        FROM ppt.pot_recomputed(v_id) r;
    IF p_currency = 'gaussian'
       AND EXISTS (SELECT 1 FROM ppt.pot_balance
                   WHERE pot_id = v_id
                     AND 9223372036854775807 IN (reserved[1], spent[1])) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = format('%s has been charged for jobs without a mu^2 already: it '
                             'cannot count in currency gaussian', p_words),
            HINT = 'grant it in currency renyi, or give full-batch jobs their own account';
    END IF;
    RETURN v_id;
END $$;

CREATE FUNCTION ppt.ledger_grant(p_account text, p_dataset text, p_epsilon float8,
                                 p_delta float8, p_delta_own float8, p_unit text,
                                 p_relation text, p_reason text,
                                 p_currency text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_words   text := ppt.grant_words(p_account, p_dataset);
    v_account ppt.account;
    v_dataset ppt.dataset;
    v_pot     ppt.pot;
    v_balance ppt.pot_balance;
    v_caps    bigint[];
    v_own     bigint;
BEGIN
    PERFORM ppt.require_read_committed();
    IF p_account IS NOT NULL THEN v_account := ppt.account_find(p_account); END IF;
    IF p_dataset IS NOT NULL THEN v_dataset := ppt.dataset_find(p_dataset); END IF;
    IF p_account IS NULL AND p_dataset IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = 'a limit belongs to an account, a data set or both';
    END IF;
    -- NaN sorts above every number in PostgreSQL, so these tests refuse it too.
    IF (p_epsilon > 0 AND p_epsilon <= 1e6) IS NOT TRUE
       OR (p_delta >= 1e-30 AND p_delta < 1) IS NOT TRUE
       OR (p_delta_own >= 0 AND p_delta_own < p_delta) IS NOT TRUE
       OR p_reason IS NULL OR length(p_reason) >= 512 THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = format('limit of %s: epsilon %s, delta %s, own delta %s', v_words,
                             p_epsilon, p_delta, p_delta_own),
            DETAIL = 'epsilon must be in (0, 1e6], delta in [1e-30, 1), own delta in '
                     '[0, delta), the reason shorter than 512 characters';
    END IF;
    IF p_currency NOT IN ('renyi', 'gaussian') THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = format('currency "%s" is neither renyi nor gaussian', p_currency);
    END IF;
    -- From here until commit no reservation is made or settled: they read the table.
    LOCK TABLE ppt.pot IN EXCLUSIVE MODE;
    SELECT * INTO v_pot FROM ppt.pot
        WHERE account_id IS NOT DISTINCT FROM v_account.id
          AND dataset_id IS NOT DISTINCT FROM v_dataset.id;
    IF NOT FOUND THEN
        PERFORM ppt.check_amount(p_unit, p_relation, ppt.vec_zero(), 0);
        v_pot.id := ppt.pot_create(v_account.id, v_dataset.id,
                                   coalesce(v_dataset.unit, p_unit),
                                   coalesce(v_dataset.relation, p_relation),
                                   coalesce(p_currency, 'renyi'),
                                   CASE WHEN p_currency = 'gaussian' THEN '{}'
                                        ELSE ppt.limit_weights(p_epsilon,
                                                               p_delta - p_delta_own)
                                   END, v_words);
        SELECT * INTO v_pot FROM ppt.pot WHERE id = v_pot.id;
    ELSIF p_dataset IS NULL
          AND (v_pot.unit, v_pot.relation) IS DISTINCT FROM (p_unit, p_relation) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = format('%s counts by %s, %s for ever', v_words, v_pot.unit,
                             v_pot.relation);
    ELSIF v_pot.currency <> p_currency THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = format('%s counts in currency %s for ever', v_words,
                             v_pot.currency);
    END IF;
    v_caps := CASE v_pot.currency
              WHEN 'gaussian' THEN ARRAY[ppt.gaussian_cap(p_epsilon,
                                                          p_delta - p_delta_own)]
              ELSE ppt.limit_caps(p_epsilon, p_delta - p_delta_own, v_pot.weights) END;
    v_own := floor(p_delta_own * 4611686018427387904.0::float8)::bigint;
    SELECT * INTO v_balance FROM ppt.pot_balance WHERE pot_id = v_pot.id FOR UPDATE;
    IF NOT 0 <= ANY (v_caps) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = format('limit of %s: epsilon %s at delta %s is too small: no order '
                             'of the grid could hold any cost', v_words, p_epsilon,
                             p_delta);
    END IF;
    IF NOT ppt.vec_fits(v_caps, v_balance.spent, v_balance.reserved, ppt.vec_zero())
       OR v_balance.spent_delta > v_own
       OR v_balance.reserved_delta > v_own - v_balance.spent_delta THEN
        RAISE EXCEPTION USING ERRCODE = 'PB012',
            MESSAGE = format('limit of %s: epsilon %s at delta %s is below what is '
                             'spent and reserved already', v_words, p_epsilon, p_delta),
            HINT = 'ppt-budget show tells what is spent; what is spent stays spent';
    END IF;
    INSERT INTO ppt.budget_limit (pot_id, epsilon, delta, delta_own, caps, reason)
        VALUES (v_pot.id, p_epsilon, p_delta, v_own, v_caps, p_reason);
    PERFORM pg_notify('ppt_queue', '');  -- waiting jobs may fit now
    RETURN v_pot.id;
END $$;

CREATE FUNCTION ppt.dataset_add(p_name text, p_file text, p_manifest text, p_unit text,
                                p_relation text, p_is_public boolean, p_epsilon float8,
                                p_delta float8, p_reason text,
                                p_currency text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_id bigint;
BEGIN
    PERFORM ppt.check_amount(p_unit, p_relation, ppt.vec_zero(), 0);
    BEGIN
        INSERT INTO ppt.dataset (name, file, manifest, manifest_sha256, unit, relation,
                                 is_public)
            VALUES (p_name, p_file, p_manifest,
                    encode(sha256(convert_to(p_manifest, 'UTF8')), 'hex'), p_unit,
                    p_relation, p_is_public)
            RETURNING id INTO v_id;
    EXCEPTION
        WHEN unique_violation THEN
            RAISE EXCEPTION USING ERRCODE = 'PB006',
                MESSAGE = format('data set "%s" exists already', p_name),
                HINT = 'a changed file is another data set: give it another name';
        WHEN not_null_violation OR check_violation THEN
            RAISE EXCEPTION USING ERRCODE = 'PB014',
                MESSAGE = format('data set "%s" cannot be registered', p_name),
                DETAIL = 'its name must be one word of letters, digits, "_", "." and '
                         '"-", its file an absolute path, its manifest at most 64 KiB';
    END;
    IF NOT (p_is_public AND p_epsilon = 0) THEN
        PERFORM ppt.ledger_grant(NULL, p_name, p_epsilon, p_delta, 0, p_unit, p_relation,
                                 p_reason, p_currency);
    END IF;
    RETURN v_id;
END $$;

-- ---- judge ----

CREATE TYPE ppt.verdict AS (
    answer text,  -- admitted, wait, refuse
    reason text,
    hint   text,
    pot    ppt.budget  -- the one in the way
);

-- May a job of this cost run? Writes nothing. The caller holds the pots' locks where the
-- answer is to be acted on. VOLATILE on purpose: each statement in it must see what was
-- committed while the locks were waited for.
CREATE FUNCTION ppt.judge(p_account bigint, p_dataset bigint, p_is_private boolean,
                          p_unit text, p_relation text, p_rho bigint[], p_delta bigint)
RETURNS ppt.verdict
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_dataset ppt.dataset;
    v_account ppt.account;
    v_verdict ppt.verdict;
    v_words   text;
    r         record;
BEGIN
    SELECT * INTO v_dataset FROM ppt.dataset WHERE id = p_dataset;
    SELECT * INTO v_account FROM ppt.account WHERE id = p_account;
    v_verdict.answer := 'refuse';
    IF NOT p_is_private THEN
        IF v_dataset.is_public THEN
            v_verdict.answer := 'admitted';
        ELSE
            v_verdict.reason := format('data set "%s" is not public: a job without '
                                       'privacy may not use it', v_dataset.name);
            v_verdict.hint := 'state the privacy that the job shall give';
        END IF;
        RETURN v_verdict;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM ppt.pot
                   WHERE account_id IS NULL AND dataset_id = p_dataset) THEN
        v_verdict.reason := format('data set "%s" has no limit over all accounts',
                                   v_dataset.name);
        v_verdict.hint := 'ask a privacy officer to grant it one';
        RETURN v_verdict;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM ppt.pot
                   WHERE account_id = v_account.lineage[1]
                     AND (dataset_id IS NULL OR dataset_id = p_dataset)) THEN
        v_verdict.reason := format('the top account of "%s" has no limit, neither over '
                                   'all data nor on data set "%s"', v_account.path,
                                   v_dataset.name);
        v_verdict.hint := 'ask a privacy officer to grant it one';
        RETURN v_verdict;
    END IF;
    v_verdict.answer := 'admitted';
    FOR r IN
        SELECT b AS pot, q.*
        FROM ppt.pots_of(p_account, p_dataset) o
        JOIN ppt.budget b ON b.pot_id = o.pot_id
        CROSS JOIN LATERAL (
            SELECT b.unit = p_unit AND b.relation = p_relation AS same_unit,
                   m.amount, ppt.vec_fits(b.caps, b.spent, b.reserved, m.amount)
                   AS fits_now,
                   p_delta <= b.delta_own - b.spent_delta - b.reserved_delta AS delta_now,
                   p_delta <= b.delta_own - b.spent_delta AS delta_ever
            FROM (SELECT ppt.in_currency(b.currency, p_rho) AS amount) m) q
        ORDER BY o.place
    LOOP
        CONTINUE WHEN r.same_unit AND r.fits_now AND r.delta_now;
        v_words := ppt.grant_words((r.pot).account, (r.pot).dataset);
        IF NOT r.same_unit THEN
            v_verdict := ROW ('refuse',
                format('%s counts by %s, %s; the job''s cost by %s, %s', v_words,
                       (r.pot).unit, (r.pot).relation, p_unit, p_relation),
                'such costs cannot be added; use a data set of the same unit', r.pot);
        ELSIF (r.pot).currency = 'gaussian' AND r.amount[1] = 9223372036854775807 THEN
            v_verdict := ROW ('refuse',
                format('%s counts in currency gaussian, and this job has no mu^2: not '
                       'all of its releases are Gaussians over all records', v_words),
                'set batch_size to the split''s nominal count (sample rate 1), or use '
                'an account and a data set whose limits are in currency renyi', r.pot);
        ELSIF NOT ppt.vec_fits((r.pot).caps, (r.pot).spent, ppt.vec_zero(), r.amount)
        THEN
            v_verdict := ROW ('refuse',
                format('%s has too little budget left under its limit of epsilon %s at '
                       'delta %s', v_words, (r.pot).epsilon, (r.pot).delta),
                'ask for less, or ask a privacy officer for a higher limit', r.pot);
        ELSIF NOT r.delta_ever THEN
            v_verdict := ROW ('refuse',
                format('%s has too little left of the delta kept for jobs'' own deltas',
                       v_words),
                'ask a privacy officer for a limit with a larger own delta', r.pot);
        ELSIF v_verdict.answer = 'admitted' THEN
            v_verdict := ROW ('wait',
                format('%s has too little budget free until jobs that have reserved it '
                       'end', v_words),
                'it is tried again whenever a reservation is released', r.pot);
        END IF;
        EXIT WHEN v_verdict.answer = 'refuse';
    END LOOP;
    RETURN v_verdict;
END $$;

CREATE FUNCTION ppt.ledger_preview(p_account text, p_dataset text, p_is_private boolean,
                                   p_unit text, p_relation text, p_rho bigint[],
                                   p_delta bigint) RETURNS ppt.verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_account ppt.account := ppt.account_find(p_account);
    v_dataset ppt.dataset := ppt.dataset_find(p_dataset);
BEGIN
    IF NOT ppt.is_member(v_account.id)
       AND NOT pg_has_role(session_user, 'ppt_reader', 'MEMBER')
       AND NOT pg_has_role(session_user, 'ppt_officer', 'MEMBER')
       AND NOT pg_has_role(session_user, 'ppt_scheduler', 'MEMBER') THEN
        RAISE EXCEPTION USING ERRCODE = 'PB017',
            MESSAGE = format('login "%s" may not submit to account "%s"',
                             session_user, p_account),
            HINT = 'ask a privacy officer to make you a member of it or of one above';
    END IF;
    PERFORM ppt.check_amount(p_unit, p_relation, p_rho, p_delta);
    RETURN ppt.judge(v_account.id, v_dataset.id, p_is_private, p_unit, p_relation,
                     p_rho, p_delta);
END $$;

-- ---- reserve and settle ----

-- No pot comes or goes while this transaction lasts; others may reserve beside it.
CREATE FUNCTION ppt.lock_pots(p_account bigint, p_dataset bigint) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_pots bigint[];
BEGIN
    v_pots := ARRAY(SELECT pot_id FROM ppt.pots_of(p_account, p_dataset));
    PERFORM 1 FROM ppt.pot_balance WHERE pot_id = ANY (v_pots)
        ORDER BY pot_id FOR UPDATE;
    RETURN v_pots;
END $$;

CREATE FUNCTION ppt.ledger_reserve(
    p_epoch bigint, p_job bigint, p_is_private boolean, p_unit text, p_relation text,
    p_rho bigint[], p_delta bigint, p_epsilon_shown float8, p_delta_shown float8,
    p_noise_multiplier float8, p_sample_rate float8, p_n_steps bigint, p_kind text,
    p_priority bigint, p_n_ranks bigint, p_n_cores bigint, p_memory_bytes bigint,
    p_time_limit_s bigint) RETURNS ppt.verdict
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_job     ppt.job;
    v_verdict ppt.verdict;
    v_pots    bigint[];
BEGIN
    PERFORM ppt.fence(p_epoch);
    PERFORM ppt.check_amount(p_unit, p_relation, p_rho, p_delta);
    LOCK TABLE ppt.pot IN ROW SHARE MODE;
    v_job := ppt.job_lock(p_job);
    IF v_job.state = 'admitted' AND v_job.is_private = p_is_private
       AND (NOT p_is_private
            OR EXISTS (SELECT 1 FROM ppt.ledger_entry
                       WHERE job_id = p_job AND kind = 'reserve'
                         AND (unit, relation, rho, delta)
                             = (p_unit, p_relation, p_rho, p_delta))) THEN
        v_verdict.answer := 'admitted';  -- asked before: the answer was lost
        RETURN v_verdict;
    END IF;
    IF v_job.state NOT IN ('submitted', 'waiting') THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s is %s: it cannot be admitted', p_job, v_job.state);
    END IF;
    IF p_is_private THEN
        v_pots := ppt.lock_pots(v_job.account_id, v_job.dataset_id);
    END IF;
    v_verdict := ppt.judge(v_job.account_id, v_job.dataset_id, p_is_private, p_unit,
                           p_relation, p_rho, p_delta);
    IF v_verdict.answer <> 'admitted' THEN
        RETURN v_verdict;
    END IF;
    IF p_is_private THEN
        INSERT INTO ppt.ledger_entry (job_id, kind, unit, relation, rho, delta)
            VALUES (p_job, 'reserve', p_unit, p_relation, p_rho, p_delta);
        UPDATE ppt.pot_balance b
            SET reserved = ppt.vec_add(b.reserved, ppt.in_currency(p.currency, p_rho)),
                reserved_delta = b.reserved_delta + p_delta
            FROM ppt.pot p WHERE b.pot_id = ANY (v_pots) AND p.id = b.pot_id;
    END IF;
    UPDATE ppt.job SET state = 'admitted', reason = '', admitted_at = clock_timestamp(),
        is_private = p_is_private, epsilon = p_epsilon_shown, delta = p_delta_shown,
        noise_multiplier = p_noise_multiplier, sample_rate = p_sample_rate,
        n_steps = p_n_steps, kind = p_kind, priority = p_priority, n_ranks = p_n_ranks,
        n_cores = p_n_cores, memory_bytes = p_memory_bytes, time_limit_s = p_time_limit_s
        WHERE id = p_job;
    RETURN v_verdict;
END $$;

-- Debits what was used and releases the rest. The job's row is locked by the caller,
-- after table pot. Never refused for want of budget: it only ever lowers
-- reserved + spent.
CREATE FUNCTION ppt.settle(p_job ppt.job, p_unit text, p_relation text, p_rho bigint[],
                           p_delta bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_reserve ppt.ledger_entry;
    v_spend   ppt.ledger_entry;
    v_pots    bigint[];
BEGIN
    PERFORM ppt.check_amount(p_unit, p_relation, p_rho, p_delta);
    SELECT * INTO v_reserve FROM ppt.ledger_entry
        WHERE job_id = p_job.id AND kind = 'reserve';
    IF cardinality(v_reserve.rho) = ppt.n_orders() THEN
        p_rho := p_rho[1:ppt.n_orders()];  -- no mu^2 was reserved: none is spent
    END IF;
    SELECT * INTO v_spend FROM ppt.ledger_entry
        WHERE job_id = p_job.id AND kind = 'spend';
    IF FOUND THEN
        IF (v_spend.unit, v_spend.relation, v_spend.rho, v_spend.delta)
           IS DISTINCT FROM (p_unit, p_relation, p_rho, p_delta) THEN
            RAISE EXCEPTION USING ERRCODE = 'PB018',
                MESSAGE = format('job %s is settled already, with another amount',
                                 p_job.id);
        END IF;
        RETURN;
    END IF;
    IF v_reserve.id IS NULL THEN
        IF 0 < ANY (p_rho) OR p_delta > 0 THEN
            RAISE EXCEPTION USING ERRCODE = 'PB014',
                MESSAGE = format('job %s has reserved nothing and cannot spend',
                                 p_job.id);
        END IF;
        RETURN;
    END IF;
    IF (v_reserve.unit, v_reserve.relation) IS DISTINCT FROM (p_unit, p_relation)
       OR p_delta > v_reserve.delta OR cardinality(p_rho) <> cardinality(v_reserve.rho)
       OR EXISTS (SELECT 1 FROM unnest(p_rho, v_reserve.rho) AS u(s, r) WHERE s > r) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = format('job %s cannot spend more than it has reserved', p_job.id);
    END IF;
    v_pots := ppt.lock_pots(p_job.account_id, p_job.dataset_id);
    INSERT INTO ppt.ledger_entry (job_id, kind, unit, relation, rho, delta)
        VALUES (p_job.id, 'spend', p_unit, p_relation, p_rho, p_delta),
               (p_job.id, 'release', p_unit, p_relation,
                ppt.vec_sub(v_reserve.rho, p_rho), v_reserve.delta - p_delta);
    -- A sum that had reached "unbounded" cannot be subtracted from: count it again.
    UPDATE ppt.pot_balance b SET
        reserved = CASE WHEN 9223372036854775807 = ANY (b.reserved)
                        THEN (SELECT r.reserved FROM ppt.pot_recomputed(b.pot_id) r)
                        ELSE ppt.vec_sub(b.reserved, ppt.in_currency(
                                             p.currency, v_reserve.rho)) END,
        spent = ppt.vec_add(b.spent, ppt.in_currency(p.currency, p_rho)),
        reserved_delta = b.reserved_delta - v_reserve.delta,
        spent_delta = b.spent_delta + p_delta
        FROM ppt.pot p WHERE b.pot_id = ANY (v_pots) AND p.id = b.pot_id;
END $$;

CREATE FUNCTION ppt.ledger_settle(p_epoch bigint, p_job bigint, p_unit text,
                                  p_relation text, p_rho bigint[], p_delta bigint)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ppt.fence(p_epoch);
    LOCK TABLE ppt.pot IN ROW SHARE MODE;
    PERFORM ppt.settle(ppt.job_lock(p_job), p_unit, p_relation, p_rho, p_delta);
END $$;

CREATE FUNCTION ppt.queue_finish(
    p_epoch bigint, p_job bigint, p_state text, p_error_code int, p_reason text,
    p_unit text, p_relation text, p_rho bigint[], p_delta bigint,
    p_epsilon_spent float8, p_n_steps_done bigint, p_test_accuracy float8,
    p_wall_s float8, p_model text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_job ppt.job;
BEGIN
    PERFORM ppt.fence(p_epoch);
    IF p_state IS NULL OR p_state NOT IN ('done', 'failed', 'cancelled') THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s cannot end as %s', p_job, p_state);
    END IF;
    LOCK TABLE ppt.pot IN ROW SHARE MODE;
    v_job := ppt.job_lock(p_job);
    PERFORM ppt.settle(v_job, p_unit, p_relation, p_rho, p_delta);
    IF v_job.state = p_state THEN
        RETURN;  -- asked before: the answer was lost
    END IF;
    UPDATE ppt.job SET state = p_state, reason = coalesce(p_reason, ''),
        ended_at = clock_timestamp(), error_code = p_error_code,
        epsilon_spent = p_epsilon_spent, n_steps_done = p_n_steps_done,
        test_accuracy = p_test_accuracy, wall_s = p_wall_s, model = p_model
        WHERE id = p_job;
END $$;

-- What has not started is cancelled here and now, its reservation released: under the
-- row's lock an admitted job cannot have begun, because a start is written down first.
CREATE FUNCTION ppt.queue_cancel(p_job bigint, p_reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_job     ppt.job;
    v_reserve ppt.ledger_entry;
    v_reason  text := format('cancelled by %s%s', session_user,
                             coalesce(': ' || nullif(left(p_reason, 300), ''), ''));
BEGIN
    PERFORM ppt.require_read_committed();
    LOCK TABLE ppt.pot IN ROW SHARE MODE;
    v_job := ppt.job_lock(p_job);
    IF v_job.submitted_by <> session_user
       AND NOT pg_has_role(session_user, 'ppt_officer', 'MEMBER')
       AND NOT pg_has_role(session_user, 'ppt_scheduler', 'MEMBER') THEN
        IF NOT ppt.is_member(v_job.account_id) THEN  -- not even to be seen
            RAISE EXCEPTION USING ERRCODE = 'PB005',
                MESSAGE = format('there is no job %s', p_job);
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'PB017',
            MESSAGE = format('job %s was submitted by %s: only they, an officer or the '
                             'scheduler may cancel it', p_job, v_job.submitted_by);
    END IF;
    IF v_job.state = 'running' THEN
        UPDATE ppt.job SET cancel_requested = true, reason = v_reason WHERE id = p_job;
        PERFORM pg_notify('ppt_queue', '');
        RETURN 'running';
    END IF;
    IF v_job.state = 'admitted' AND v_job.is_private THEN
        SELECT * INTO v_reserve FROM ppt.ledger_entry
            WHERE job_id = p_job AND kind = 'reserve';
        PERFORM ppt.settle(v_job, v_reserve.unit, v_reserve.relation,
                           ppt.vec_zero() || 0::bigint, 0);
    END IF;
    UPDATE ppt.job SET state = 'cancelled', reason = v_reason,
        ended_at = clock_timestamp() WHERE id = p_job;
    RETURN 'cancelled';
END $$;

-- ---- check ----

-- Recomputes everything that is derived and says where it differs. No rows: all is well.
CREATE FUNCTION ppt.ledger_check() RETURNS TABLE (fault text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT format('%s: %s', ppt.grant_words(b.account, b.dataset), f.words)
    FROM ppt.budget b
    CROSS JOIN LATERAL ppt.pot_recomputed(b.pot_id) r
    CROSS JOIN LATERAL (VALUES
        (b.reserved IS DISTINCT FROM r.reserved,
         'the cached reserved sum is not that of the entries'),
        (b.spent IS DISTINCT FROM r.spent,
         'the cached spent sum is not that of the entries'),
        (b.reserved_delta <> r.reserved_delta OR b.spent_delta <> r.spent_delta,
         'a cached delta is not that of the entries'),
        (NOT ppt.vec_fits(b.caps, r.spent, r.reserved, ppt.vec_zero()),
         CASE b.currency WHEN 'renyi' THEN 'no order is within its cap'
                         ELSE 'mu^2 is above its cap' END),
        (cardinality(b.caps) <> cardinality(r.spent),
         'its limit is not in its currency'),
        (r.spent_delta::numeric + r.reserved_delta > b.delta_own,
         'the jobs'' own deltas are above their part of delta')
    ) AS f(is_wrong, words)
    WHERE f.is_wrong;

    RETURN QUERY
    SELECT format('job %s: %s', j.id, f.words)
    FROM ppt.job j
    LEFT JOIN ppt.ledger_entry r ON r.job_id = j.id AND r.kind = 'reserve'
    LEFT JOIN ppt.ledger_entry s ON s.job_id = j.id AND s.kind = 'spend'
    LEFT JOIN ppt.ledger_entry l ON l.job_id = j.id AND l.kind = 'release'
    CROSS JOIN LATERAL (VALUES
        (j.state IN ('admitted', 'running') AND j.is_private
         AND (r.id IS NULL OR s.id IS NOT NULL), 'has no open reservation'),
        (j.state NOT IN ('admitted', 'running') AND r.id IS NOT NULL AND s.id IS NULL,
         'has ended with its reservation open'),
        (j.is_private IS NOT TRUE AND r.id IS NOT NULL, 'is charged without privacy'),
        (s.id IS NOT NULL AND r.id IS NULL OR (l.id IS NULL) <> (s.id IS NULL),
         'has a spend without a reserve or a release'),
        (s.id IS NOT NULL AND (l.rho <> ppt.vec_sub(r.rho, s.rho)
                               OR l.delta <> r.delta - s.delta),
         'has a reserve that is not its spend and release')
    ) AS f(is_wrong, words)
    WHERE f.is_wrong;
END $$;
