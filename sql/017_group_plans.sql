-- Groups of jobs are moved, and the next to start are found, by what they take: each row is
-- looked up by its id, however small the tables are when a statement is planned for good.

SET LOCAL ROLE ppt_owner;

-- As in 015. The jobs are judged by the query that locks them, their entries by the next,
-- which sees what was committed while the locks were waited for.
CREATE OR REPLACE FUNCTION ppt.queue_done_group(p_epoch bigint, p_jobs json,
                                                p_unit text, p_relation text,
                                                p_rho bigint[], p_delta bigint)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_jobs    bigint[];
    v_n       bigint;
    v_open    record;
    v_reserve ppt.ledger_entry;
    v_entries record;
    v_pots    bigint[];
    v_all     bigint[];  -- that was reserved for them together
    v_spent   bigint[];  -- and spent
BEGIN
    PERFORM ppt.fence(p_epoch);
    PERFORM ppt.check_amount(p_unit, p_relation, p_rho, p_delta);
    LOCK TABLE ppt.pot IN ROW SHARE MODE;
    v_jobs := ARRAY(SELECT s.id FROM json_to_recordset(p_jobs) AS s(id bigint)
                    ORDER BY s.id);
    v_n := cardinality(v_jobs);
    SELECT count(*) AS n, min(j.account_id) AS account, max(j.account_id) AS last_account,
           min(j.dataset_id) AS dataset, max(j.dataset_id) AS last_dataset INTO v_open
        FROM (SELECT account_id, dataset_id, state FROM ppt.job WHERE id = ANY (v_jobs)
              ORDER BY id FOR UPDATE) j
        WHERE j.state = 'running';
    IF (v_n >= 1) IS NOT TRUE OR v_open.n <> v_n
       OR v_open.account <> v_open.last_account
       OR v_open.dataset <> v_open.last_dataset THEN
        RETURN false;
    END IF;
    SELECT * INTO v_reserve FROM ppt.ledger_entry
        WHERE job_id = v_jobs[1] AND kind = 'reserve';
    IF v_reserve.id IS NULL
       OR (v_reserve.unit, v_reserve.relation) IS DISTINCT FROM (p_unit, p_relation) THEN
        RETURN false;
    END IF;
    IF cardinality(v_reserve.rho) = ppt.n_orders() THEN
        p_rho := p_rho[1:ppt.n_orders()];  -- no mu^2 was reserved: none is spent
    END IF;
    SELECT count(*) AS n,
           count(*) FILTER (WHERE e.kind = 'reserve'
                            AND (e.unit, e.relation, e.rho, e.delta)
                                = (v_reserve.unit, v_reserve.relation, v_reserve.rho,
                                   v_reserve.delta)) AS n_same INTO v_entries
        FROM ppt.ledger_entry e WHERE e.job_id = ANY (v_jobs);
    IF v_entries.n <> v_n OR v_entries.n_same <> v_n
       OR p_delta > v_reserve.delta OR cardinality(p_rho) <> cardinality(v_reserve.rho)
       OR EXISTS (SELECT 1 FROM unnest(p_rho, v_reserve.rho) AS u(s, r) WHERE s > r) THEN
        RETURN false;
    END IF;
    v_all := ppt.vec_times(v_reserve.rho, v_n);
    v_spent := ppt.vec_times(p_rho, v_n);
    v_pots := ppt.lock_pots(v_open.account, v_open.dataset);
    INSERT INTO ppt.ledger_entry (job_id, kind, unit, relation, rho, delta)
        SELECT j, e.kind, p_unit, p_relation, e.rho, e.delta
        FROM unnest(v_jobs) j
        CROSS JOIN (VALUES ('spend', p_rho, p_delta),
                           ('release', ppt.vec_sub(v_reserve.rho, p_rho),
                            v_reserve.delta - p_delta)) AS e(kind, rho, delta)
        ORDER BY j, e.kind DESC;
    -- A sum that had reached "unbounded" cannot be subtracted from: count it again.
    UPDATE ppt.pot_balance b SET
        reserved = CASE WHEN 9223372036854775807 = ANY (b.reserved)
                        THEN (SELECT r.reserved FROM ppt.pot_recomputed(b.pot_id) r)
                        ELSE ppt.vec_sub(b.reserved,
                                         ppt.in_currency(p.currency, v_all)) END,
        spent = ppt.vec_add(b.spent, ppt.in_currency(p.currency, v_spent)),
        reserved_delta = b.reserved_delta - v_reserve.delta * v_n,
        spent_delta = b.spent_delta + p_delta * v_n
        FROM ppt.pot p WHERE b.pot_id = ANY (v_pots) AND p.id = b.pot_id;
    UPDATE ppt.job j SET state = 'done', reason = '', ended_at = clock_timestamp(),
        error_code = 0, epsilon_spent = s.epsilon_spent, n_steps_done = s.n_steps_done,
        test_accuracy = s.test_accuracy, wall_s = s.wall_s, model = s.model
        FROM json_to_recordset(p_jobs) AS s(id bigint, epsilon_spent float8,
                                            n_steps_done bigint, test_accuracy float8,
                                            wall_s float8, model text)
        WHERE j.id = s.id;
    RETURN true;
