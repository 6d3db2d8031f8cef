-- Jobs are started and settled together: one call and one transaction for those that the
-- scheduler orders, or finds done, in one round.

SET LOCAL ROLE ppt_owner;

-- admitted -> running for each of p_jobs, [{"id": 1, "directory": "/spool/1", "pid": 7},
-- ...], and where it will run, as queue_start and queue_started do it. Those that are
-- admitted no more (cancelled meanwhile) are left out of the answer, and stay as they are.
CREATE FUNCTION ppt.queue_start_group(p_epoch bigint, p_jobs json, p_host text)
RETURNS TABLE (job_id bigint, attempt bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ppt.fence(p_epoch);
    PERFORM 1 FROM ppt.job j JOIN json_to_recordset(p_jobs) AS s(id bigint) ON s.id = j.id
        ORDER BY j.id FOR UPDATE OF j;
    RETURN QUERY
    UPDATE ppt.job j SET state = 'running', reason = '', attempt = j.attempt + 1,
        epoch = p_epoch, directory = s.directory,
        started_at = coalesce(j.started_at, clock_timestamp()),
        host = p_host, pid = s.pid, pid_start_time = 0,
        slurm_job_id = NULL, slurm_state = NULL, slurm_reason = NULL
        FROM json_to_recordset(p_jobs) AS s(id bigint, directory text, pid bigint)
        WHERE j.id = s.id AND j.state = 'admitted'
        RETURNING j.id, j.attempt;
END $$;
GRANT EXECUTE ON FUNCTION ppt.queue_start_group(bigint, json, text) TO ppt_scheduler;

-- running -> done for all of p_jobs, each of which has spent this amount, or for none:
-- false, and nothing is written, where they are not all running jobs of one account and
-- data set with one open reservation each of the same amount, at least as large. Then
-- queue_finish tells what is wrong with which. p_jobs: [{"id": 1, "epsilon_spent": 0.5,
-- "n_steps_done": 1, "test_accuracy": null, "wall_s": 0.1, "model": "/spool/1/model.h5"},
-- ...]. Locks in the order of 004: table pot, the jobs by id, the balances.
CREATE FUNCTION ppt.queue_done_group(p_epoch bigint, p_jobs json, p_unit text,
                                     p_relation text, p_rho bigint[], p_delta bigint)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_jobs    bigint[];
    v_n       bigint;
    v_first   ppt.job;
    v_reserve ppt.ledger_entry;
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
    PERFORM 1 FROM ppt.job WHERE id = ANY (v_jobs) ORDER BY id FOR UPDATE;
    SELECT * INTO v_first FROM ppt.job WHERE id = v_jobs[1];
    SELECT * INTO v_reserve FROM ppt.ledger_entry
        WHERE job_id = v_first.id AND kind = 'reserve';
    IF v_reserve.id IS NULL
       OR (v_reserve.unit, v_reserve.relation) IS DISTINCT FROM (p_unit, p_relation) THEN
        RETURN false;
    END IF;
    IF cardinality(v_reserve.rho) = ppt.n_orders() THEN
        p_rho := p_rho[1:ppt.n_orders()];  -- no mu^2 was reserved: none is spent
    END IF;
    IF p_delta > v_reserve.delta OR cardinality(p_rho) <> cardinality(v_reserve.rho)
       OR EXISTS (SELECT 1 FROM unnest(p_rho, v_reserve.rho) AS u(s, r) WHERE s > r)
       OR v_n <> (SELECT count(*) FROM ppt.job j
                  JOIN ppt.ledger_entry e ON e.job_id = j.id AND e.kind = 'reserve'
                  WHERE j.id = ANY (v_jobs) AND j.state = 'running'
                    AND (j.account_id, j.dataset_id)
                        = (v_first.account_id, v_first.dataset_id)
                    AND (e.unit, e.relation, e.rho, e.delta)
                        = (v_reserve.unit, v_reserve.relation, v_reserve.rho,
                           v_reserve.delta)
                    AND NOT EXISTS (SELECT 1 FROM ppt.ledger_entry s
                                    WHERE s.job_id = j.id AND s.kind = 'spend')) THEN
        RETURN false;
    END IF;
    v_all := ppt.vec_times(v_reserve.rho, v_n);
    v_spent := ppt.vec_times(p_rho, v_n);
    v_pots := ppt.lock_pots(v_first.account_id, v_first.dataset_id);
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
GRANT EXECUTE ON FUNCTION
    ppt.queue_done_group(bigint, json, text, text, bigint[], bigint) TO ppt_scheduler;
