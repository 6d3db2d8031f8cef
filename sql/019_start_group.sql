-- Jobs that are started together are found by their ids too; and the plans of all that
-- moves groups are made anew for each, because one that was made while there were few jobs
-- may go through all of them.

SET LOCAL ROLE ppt_owner;

-- As in 015, where the update went through all jobs that wait, for each job of the group:
-- no index knows the state in that form, so only their ids are left to find them by.
CREATE OR REPLACE FUNCTION ppt.queue_start_group(p_epoch bigint, p_jobs json, p_host text)
RETURNS TABLE (job_id bigint, attempt bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_jobs bigint[];
BEGIN
    PERFORM ppt.fence(p_epoch);
    v_jobs := ARRAY(SELECT s.id FROM json_to_recordset(p_jobs) AS s(id bigint)
                    ORDER BY s.id);
    PERFORM 1 FROM ppt.job WHERE id = ANY (v_jobs) ORDER BY id FOR UPDATE;
    RETURN QUERY
    UPDATE ppt.job j SET state = 'running', reason = '', attempt = j.attempt + 1,
        epoch = p_epoch, directory = s.directory,
        started_at = coalesce(j.started_at, clock_timestamp()),
        host = p_host, pid = s.pid, pid_start_time = 0,
        slurm_job_id = NULL, slurm_state = NULL, slurm_reason = NULL
        FROM json_to_recordset(p_jobs) AS s(id bigint, directory text, pid bigint)
        WHERE j.id = ANY (v_jobs) AND j.id = s.id AND j.state || '' = 'admitted'
        RETURNING j.id, j.attempt;
END $$;

ALTER FUNCTION ppt.queue_done_group(bigint, json, text, text, bigint[], bigint)
    SET plan_cache_mode = force_custom_plan;
