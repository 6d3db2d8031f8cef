-- Jobs that wait for others to be done. A wait holds no budget: such a job is judged, and
-- its price reserved, once nothing is left to wait for. All that is waited for is final
-- when it counts, so nothing here can change its mind.

SET LOCAL ROLE ppt_owner;

CREATE TABLE ppt.job_after (
    job_id   bigint NOT NULL REFERENCES ppt.job,
    after_id bigint NOT NULL REFERENCES ppt.job,
    PRIMARY KEY (job_id, after_id),
    CHECK (after_id < job_id)  -- no circles
);
CREATE INDEX job_after_after ON ppt.job_after (after_id);
SELECT ppt.make_append_only('ppt.job_after');

ALTER TABLE ppt.job_after ENABLE ROW LEVEL SECURITY;
ALTER TABLE ppt.job_after FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON ppt.job_after TO ppt_owner USING (true) WITH CHECK (true);
CREATE POLICY staff ON ppt.job_after FOR SELECT
    TO ppt_officer, ppt_scheduler, ppt_reader USING (true);
CREATE POLICY submitter ON ppt.job_after FOR SELECT TO ppt_submitter
    USING (EXISTS (SELECT 1 FROM ppt.job j WHERE j.id = job_id));
GRANT SELECT ON ppt.job_after TO ppt_officer, ppt_scheduler, ppt_reader, ppt_submitter;

-- Submits and says what to wait for in one transaction, so that the scheduler never sees
-- the one without the other. Sent again with the same token and the same jobs: the same
-- job. A job that the login may not see is not there.
CREATE FUNCTION ppt.queue_submit_after(p_name text, p_account text, p_dataset text,
                                       p_spec text, p_token text, p_after bigint[])
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_sent  boolean := EXISTS (SELECT 1 FROM ppt.job
                               WHERE submitted_by = session_user AND token = p_token);
    v_after bigint[] := ARRAY(SELECT DISTINCT a FROM unnest(p_after) a ORDER BY a);
    v_one   bigint;
    v_id    bigint;
BEGIN
    IF p_after IS NULL OR cardinality(v_after) NOT BETWEEN 1 AND 64
       OR array_position(v_after, NULL) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = 'a job can wait for 1 to 64 others';
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
GRANT EXECUTE ON FUNCTION
    ppt.queue_submit_after(text, text, text, text, text, bigint[]) TO ppt_submitter;

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
            FROM ppt.job_after x WHERE x.job_id = j.id) AS after  -- null: for none
    FROM ppt.job j
    JOIN ppt.account a ON a.id = j.account_id
    JOIN ppt.dataset d ON d.id = j.dataset_id
    LEFT JOIN ppt.allocation h ON h.job_id = j.id;

-- As in 008, over the view's new column.
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
