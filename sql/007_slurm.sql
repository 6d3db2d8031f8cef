-- What Slurm calls a job's last attempt and says of it. Only shown: nothing is decided by
-- it, so it is no move of the job and leaves no event.

SET LOCAL ROLE ppt_owner;

ALTER TABLE ppt.job
    ADD COLUMN slurm_job_id bigint,
    ADD COLUMN slurm_state  text CHECK (length(slurm_state) <= 32),
    ADD COLUMN slurm_reason text CHECK (length(slurm_reason) <= 256);

-- New columns stand at the end of a view, or it would have to be dropped.
CREATE OR REPLACE VIEW ppt.queue WITH (security_invoker = true) AS
    SELECT j.id, j.name, j.spec_sha256, j.spec, a.path AS account, d.name AS dataset,
           j.submitted_by::text AS submitted_by, j.state, j.reason, j.cancel_requested,
           j.submitted_at, j.admitted_at, j.started_at, j.ended_at, j.kind, j.is_private,
           j.epsilon, j.delta, j.noise_multiplier, j.sample_rate, j.n_steps, j.priority,
           j.n_ranks, j.n_cores, j.memory_bytes, j.time_limit_s, j.attempt, j.epoch,
           j.directory, j.host, j.pid, j.pid_start_time, j.error_code, j.epsilon_spent,
           j.n_steps_done, j.test_accuracy, j.wall_s, j.model, j.account_id,
           j.slurm_job_id, j.slurm_state, j.slurm_reason
    FROM ppt.job j
    JOIN ppt.account a ON a.id = j.account_id
    JOIN ppt.dataset d ON d.id = j.dataset_id;

-- As in 005, over the view's new columns.
DROP VIEW ppt.start_order;
CREATE VIEW ppt.start_order WITH (security_invoker = true) AS
    WITH share AS MATERIALIZED (  -- once an account, not once a job
        SELECT w.account_id, ppt.recent_core_s(w.account_id) AS recent_core_s
        FROM (SELECT DISTINCT account_id FROM ppt.job WHERE state = 'admitted') w
    )
    SELECT q.*, s.recent_core_s,
           row_number() OVER (ORDER BY q.priority DESC, s.recent_core_s, q.id) AS place
    FROM ppt.queue q
    JOIN share s ON s.account_id = q.account_id
    WHERE q.state = 'admitted';
GRANT SELECT ON ppt.start_order TO ppt_scheduler, ppt_officer, ppt_reader;

-- A new attempt is another job of Slurm's.
CREATE OR REPLACE FUNCTION ppt.queue_start(p_epoch bigint, p_job bigint,
                                           p_directory text, p_reason text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_job ppt.job;
BEGIN
    PERFORM ppt.fence(p_epoch);
    v_job := ppt.job_lock(p_job);
    UPDATE ppt.job SET state = 'running', reason = coalesce(p_reason, ''),
        attempt = v_job.attempt + 1, epoch = p_epoch, directory = p_directory,
        started_at = coalesce(v_job.started_at, clock_timestamp()),
        host = NULL, pid = NULL, pid_start_time = NULL,
        slurm_job_id = NULL, slurm_state = NULL, slurm_reason = NULL
        WHERE id = p_job;
    RETURN v_job.attempt + 1;
END $$;

-- Locks nothing of the ledger: the lease (shared) and the job's row.
CREATE FUNCTION ppt.queue_slurm(p_epoch bigint, p_job bigint, p_attempt bigint,
                                p_slurm_job_id bigint, p_state text, p_reason text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_job ppt.job;
BEGIN
    PERFORM ppt.fence(p_epoch);
    v_job := ppt.job_lock(p_job);
    IF v_job.state <> 'running' OR v_job.attempt <> p_attempt THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s is %s in attempt %s, not running attempt %s',
                             p_job, v_job.state, v_job.attempt, p_attempt);
    END IF;
    UPDATE ppt.job SET slurm_job_id = p_slurm_job_id, slurm_state = p_state,
        slurm_reason = p_reason
        WHERE id = p_job
          AND (slurm_job_id, slurm_state, slurm_reason)
              IS DISTINCT FROM (p_slurm_job_id, p_state, p_reason);
END $$;
GRANT EXECUTE ON FUNCTION ppt.queue_slurm(bigint, bigint, bigint, bigint, text, text)
    TO ppt_scheduler;
