-- Sweeps: jobs that were submitted together as the points of a grid. Each is an ordinary
-- job with a price, a reservation and an end of its own; what is kept here says which
-- belong together, and whether they are to be admitted all or none.

SET LOCAL ROLE ppt_owner;

CREATE TABLE ppt.sweep (
    id       bigint PRIMARY KEY REFERENCES ppt.job,  -- of its first job
    n_jobs   int NOT NULL CHECK (n_jobs BETWEEN 1 AND 1000),
    together boolean NOT NULL  -- all are admitted in one transaction, or none
);
SELECT ppt.make_append_only('ppt.sweep');

CREATE TABLE ppt.sweep_job (
    job_id   bigint PRIMARY KEY REFERENCES ppt.job,
    sweep_id bigint NOT NULL REFERENCES ppt.sweep,
    number   int NOT NULL CHECK (number >= 1),
    point    text NOT NULL  -- its place in the grid, for people
             CHECK (length(point) < 512 AND point !~ '[[:cntrl:]]'),
    UNIQUE (sweep_id, number)
);
SELECT ppt.make_append_only('ppt.sweep_job');

ALTER TABLE ppt.sweep ENABLE ROW LEVEL SECURITY;
ALTER TABLE ppt.sweep FORCE ROW LEVEL SECURITY;
ALTER TABLE ppt.sweep_job ENABLE ROW LEVEL SECURITY;
ALTER TABLE ppt.sweep_job FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON ppt.sweep TO ppt_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON ppt.sweep_job TO ppt_owner USING (true) WITH CHECK (true);
CREATE POLICY staff ON ppt.sweep FOR SELECT
    TO ppt_officer, ppt_scheduler, ppt_reader USING (true);
CREATE POLICY staff ON ppt.sweep_job FOR SELECT
    TO ppt_officer, ppt_scheduler, ppt_reader USING (true);
CREATE POLICY submitter ON ppt.sweep FOR SELECT TO ppt_submitter
    USING (EXISTS (SELECT 1 FROM ppt.job j WHERE j.id = sweep.id));
CREATE POLICY submitter ON ppt.sweep_job FOR SELECT TO ppt_submitter
    USING (EXISTS (SELECT 1 FROM ppt.job j WHERE j.id = job_id));
GRANT SELECT ON ppt.sweep, ppt.sweep_job
    TO ppt_officer, ppt_scheduler, ppt_reader, ppt_submitter;

-- Files all jobs of a sweep in one transaction: p_jobs is an array of objects with a
-- spec and a point. Hands back the sweep's id. Sent again with the same token: the same
-- sweep and no second one. p_after may be null.
CREATE FUNCTION ppt.queue_submit_sweep(p_name text, p_account text, p_dataset text,
                                       p_jobs json, p_token text, p_after bigint[],
                                       p_together boolean)
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
            INSERT INTO ppt.sweep (id, n_jobs, together)
                VALUES (v_sweep, v_n, p_together) ON CONFLICT DO NOTHING;
        END IF;
        INSERT INTO ppt.sweep_job (job_id, sweep_id, number, point)
            VALUES (v_id, v_sweep, r.number, r.point) ON CONFLICT DO NOTHING;
    END LOOP;
    IF NOT EXISTS (SELECT 1 FROM ppt.sweep WHERE id = v_sweep
                   AND (n_jobs, together) = (v_n, p_together)) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB006',
            MESSAGE = 'this submission token was used for another sweep';
    END IF;
    RETURN v_sweep;
EXCEPTION WHEN not_null_violation OR check_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'PB014',
        MESSAGE = 'a job of a sweep needs a spec and a point of at most 511 characters '
                  'without control characters, and the sweep a manner of admission';
END $$;
GRANT EXECUTE ON FUNCTION
    ppt.queue_submit_sweep(text, text, text, json, text, bigint[], boolean)
    TO ppt_submitter;

-- First call of a transaction that moves a sweep's jobs together. Takes its locks in the
-- order of 004: table pot, then the rows of all its jobs; whoever reserves for them next
-- takes the balances. So neither a cancellation nor another sweep can come in between,
-- or be waited for while a balance is held. Hands back the ids of the jobs that are
-- still to be admitted, in the order of the grid.
CREATE FUNCTION ppt.sweep_lock(p_epoch bigint, p_sweep bigint) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ppt.fence(p_epoch);
    LOCK TABLE ppt.pot IN ROW SHARE MODE;
    PERFORM 1 FROM ppt.job j JOIN ppt.sweep_job w ON w.job_id = j.id
        WHERE w.sweep_id = p_sweep ORDER BY j.id FOR UPDATE OF j;
    RETURN ARRAY(SELECT j.id FROM ppt.job j JOIN ppt.sweep_job w ON w.job_id = j.id
                 WHERE w.sweep_id = p_sweep AND j.state IN ('submitted', 'waiting')
                 ORDER BY w.number);
END $$;
GRANT EXECUTE ON FUNCTION ppt.sweep_lock(bigint, bigint) TO ppt_scheduler;

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
           s.together AS sweep_together, w.point AS sweep_point
    FROM ppt.job j
    JOIN ppt.account a ON a.id = j.account_id
    JOIN ppt.dataset d ON d.id = j.dataset_id
    LEFT JOIN ppt.allocation h ON h.job_id = j.id
    LEFT JOIN ppt.sweep_job w ON w.job_id = j.id
    LEFT JOIN ppt.sweep s ON s.id = w.sweep_id;

-- As in 009, over the view's new columns.
DROP VIEW ppt.start_order;
CREATE VIEW ppt.start_order WITH (security_invoker = true) AS
    WITH share AS MATERIALIZED (  -- once an account, not once a job
        SELECT w.account_id, ppt.recent_core_s(w.account_id) AS recent_core_s
        FROM (SELECT DISTINCT account_id FROM ppt.job WHERE state = 'admitted') w
    )
    SELECT q.*, s.recent_core_s,
           row_number() OVER (ORDER BY q.allocation IS NULL, q.priority DESC,
                              s.recent_core_s, q.id) AS place
    FROM ppt.queue q
    JOIN share s ON s.account_id = q.account_id
    WHERE q.state = 'admitted';
GRANT SELECT ON ppt.start_order TO ppt_scheduler, ppt_officer, ppt_reader;
