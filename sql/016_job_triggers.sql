-- What 003 and 004 checked and wrote down for each row of a job that is written, here for
-- each statement: the scheduler moves jobs in groups, and what a trigger costs is mostly
-- being called. It still holds for every way the rows can be written, the owner's own hand
-- included, and what a statement may not do is undone with all of the statement.

SET LOCAL ROLE ppt_owner;

DROP TRIGGER guard ON ppt.job;
DROP TRIGGER guard_money ON ppt.job;
DROP TRIGGER log ON ppt.job;
DROP FUNCTION ppt.job_guard_money();
DROP FUNCTION ppt.job_log();

-- The states of jobs are those of job_move, which are those of job_state, and an event is
-- written from the row of a job, which is never deleted: nothing was left for these to find.
ALTER TABLE ppt.job DROP CONSTRAINT job_state_fkey;
ALTER TABLE ppt.job_event DROP CONSTRAINT job_event_from_state_fkey,
    DROP CONSTRAINT job_event_to_state_fkey, DROP CONSTRAINT job_event_job_id_fkey;

CREATE OR REPLACE FUNCTION ppt.job_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.state <> 'submitted' OR NEW.attempt <> 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = 'a job begins in state submitted';
    END IF;
    NEW.spec_sha256 := encode(sha256(convert_to(NEW.spec, 'UTF8')), 'hex');
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT ON ppt.job
    FOR EACH ROW EXECUTE FUNCTION ppt.job_guard();

CREATE FUNCTION ppt.jobs_begun() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ppt.job_event (job_id, to_state, attempt, reason)
        SELECT id, state, attempt, reason FROM new_job ORDER BY id;
    RETURN NULL;
END $$;
CREATE TRIGGER begun AFTER INSERT ON ppt.job REFERENCING NEW TABLE AS new_job
    FOR EACH STATEMENT EXECUTE FUNCTION ppt.jobs_begun();

CREATE FUNCTION ppt.jobs_moved() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_fault text;
BEGIN
    SELECT f.words INTO v_fault
    FROM old_job o
    FULL JOIN new_job n ON n.id = o.id  -- one whose id was changed has no partner
    LEFT JOIN ppt.job_state s ON s.name = o.state
    LEFT JOIN ppt.job_move m ON m.from_state = o.state AND m.to_state = n.state
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(e.kind = 'reserve'), false) AS is_reserved,
               coalesce(bool_or(e.kind = 'spend'), false) AS is_settled
        FROM ppt.ledger_entry e WHERE e.job_id = n.id) e
    CROSS JOIN LATERAL (SELECT (n.state, n.attempt) IS DISTINCT FROM (o.state, o.attempt)
                        AS moves) w
    CROSS JOIN LATERAL (SELECT CASE
        WHEN (n.id, n.name, n.account_id, n.dataset_id, n.spec, n.spec_sha256, n.token,
              n.submitted_by, n.submitted_at)
             IS DISTINCT FROM
             (o.id, o.name, o.account_id, o.dataset_id, o.spec, o.spec_sha256, o.token,
              o.submitted_by, o.submitted_at)
        THEN format('job %s: what was submitted never changes', coalesce(o.id, n.id))
        WHEN o.state NOT IN ('submitted', 'waiting')
             AND (n.admitted_at, n.kind, n.is_private, n.epsilon, n.delta,
                  n.noise_multiplier, n.sample_rate, n.n_steps, n.priority, n.n_ranks,
                  n.n_cores, n.memory_bytes, n.time_limit_s)
             IS DISTINCT FROM
                 (o.admitted_at, o.kind, o.is_private, o.epsilon, o.delta,
                  o.noise_multiplier, o.sample_rate, o.n_steps, o.priority, o.n_ranks,
                  o.n_cores, o.memory_bytes, o.time_limit_s)
        THEN format('job %s: what was admitted never changes', o.id)
        WHEN s.is_final
        THEN format('job %s has ended: it is %s', o.id, o.state)
        WHEN w.moves AND m.to_state IS NULL
        THEN format('job %s cannot go from %s to %s', o.id, o.state, n.state)
        WHEN n.attempt <> o.attempt + (w.moves AND n.state = 'running')::int
        THEN format('job %s: attempts count up by one at each start', o.id)
        WHEN w.moves AND n.state IN ('admitted', 'running')
             AND (n.is_private IS DISTINCT FROM e.is_reserved OR e.is_settled)
        THEN format('job %s has no open reservation to be %s with', o.id, n.state)
        WHEN w.moves AND n.state NOT IN ('admitted', 'running')
             AND e.is_reserved AND NOT e.is_settled
        THEN format('job %s cannot be %s while its reservation is open: settle it first',
                    o.id, n.state)
        END AS words) f
    WHERE f.words IS NOT NULL
    ORDER BY coalesce(o.id, n.id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018', MESSAGE = v_fault;
    END IF;
    INSERT INTO ppt.job_event (job_id, from_state, to_state, attempt, reason)
        SELECT n.id, o.state, n.state, n.attempt, n.reason
        FROM old_job o JOIN new_job n ON n.id = o.id
        WHERE (n.state, n.attempt, n.reason)
              IS DISTINCT FROM (o.state, o.attempt, o.reason)
        ORDER BY n.id;
    RETURN NULL;
END $$;
CREATE TRIGGER moved AFTER UPDATE ON ppt.job
    REFERENCING OLD TABLE AS old_job NEW TABLE AS new_job
    FOR EACH STATEMENT EXECUTE FUNCTION ppt.jobs_moved();
