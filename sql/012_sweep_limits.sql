-- A sweep may say how many of its jobs run at once, and a job may wait for as many others
-- as a sweep has.

SET LOCAL ROLE ppt_owner;

ALTER TABLE ppt.sweep ADD COLUMN max_running int CHECK (max_running >= 1);  -- null: all

-- As in 010; p_max_running may be null.
DROP FUNCTION ppt.queue_submit_sweep(text, text, text, json, text, bigint[], boolean);
CREATE FUNCTION ppt.queue_submit_sweep(p_name text, p_account text, p_dataset text,
                                       p_jobs json, p_token text, p_after bigint[],
                                       p_together boolean, p_max_running bigint)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_n     int;
    v_id    bigint;
    v_sweep bigint;
    r       record;
BEGIN
    IF json_typeof(p_jobs) IS DISTINCT FROM 'array'
       OR json_array_length(p_jobs) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = 'a sweep has 1 to 1000 jobs';
    END IF;
    v_n := json_array_length(p_jobs);
    FOR r IN SELECT j.value ->> 'spec' AS spec, j.value ->> 'point' AS point,
                    j.ordinality::int AS number
             FROM json_array_elements(p_jobs) WITH ORDINALITY j ORDER BY j.ordinality
    LOOP
        v_id := CASE WHEN p_after IS NULL
                THEN ppt.queue_submit(p_name, p_account, p_dataset, r.spec,
                                      p_token || ':' || r.number)
                ELSE ppt.queue_submit_after(p_name, p_account, p_dataset, r.spec,
                                            p_token || ':' || r.number, p_after) END;
        v_sweep := coalesce(v_sweep, v_id);
        IF r.number = 1 THEN
            INSERT INTO ppt.sweep (id, n_jobs, together, max_running)
                VALUES (v_sweep, v_n, p_together, least(p_max_running, v_n))
                ON CONFLICT DO NOTHING;
        END IF;
        INSERT INTO ppt.sweep_job (job_id, sweep_id, number, point)
            VALUES (v_id, v_sweep, r.number, r.point) ON CONFLICT DO NOTHING;
    END LOOP;
    IF NOT EXISTS (SELECT 1 FROM ppt.sweep WHERE id = v_sweep
                   AND (n_jobs, together) = (v_n, p_together)
                   AND max_running IS NOT DISTINCT FROM least(p_max_running, v_n)) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB006',
            MESSAGE = 'this submission token was used for another sweep';
    END IF;
    RETURN v_sweep;
EXCEPTION WHEN not_null_violation OR check_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'PB014',
        MESSAGE = 'a job of a sweep needs a spec and a point of at most 511 characters '
                  'without control characters, and the sweep a manner of admission and '
                  'at least one job that may run';
END $$;
GRANT EXECUTE ON FUNCTION
    ppt.queue_submit_sweep(text, text, text, json, text, bigint[], boolean, bigint)
    TO ppt_submitter;

-- As in 009, for more jobs.
CREATE OR REPLACE FUNCTION ppt.queue_submit_after(p_name text, p_account text,
                                                  p_dataset text, p_spec text,
                                                  p_token text, p_after bigint[])
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_sent  boolean := EXISTS (SELECT 1 FROM ppt.job
                               WHERE submitted_by = session_user AND token = p_token);
    v_after bigint[] := ARRAY(SELECT DISTINCT a FROM unnest(p_after) a ORDER BY a);
    v_one   bigint;
    v_id    bigint;
BEGIN
    IF p_after IS NULL OR cardinality(v_after) NOT BETWEEN 1 AND 1000
       OR array_position(v_after, NULL) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = 'a job can wait for 1 to 1000 others';
    END IF;
    FOREACH v_one IN ARRAY v_after LOOP
        IF NOT EXISTS (SELECT 1 FROM ppt.job j WHERE j.id = v_one
                       AND (j.submitted_by = session_user OR ppt.is_member(j.account_id)))
        THEN
            RAISE EXCEPTION USING ERRCODE = 'PB005',
                MESSAGE = format('there is no job %s that this login sees', v_one);
        END IF;
    END LOOP;
    v_id := ppt.queue_submit(p_name, p_account, p_dataset, p_spec, p_token);
    IF NOT v_sent THEN
        INSERT INTO ppt.job_after (job_id, after_id)
            SELECT v_id, a FROM unnest(v_after) a ON CONFLICT DO NOTHING;
    END IF;
    IF v_after <> ARRAY(SELECT after_id FROM ppt.job_after WHERE job_id = v_id
                        ORDER BY after_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB006',
            MESSAGE = 'this submission token was used for another job';
    END IF;
    RETURN v_id;
END $$;

CREATE OR REPLACE VIEW ppt.queue WITH (security_invoker = true) AS
    SELECT j.id, j.name, j.spec_sha256, j.spec, a.path AS account, d.name AS dataset,
           j.submitted_by::text AS submitted_by, j.state, j.reason, j.cancel_requested,
           j.submitted_at, j.admitted_at, j.started_at, j.ended_at, j.kind, j.is_private,
           j.epsilon, j.delta, j.noise_multiplier, j.sample_rate, j.n_steps, j.priority,
           j.n_ranks, j.n_cores, j.memory_bytes, j.time_limit_s, j.attempt, j.epoch,
           j.directory, j.host, j.pid, j.pid_start_time, j.error_code, j.epsilon_spent,
           j.n_steps_done, j.test_accuracy, j.wall_s, j.model, j.account_id,
           j.slurm_job_id, j.slurm_state, j.slurm_reason,
           h.directory AS allocation,  -- where its files lie; null: not in an allocation
           h.uid AS allocation_uid,
           (SELECT string_agg(x.after_id::text, ',' ORDER BY x.after_id)
            FROM ppt.job_after x WHERE x.job_id = j.id) AS after,  -- null: for none
           w.sweep_id AS sweep,  -- null: of none
           w.number AS sweep_number, s.n_jobs AS sweep_n_jobs,
           s.together AS sweep_together, w.point AS sweep_point,
           s.max_running AS sweep_max_running  -- null: all
    FROM ppt.job j
    JOIN ppt.account a ON a.id = j.account_id
    JOIN ppt.dataset d ON d.id = j.dataset_id
    LEFT JOIN ppt.allocation h ON h.job_id = j.id
    LEFT JOIN ppt.sweep_job w ON w.job_id = j.id
    LEFT JOIN ppt.sweep s ON s.id = w.sweep_id;

-- As in 010, over the view's new column; of a sweep with a limit only as many as may run
-- beside those that do.
DROP VIEW ppt.start_order;
CREATE VIEW ppt.start_order WITH (security_invoker = true) AS
    WITH share AS MATERIALIZED (  -- once an account, not once a job
        SELECT w.account_id, ppt.recent_core_s(w.account_id) AS recent_core_s
        FROM (SELECT DISTINCT account_id FROM ppt.job WHERE state = 'admitted') w
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
