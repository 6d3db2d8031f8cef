-- Jobs of one price are admitted together: one call, one transaction, one judgement for
-- the sum. And the order of starts asks what accounts have had only where that matters.

SET LOCAL ROLE ppt_owner;

-- n times a, n >= 1, stopping at "unbounded".
CREATE FUNCTION ppt.vec_times(a bigint[], n bigint) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_most bigint := 9223372036854775807 / n;
    x      bigint;
    i      int := 0;
BEGIN
    FOREACH x IN ARRAY a LOOP
        i := i + 1;
        a[i] := CASE WHEN x > v_most THEN 9223372036854775807 ELSE x * n END;
    END LOOP;
    RETURN a;
END $$;

-- Admits all of these jobs, each at this price, or none: false, and nothing is written,
-- where they are not all submitted or waiting, not of one account and data set, or their
-- sum has no room (then some may have it: ask for each). An order of the grid that has
-- room for the sum has room for each in turn, so this never admits what ledger_reserve
-- would not. Locks in the order of 004: table pot, the jobs by id, the balances; so no
-- cancellation can come in between.
CREATE FUNCTION ppt.ledger_reserve_group(
    p_epoch bigint, p_jobs bigint[], p_is_private boolean, p_unit text, p_relation text,
    p_rho bigint[], p_delta bigint, p_epsilon_shown float8, p_delta_shown float8,
    p_noise_multiplier float8, p_sample_rate float8, p_n_steps bigint, p_kind text,
    p_priority bigint, p_n_ranks bigint, p_n_cores bigint, p_memory_bytes bigint,
    p_time_limit_s bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_n       bigint := cardinality(p_jobs);
    v_open    record;
    v_pots    bigint[];
    v_rho     bigint[];
    v_delta   bigint;
    v_verdict ppt.verdict;
BEGIN
    PERFORM ppt.fence(p_epoch);
    PERFORM ppt.check_amount(p_unit, p_relation, p_rho, p_delta);
    IF (v_n >= 1) IS NOT TRUE THEN
        RETURN false;
    END IF;
    LOCK TABLE ppt.pot IN ROW SHARE MODE;
    PERFORM 1 FROM ppt.job WHERE id = ANY (p_jobs) ORDER BY id FOR UPDATE;
    SELECT count(*) AS n, min(account_id) AS account, max(account_id) AS last_account,
           min(dataset_id) AS dataset, max(dataset_id) AS last_dataset INTO v_open
        FROM ppt.job WHERE id = ANY (p_jobs) AND state IN ('submitted', 'waiting');
    IF v_open.n <> v_n OR v_open.account <> v_open.last_account
       OR v_open.dataset <> v_open.last_dataset THEN
        RETURN false;
    END IF;
    IF p_is_private THEN
        v_pots := ppt.lock_pots(v_open.account, v_open.dataset);
    END IF;
    v_rho := ppt.vec_times(p_rho, v_n);
    v_delta := least(p_delta::numeric * v_n, 9223372036854775807)::bigint;
    v_verdict := ppt.judge(v_open.account, v_open.dataset, p_is_private, p_unit,
                           p_relation, v_rho, v_delta);
    IF v_verdict.answer <> 'admitted' THEN
        RETURN false;
    END IF;
    IF p_is_private THEN
        INSERT INTO ppt.ledger_entry (job_id, kind, unit, relation, rho, delta)
            SELECT j, 'reserve', p_unit, p_relation, p_rho, p_delta
            FROM unnest(p_jobs) j ORDER BY j;
        UPDATE ppt.pot_balance b
            SET reserved = ppt.vec_add(b.reserved, ppt.in_currency(p.currency, v_rho)),
                reserved_delta = b.reserved_delta + v_delta
            FROM ppt.pot p WHERE b.pot_id = ANY (v_pots) AND p.id = b.pot_id;
    END IF;
    UPDATE ppt.job SET state = 'admitted', reason = '', admitted_at = clock_timestamp(),
        is_private = p_is_private, epsilon = p_epsilon_shown, delta = p_delta_shown,
        noise_multiplier = p_noise_multiplier, sample_rate = p_sample_rate,
        n_steps = p_n_steps, kind = p_kind, priority = p_priority, n_ranks = p_n_ranks,
        n_cores = p_n_cores, memory_bytes = p_memory_bytes, time_limit_s = p_time_limit_s
        WHERE id = ANY (p_jobs);
    RETURN true;
END $$;
GRANT EXECUTE ON FUNCTION
    ppt.ledger_reserve_group(bigint, bigint[], boolean, text, text, bigint[], bigint,
                             float8, float8, float8, float8, bigint, text, bigint, bigint,
                             bigint, bigint, bigint)
    TO ppt_scheduler;

-- As in 012, but what an account has had of late, a sum over weeks of jobs, is only asked
-- for where two accounts have jobs to be compared by it.
DROP VIEW ppt.start_order;
CREATE VIEW ppt.start_order WITH (security_invoker = true) AS
    WITH waiting AS MATERIALIZED (
        SELECT DISTINCT account_id FROM ppt.job WHERE state = 'admitted'
    ), share AS MATERIALIZED (  -- once an account, not once a job
        SELECT w.account_id,
               CASE WHEN (SELECT count(*) FROM waiting) > 1
                    THEN ppt.recent_core_s(w.account_id) ELSE 0 END AS recent_core_s
        FROM waiting w
    ), busy AS MATERIALIZED (
        SELECT w.sweep_id, count(*) AS n_running
        FROM ppt.job j JOIN ppt.sweep_job w ON w.job_id = j.id
        WHERE j.state = 'running' GROUP BY w.sweep_id
    ), turn AS (
        SELECT q.*, s.recent_core_s,
               row_number() OVER (PARTITION BY q.sweep ORDER BY q.priority DESC, q.id)
               AS sweep_turn
        FROM ppt.queue q
        JOIN share s ON s.account_id = q.account_id
        WHERE q.state = 'admitted'
    )
    SELECT t.*, row_number() OVER (ORDER BY t.allocation IS NULL, t.priority DESC,
                                   t.recent_core_s, t.id) AS place
    FROM turn t
    LEFT JOIN busy b ON b.sweep_id = t.sweep
    WHERE t.sweep_max_running IS NULL
       OR t.sweep_turn <= t.sweep_max_running - coalesce(b.n_running, 0);
GRANT SELECT ON ppt.start_order TO ppt_scheduler, ppt_officer, ppt_reader;
