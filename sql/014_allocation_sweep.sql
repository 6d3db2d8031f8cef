-- A sweep whose jobs run one after another in an allocation that their user has.

SET LOCAL ROLE ppt_owner;

-- As queue_submit_sweep and allocation_submit, in one transaction: no scheduler ever
-- sees a job of it without its allocation. One of its jobs runs at a time, so the plan
-- of the next is offered when the one before has been settled. A job's token is
-- p_token:NUMBER.
CREATE FUNCTION ppt.allocation_submit_sweep(p_name text, p_account text, p_dataset text,
                                            p_jobs json, p_token text,
                                            p_together boolean, p_base text,
                                            p_place text, p_uid bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_sweep bigint;
    v_base  text := regexp_replace(p_base, '/+$', '');
BEGIN
    PERFORM ppt.require_in_allocations(p_dataset);
    v_sweep := ppt.queue_submit_sweep(p_name, p_account, p_dataset, p_jobs, p_token,
                                      NULL, p_together, 1);
    IF EXISTS (SELECT 1 FROM ppt.allocation WHERE job_id = v_sweep) THEN
        RETURN v_sweep;  -- sent before
    END IF;
    -- Ordinary jobs of that token must not become some whose plans were never taken.
    PERFORM 1 FROM ppt.job j JOIN ppt.sweep_job w ON w.job_id = j.id
        WHERE w.sweep_id = v_sweep ORDER BY j.id FOR UPDATE OF j;
    IF EXISTS (SELECT 1 FROM ppt.job j JOIN ppt.sweep_job w ON w.job_id = j.id
               WHERE w.sweep_id = v_sweep AND j.state <> 'submitted') THEN
        RAISE EXCEPTION USING ERRCODE = 'PB006',
            MESSAGE = 'this submission token was used for another sweep';
    END IF;
    INSERT INTO ppt.allocation (job_id, directory, place, uid)
        SELECT w.job_id, v_base || '/ppt-' || w.job_id, p_place, p_uid
        FROM ppt.sweep_job w WHERE w.sweep_id = v_sweep ORDER BY w.number
        ON CONFLICT DO NOTHING;
    RETURN v_sweep;
EXCEPTION WHEN not_null_violation OR check_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'PB014',
        MESSAGE = 'an allocation has an absolute directory of at most 950 characters '
                  'and a user id';
END $$;
GRANT EXECUTE ON FUNCTION ppt.allocation_submit_sweep(text, text, text, json, text,
    boolean, text, text, bigint) TO ppt_submitter;
