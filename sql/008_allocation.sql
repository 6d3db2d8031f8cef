-- Jobs that run in an allocation (or shell) which their user already has.
--
-- Such a job's processes are the user's: they can read the data file, and its meter and
-- report lie where he can write. So an officer must have allowed it for the data set,
-- and what the user's side says is shown and never believed: once the plan was handed
-- out, the whole reservation is spent (scheduler/settle.h). The row's plan is the
-- ticket: it is handed out once, and taken back before a job is given up for nothing.

SET LOCAL ROLE ppt_owner;

-- May the data set's file be used by its users' own processes? The newest row holds;
-- without one: no.
CREATE TABLE ppt.dataset_access (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset_id     bigint NOT NULL REFERENCES ppt.dataset,
    in_allocations boolean NOT NULL,
    reason         text NOT NULL CHECK (length(reason) < 512),
    by_login       name NOT NULL DEFAULT session_user,
    at             timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX dataset_access_dataset ON ppt.dataset_access (dataset_id, id);
SELECT ppt.make_append_only('ppt.dataset_access');

CREATE FUNCTION ppt.dataset_access_set(p_dataset text, p_in_allocations boolean,
                                       p_reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ppt.dataset_access (dataset_id, in_allocations, reason)
        VALUES ((ppt.dataset_find(p_dataset)).id, p_in_allocations,
                coalesce(p_reason, ''));
EXCEPTION WHEN not_null_violation OR check_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'PB014',
        MESSAGE = 'an answer, yes or no, and a reason shorter than 512 characters';
END $$;

-- Data that is nobody's secret needs no officer's word.
CREATE FUNCTION ppt.require_in_allocations(p_dataset text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_dataset ppt.dataset := ppt.dataset_find(p_dataset);
BEGIN
    IF v_dataset.is_public
       OR (SELECT in_allocations FROM ppt.dataset_access
           WHERE dataset_id = v_dataset.id ORDER BY id DESC LIMIT 1) THEN
        RETURN;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'PB011',
        MESSAGE = format('data set "%s" may not be used in its users'' own allocations',
                         p_dataset),
        HINT = 'submit the job without --here, or ask a privacy officer to allow it: '
               'ppt-budget dataset allow';
END $$;

CREATE TABLE ppt.allocation (
    job_id        bigint PRIMARY KEY REFERENCES ppt.job,
    directory     text NOT NULL CHECK (directory LIKE '/%' AND length(directory) < 1000),
    place         text NOT NULL CHECK (length(place) < 256),  -- as the user's side says
    uid           bigint NOT NULL CHECK (uid BETWEEN 0 AND 4294967295),  -- the same
    -- the scheduler's: the signed plan, for which attempt, and whether it counts
    attempt       bigint NOT NULL DEFAULT 0,
    plan          text,
    signature     text,
    offered_at    timestamptz,
    withdrawn     text NOT NULL DEFAULT '' CHECK (withdrawn IN ('', 'late', 'stop')),
    wish          text NOT NULL DEFAULT '' CHECK (wish IN ('', 'stop', 'kill')),
    -- the user's side's
    taken_at      timestamptz,
    heard_at      timestamptz,
    ended_at      timestamptz,
    outcome       text CHECK (outcome IN ('done', 'interrupted', 'failed')),
    error_code    int CHECK (error_code BETWEEN 0 AND 255),
    error_text    text CHECK (length(error_text) < 512),
    n_steps       bigint CHECK (n_steps >= 0),
    test_accuracy float8 CHECK (test_accuracy BETWEEN 0 AND 1),
    wall_s        float8 CHECK (wall_s >= 0 AND wall_s < 1e9),
    model         text CHECK (length(model) < 1000),
    CHECK (taken_at IS NULL OR withdrawn = '')  -- the ticket: one or the other
);
CREATE TRIGGER never_deleted BEFORE DELETE ON ppt.allocation
    FOR EACH ROW EXECUTE FUNCTION ppt.append_only();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON ppt.allocation
    FOR EACH STATEMENT EXECUTE FUNCTION ppt.append_only();

-- Locks the row. Where both are locked, the job's row comes first.
CREATE FUNCTION ppt.allocation_lock(p_job bigint) RETURNS ppt.allocation
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_row ppt.allocation;
BEGIN
    SELECT * INTO v_row FROM ppt.allocation WHERE job_id = p_job FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PB005',
            MESSAGE = format('job %s does not run in an allocation of its user', p_job);
    END IF;
    RETURN v_row;
END $$;

-- ---- the user's side ----

-- One transaction: no scheduler ever sees the job without its allocation. Its files will
-- lie in p_base/ppt-ID.
CREATE FUNCTION ppt.allocation_submit(p_name text, p_account text, p_dataset text,
                                      p_spec text, p_token text, p_base text,
                                      p_place text, p_uid bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_id   bigint;
    v_base text := regexp_replace(p_base, '/+$', '');
BEGIN
    PERFORM ppt.require_in_allocations(p_dataset);
    v_id := ppt.queue_submit(p_name, p_account, p_dataset, p_spec, p_token);
    IF EXISTS (SELECT 1 FROM ppt.allocation WHERE job_id = v_id) THEN
        RETURN v_id;  -- sent before
    END IF;
    -- An ordinary job of that token must not become one whose plan was never taken.
    IF (ppt.job_lock(v_id)).state <> 'submitted' THEN
        RAISE EXCEPTION USING ERRCODE = 'PB006',
            MESSAGE = 'this submission token was used for another job';
    END IF;
    INSERT INTO ppt.allocation (job_id, directory, place, uid)
        VALUES (v_id, v_base || '/ppt-' || v_id, p_place, p_uid) ON CONFLICT DO NOTHING;
    RETURN v_id;
EXCEPTION WHEN not_null_violation OR check_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'PB014',
        MESSAGE = 'an allocation has an absolute directory of at most 950 characters '
                  'and a user id';
END $$;

-- The caller's own job in an allocation; nobody else's is there for him. The token is
-- the submission's, so that another program of the same user does not interfere.
CREATE FUNCTION ppt.allocation_mine(p_job bigint, p_token text) RETURNS ppt.allocation
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ppt.job WHERE id = p_job AND token = p_token
                   AND submitted_by = session_user) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB005',
            MESSAGE = format('there is no job %s of this submission', p_job);
    END IF;
    RETURN ppt.allocation_lock(p_job);
END $$;

-- Takes the ticket and hands out the plan; no row: not offered yet. May be repeated by
-- whoever took it, because the answer may have been lost.
CREATE FUNCTION ppt.allocation_take(p_job bigint, p_token text)
RETURNS TABLE (attempt bigint, plan text, signature text, manifest text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_row ppt.allocation := ppt.allocation_mine(p_job, p_token);
BEGIN
    IF v_row.withdrawn <> '' OR v_row.ended_at IS NOT NULL OR v_row.wish = 'kill' THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s: its plan is handed out no more', p_job);
    END IF;
    IF v_row.plan IS NULL THEN
        RETURN;
    END IF;
    IF v_row.taken_at IS NULL THEN
        UPDATE ppt.allocation SET taken_at = clock_timestamp(),
            heard_at = clock_timestamp() WHERE job_id = p_job;
    END IF;
    RETURN QUERY SELECT v_row.attempt, v_row.plan, v_row.signature, d.manifest
        FROM ppt.job j JOIN ppt.dataset d ON d.id = j.dataset_id WHERE j.id = p_job;
END $$;

-- "I am alive": tells what the scheduler wishes.
CREATE FUNCTION ppt.allocation_beat(p_job bigint, p_token text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_row ppt.allocation := ppt.allocation_mine(p_job, p_token);
BEGIN
    IF (SELECT s.is_final FROM ppt.job j JOIN ppt.job_state s ON s.name = j.state
        WHERE j.id = p_job) THEN
        RETURN 'kill';
    END IF;
    UPDATE ppt.allocation SET heard_at = clock_timestamp()
        WHERE job_id = p_job AND taken_at IS NOT NULL;
    RETURN v_row.wish;
END $$;

-- How it ended, as the user's side says; the first word counts.
CREATE FUNCTION ppt.allocation_end(p_job bigint, p_token text, p_outcome text,
                                   p_error_code int, p_error_text text,
                                   p_n_steps bigint, p_test_accuracy float8,
                                   p_wall_s float8, p_model text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_row ppt.allocation := ppt.allocation_mine(p_job, p_token);
BEGIN
    IF v_row.taken_at IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s has not begun', p_job);
    END IF;
    IF v_row.ended_at IS NOT NULL THEN
        RETURN;
    END IF;
    UPDATE ppt.allocation SET ended_at = clock_timestamp(), outcome = p_outcome,
        error_code = p_error_code, error_text = left(p_error_text, 500),
        n_steps = p_n_steps, test_accuracy = p_test_accuracy, wall_s = p_wall_s,
        model = p_model WHERE job_id = p_job;
    PERFORM pg_notify('ppt_queue', '');
EXCEPTION WHEN check_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'PB014',
        MESSAGE = format('job %s: its report is not one that a worker writes', p_job);
END $$;

-- ---- the scheduler's side ----

-- Publishes the signed plan of an attempt. Once it was taken there is no other.
CREATE FUNCTION ppt.allocation_offer(p_epoch bigint, p_job bigint, p_attempt bigint,
                                     p_plan text, p_signature text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_row ppt.allocation;
BEGIN
    PERFORM ppt.fence(p_epoch);
    PERFORM ppt.require_in_allocations((SELECT d.name FROM ppt.job j
        JOIN ppt.dataset d ON d.id = j.dataset_id WHERE j.id = p_job));
    v_row := ppt.allocation_lock(p_job);
    IF v_row.taken_at IS NOT NULL OR p_attempt <= v_row.attempt THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s: attempt %s of it was offered already', p_job,
                             v_row.attempt);
    END IF;
    UPDATE ppt.allocation SET attempt = p_attempt, plan = p_plan,
        signature = p_signature, offered_at = clock_timestamp(), withdrawn = ''
        WHERE job_id = p_job;
END $$;

-- What has become of an attempt. A plan that nobody has taken for p_patience_s is taken
-- back here; 'never' therefore stays true. silent_s: since the last sign of life.
CREATE FUNCTION ppt.allocation_look(p_epoch bigint, p_job bigint, p_attempt bigint,
                                    p_patience_s bigint, OUT life text,
                                    OUT is_late boolean, OUT ran_s bigint,
                                    OUT silent_s bigint, OUT report ppt.allocation)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ppt.fence(p_epoch);
    report := ppt.allocation_lock(p_job);
    IF report.taken_at IS NULL AND report.attempt = p_attempt AND report.withdrawn = ''
       AND clock_timestamp() > report.offered_at + make_interval(secs => p_patience_s)
    THEN
        UPDATE ppt.allocation SET withdrawn = 'late' WHERE job_id = p_job;
        report.withdrawn := 'late';
    END IF;
    life := CASE WHEN report.ended_at IS NOT NULL OR report.wish = 'kill' THEN 'gone'
                 WHEN report.taken_at IS NOT NULL THEN 'alive'
                 WHEN report.attempt <> p_attempt OR report.withdrawn <> '' THEN 'never'
                 ELSE 'queued' END;
    is_late := report.attempt = p_attempt AND report.withdrawn = 'late';
    ran_s := floor(extract(epoch FROM clock_timestamp() - report.taken_at));
    silent_s := floor(extract(epoch FROM clock_timestamp() - report.heard_at));
END $$;

-- Takes the plan back if it was not taken yet, else asks the user's side: to stop
-- ('stop'), or to stop at once because the job is over for us ('kill').
CREATE FUNCTION ppt.allocation_stop(p_epoch bigint, p_job bigint, p_wish text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_row ppt.allocation;
BEGIN
    PERFORM ppt.fence(p_epoch);
    v_row := ppt.allocation_lock(p_job);
    IF v_row.taken_at IS NULL THEN
        UPDATE ppt.allocation SET withdrawn = 'stop' WHERE job_id = p_job;
    ELSIF v_row.wish <> 'kill' THEN
        UPDATE ppt.allocation SET wish = p_wish WHERE job_id = p_job;
    END IF;
END $$;

-- Why a job was refused, as a number that a program can act on.
DROP FUNCTION ppt.queue_refuse(bigint, bigint, text);
CREATE FUNCTION ppt.queue_refuse(p_epoch bigint, p_job bigint, p_reason text,
                                 p_error_code int DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_job ppt.job;
BEGIN
    PERFORM ppt.fence(p_epoch);
    v_job := ppt.job_lock(p_job);
    IF v_job.state = 'refused' AND v_job.reason = p_reason THEN
        RETURN;
    END IF;
    UPDATE ppt.job SET state = 'refused', reason = p_reason, error_code = p_error_code,
        ended_at = clock_timestamp() WHERE id = p_job;
END $$;

-- ---- views, rows, rights ----

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
           h.uid AS allocation_uid
    FROM ppt.job j
    JOIN ppt.account a ON a.id = j.account_id
    JOIN ppt.dataset d ON d.id = j.dataset_id
    LEFT JOIN ppt.allocation h ON h.job_id = j.id;

-- Those in allocations come first: they take nothing from anybody.
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

DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['dataset_access', 'allocation'] LOOP
        EXECUTE format('ALTER TABLE ppt.%I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format('ALTER TABLE ppt.%I FORCE ROW LEVEL SECURITY', v_table);
        EXECUTE format('CREATE POLICY owner ON ppt.%I TO ppt_owner '
                       'USING (true) WITH CHECK (true)', v_table);
        EXECUTE format('CREATE POLICY staff ON ppt.%I FOR SELECT '
                       'TO ppt_officer, ppt_scheduler, ppt_reader USING (true)', v_table);
    END LOOP;
END $$;
CREATE POLICY submitter ON ppt.dataset_access FOR SELECT TO ppt_submitter USING (true);
CREATE POLICY submitter ON ppt.allocation FOR SELECT TO ppt_submitter
    USING (EXISTS (SELECT 1 FROM ppt.job j WHERE j.id = job_id));
GRANT SELECT ON ppt.dataset_access
    TO ppt_officer, ppt_scheduler, ppt_reader, ppt_submitter;
-- Not plan and signature: whoever can read them has the ticket.
GRANT SELECT (job_id, directory, place, uid, attempt, offered_at, withdrawn, wish, taken_at,
              heard_at, ended_at, outcome, error_code, error_text, n_steps,
              test_accuracy, wall_s, model)
    ON ppt.allocation TO ppt_officer, ppt_scheduler, ppt_reader, ppt_submitter;

GRANT EXECUTE ON FUNCTION ppt.dataset_access_set(text, boolean, text) TO ppt_officer;
GRANT EXECUTE ON FUNCTION ppt.require_in_allocations(text)
    TO ppt_officer, ppt_submitter, ppt_scheduler, ppt_reader;
GRANT EXECUTE ON FUNCTION
    ppt.allocation_submit(text, text, text, text, text, text, text, bigint),
    ppt.allocation_take(bigint, text), ppt.allocation_beat(bigint, text),
    ppt.allocation_end(bigint, text, text, int, text, bigint, float8, float8, text)
    TO ppt_submitter;
GRANT EXECUTE ON FUNCTION
    ppt.allocation_offer(bigint, bigint, bigint, text, text),
    ppt.allocation_look(bigint, bigint, bigint, bigint),
    ppt.allocation_stop(bigint, bigint, text),
    ppt.queue_refuse(bigint, bigint, text, int)
    TO ppt_scheduler;