END $$;

-- A scheduler's first minute is when the planner sees these statements, and it prefers to
-- read a small table from end to end. No JIT: it is chosen by costs, and those of what is
-- switched off are higher than any.
DO $$
DECLARE
    v_function regprocedure;
    v_off      text;
BEGIN
    FOR v_function IN SELECT oid FROM pg_proc
        WHERE pronamespace = 'ppt'::regnamespace
          AND proname IN ('ledger_reserve_group', 'queue_start_group', 'queue_done_group',
                          'jobs_moved') LOOP
        FOREACH v_off IN ARRAY ARRAY['enable_seqscan', 'enable_bitmapscan',
                                     'enable_hashjoin', 'enable_mergejoin', 'jit'] LOOP
            EXECUTE format('ALTER FUNCTION %s SET %I = off', v_function, v_off);
        END LOOP;
    END LOOP;
END $$;
ALTER FUNCTION ppt.jobs_moved() SET enable_hashjoin = on;  -- a full join needs it

-- As in 013, but only of what decides, where all columns of view queue went through two
-- sorts; and sweeps are counted only where one has a limit.
DROP VIEW ppt.start_order;
CREATE VIEW ppt.start_order WITH (security_invoker = true) AS
    WITH ready AS MATERIALIZED (
        SELECT j.id, j.account_id, j.priority, w.sweep_id,
               h.job_id IS NOT NULL AS in_allocation
        FROM ppt.job j
        LEFT JOIN ppt.allocation h ON h.job_id = j.id
        LEFT JOIN ppt.sweep_job w ON w.job_id = j.id
        WHERE j.state = 'admitted'
    ), share AS MATERIALIZED (  -- once an account, and only where two are compared by it
        SELECT account_id,
               CASE WHEN count(*) OVER () > 1
                    THEN ppt.recent_core_s(account_id) ELSE 0 END AS recent_core_s
        FROM (SELECT DISTINCT account_id FROM ready) w
    ), turn AS (
        SELECT r.id, r.sweep_id, s.max_running,
               row_number() OVER (PARTITION BY r.sweep_id ORDER BY r.priority DESC, r.id)
               AS number
        FROM ready r
        JOIN ppt.sweep s ON s.id = r.sweep_id
        WHERE s.max_running IS NOT NULL
    ), held AS MATERIALIZED (
        SELECT t.id FROM turn t
        WHERE t.number > t.max_running
              - (SELECT count(*) FROM ppt.sweep_job w JOIN ppt.job j ON j.id = w.job_id
                 WHERE w.sweep_id = t.sweep_id AND j.state = 'running')
    )
    SELECT r.id, r.account_id, r.priority, s.recent_core_s,
           row_number() OVER (ORDER BY NOT r.in_allocation, r.priority DESC,
                              s.recent_core_s, r.id) AS place
    FROM ready r
    JOIN share s ON s.account_id = r.account_id
    WHERE r.id NOT IN (SELECT id FROM held);
GRANT SELECT ON ppt.start_order TO ppt_scheduler, ppt_officer, ppt_reader;
