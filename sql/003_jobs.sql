-- The queue: the scheduler's lease, jobs, their legal moves and their history.

SET LOCAL ROLE ppt_owner;

-- One row. epoch rises with every change of holder and fences every write of the
-- scheduler: a predecessor that wakes up again can change nothing.
CREATE TABLE ppt.lease (
    id      int PRIMARY KEY CHECK (id = 1),
    holder  text,
    epoch   bigint NOT NULL,
    expires timestamptz NOT NULL
);
INSERT INTO ppt.lease VALUES (1, NULL, 0, '-infinity');

CREATE FUNCTION ppt.lease_acquire(p_holder text, p_ttl_s bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_lease ppt.lease;
BEGIN
    IF p_holder IS NULL OR p_holder = '' OR p_ttl_s IS NULL
       OR p_ttl_s NOT BETWEEN 1 AND 86400 THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = 'a lease needs a holder and lasts 1 s to 86400 s';
    END IF;
    SELECT * INTO v_lease FROM ppt.lease WHERE id = 1 FOR UPDATE;
    IF v_lease.holder <> p_holder AND v_lease.expires > clock_timestamp() THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('another scheduler, %s, holds the lease until %s',
                             v_lease.holder, date_trunc('second', v_lease.expires)),
            HINT = 'stop it, or wait until its lease runs out';
    END IF;
    UPDATE ppt.lease SET holder = p_holder, epoch = v_lease.epoch + 1,
        expires = clock_timestamp() + make_interval(secs => p_ttl_s) WHERE id = 1;
    RETURN v_lease.epoch + 1;
END $$;

CREATE FUNCTION ppt.lease_lost(p_epoch bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'PB018',
        MESSAGE = format('the scheduler''s lease of epoch %s is lost', p_epoch),
        HINT = 'another scheduler has taken over; this one must stop';
END $$;

CREATE FUNCTION ppt.lease_renew(p_epoch bigint, p_ttl_s bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE ppt.lease SET expires = clock_timestamp() + make_interval(secs => p_ttl_s)
        WHERE id = 1 AND epoch = p_epoch AND holder IS NOT NULL;
    IF NOT FOUND THEN
        PERFORM ppt.lease_lost(p_epoch);
    END IF;
END $$;

CREATE FUNCTION ppt.lease_release(p_epoch bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE ppt.lease SET holder = NULL, expires = '-infinity'
        WHERE id = 1 AND epoch = p_epoch
$$;

-- First line of every write of the scheduler. The share lock makes a successor wait
-- for this transaction, so that what it then reads is complete.
CREATE FUNCTION ppt.fence(p_epoch bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ppt.require_read_committed();
    PERFORM 1 FROM ppt.lease
        WHERE id = 1 AND epoch = p_epoch AND holder IS NOT NULL FOR SHARE;
    IF NOT FOUND THEN
        PERFORM ppt.lease_lost(p_epoch);
    END IF;
END $$;

CREATE TABLE ppt.job_state (
    name     text PRIMARY KEY,
    is_final boolean NOT NULL
);
INSERT INTO ppt.job_state VALUES
    ('submitted', false), ('waiting', false), ('admitted', false), ('running', false),
    ('done', true), ('refused', true), ('failed', true), ('cancelled', true);
SELECT ppt.make_append_only('ppt.job_state');

-- The only legal moves. running -> running is a new attempt after an interruption.
CREATE TABLE ppt.job_move (
    from_state text NOT NULL REFERENCES ppt.job_state,
    to_state   text NOT NULL REFERENCES ppt.job_state,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO ppt.job_move VALUES
    ('submitted', 'waiting'), ('submitted', 'admitted'), ('submitted', 'refused'),
    ('submitted', 'cancelled'),
    ('waiting', 'waiting'), ('waiting', 'admitted'), ('waiting', 'refused'),
    ('waiting', 'cancelled'),
    ('admitted', 'running'), ('admitted', 'failed'), ('admitted', 'cancelled'),
    ('running', 'running'), ('running', 'done'), ('running', 'failed'),
    ('running', 'cancelled');
SELECT ppt.make_append_only('ppt.job_move');

CREATE TABLE ppt.job (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- as submitted; never changes
    name             text NOT NULL CHECK (length(name) BETWEEN 1 AND 127),
    account_id       bigint NOT NULL REFERENCES ppt.account,
    dataset_id       bigint NOT NULL REFERENCES ppt.dataset,
    spec             text NOT NULL CHECK (octet_length(spec) BETWEEN 1 AND 262144),
    spec_sha256      text NOT NULL,  -- filled in by job_guard
    token            text NOT NULL CHECK (length(token) BETWEEN 1 AND 64),
    submitted_by     name NOT NULL DEFAULT session_user,
    submitted_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- where it stands
    state            text NOT NULL DEFAULT 'submitted' REFERENCES ppt.job_state,
    reason           text NOT NULL DEFAULT '',
    cancel_requested boolean NOT NULL DEFAULT false,
    -- fixed when admitted, computed by the scheduler
    admitted_at      timestamptz,
    kind             text,
    is_private       boolean,
    epsilon          float8,
    delta            float8,
    noise_multiplier float8,
    sample_rate      float8,
    n_steps          bigint,
    priority         bigint NOT NULL DEFAULT 0,
    n_ranks          bigint,
    n_cores          bigint,
    memory_bytes     bigint,
    time_limit_s     bigint,
    -- of the last attempt
    attempt          bigint NOT NULL DEFAULT 0,
    epoch            bigint,
    started_at       timestamptz,  -- of the first attempt
    directory        text,
    host             text,
    pid              bigint,
    pid_start_time   bigint,
    -- the outcome
    ended_at         timestamptz,
    error_code       int,
    epsilon_spent    float8,
    n_steps_done     bigint,
    test_accuracy    float8,
    wall_s           float8,
    model            text,
    UNIQUE (submitted_by, token)
);
CREATE INDEX job_active ON ppt.job (state, id)
    WHERE state IN ('submitted', 'waiting', 'admitted', 'running');
CREATE INDEX job_account ON ppt.job (account_id, ended_at);
CREATE INDEX job_dataset ON ppt.job (dataset_id);

CREATE TABLE ppt.job_event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id     bigint NOT NULL REFERENCES ppt.job,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    login      name NOT NULL DEFAULT session_user,
    from_state text REFERENCES ppt.job_state,
    to_state   text NOT NULL REFERENCES ppt.job_state,
    attempt    bigint NOT NULL,
    reason     text NOT NULL
);
CREATE INDEX job_event_job ON ppt.job_event (job_id, id);
SELECT ppt.make_append_only('ppt.job_event');

-- Holds for every way a job row can be written, the owner's own hand included. The
-- money side of a move is checked in 004.
CREATE FUNCTION ppt.job_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'submitted' OR NEW.attempt <> 0 THEN
            RAISE EXCEPTION USING ERRCODE = 'PB018',
                MESSAGE = 'a job begins in state submitted';
        END IF;
        NEW.spec_sha256 := encode(sha256(convert_to(NEW.spec, 'UTF8')), 'hex');
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.name, NEW.account_id, NEW.dataset_id, NEW.spec,
        NEW.spec_sha256, NEW.token, NEW.submitted_by, NEW.submitted_at)
       IS DISTINCT FROM
       (OLD.id, OLD.name, OLD.account_id, OLD.dataset_id, OLD.spec,
        OLD.spec_sha256, OLD.token, OLD.submitted_by, OLD.submitted_at) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s: what was submitted never changes', OLD.id);
    END IF;
    IF OLD.state NOT IN ('submitted', 'waiting')
       AND (NEW.admitted_at, NEW.kind, NEW.is_private, NEW.epsilon, NEW.delta,
            NEW.noise_multiplier, NEW.sample_rate, NEW.n_steps, NEW.priority,
            NEW.n_ranks, NEW.n_cores, NEW.memory_bytes, NEW.time_limit_s)
       IS DISTINCT FROM
           (OLD.admitted_at, OLD.kind, OLD.is_private, OLD.epsilon, OLD.delta,
            OLD.noise_multiplier, OLD.sample_rate, OLD.n_steps, OLD.priority,
            OLD.n_ranks, OLD.n_cores, OLD.memory_bytes, OLD.time_limit_s) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s: what was admitted never changes', OLD.id);
    END IF;
    IF (SELECT is_final FROM ppt.job_state WHERE name = OLD.state) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s has ended: it is %s', OLD.id, OLD.state);
    END IF;
    IF (NEW.state, NEW.attempt) IS DISTINCT FROM (OLD.state, OLD.attempt)
       AND NOT EXISTS (SELECT 1 FROM ppt.job_move
                       WHERE from_state = OLD.state AND to_state = NEW.state) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s cannot go from %s to %s', OLD.id, OLD.state,
                             NEW.state);
    END IF;
    IF NEW.attempt <> OLD.attempt
       + (CASE WHEN NEW.state = 'running'
                AND (OLD.state <> 'running' OR NEW.attempt <> OLD.attempt)
               THEN 1 ELSE 0 END) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB018',
            MESSAGE = format('job %s: attempts count up by one at each start', OLD.id);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON ppt.job
    FOR EACH ROW EXECUTE FUNCTION ppt.job_guard();
CREATE TRIGGER never_deleted BEFORE DELETE ON ppt.job
    FOR EACH ROW EXECUTE FUNCTION ppt.append_only();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON ppt.job
    FOR EACH STATEMENT EXECUTE FUNCTION ppt.append_only();

CREATE FUNCTION ppt.job_log() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO ppt.job_event (job_id, to_state, attempt, reason)
            VALUES (NEW.id, NEW.state, NEW.attempt, NEW.reason);
    ELSIF (NEW.state, NEW.attempt, NEW.reason)
          IS DISTINCT FROM (OLD.state, OLD.attempt, OLD.reason) THEN
        INSERT INTO ppt.job_event (job_id, from_state, to_state, attempt, reason)
            VALUES (NEW.id, OLD.state, NEW.state, NEW.attempt, NEW.reason);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER log AFTER INSERT OR UPDATE ON ppt.job
    FOR EACH ROW EXECUTE FUNCTION ppt.job_log();

-- Locks the job's row and hands it back.
CREATE FUNCTION ppt.job_lock(p_job bigint) RETURNS ppt.job
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_job ppt.job;
BEGIN
    SELECT * INTO v_job FROM ppt.job WHERE id = p_job FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PB005',
            MESSAGE = format('there is no job %s', p_job);
    END IF;
    RETURN v_job;
END $$;

CREATE FUNCTION ppt.queue_submit(p_name text, p_account text, p_dataset text,
                                 p_spec text, p_token text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_account ppt.account := ppt.account_find(p_account);
    v_dataset ppt.dataset := ppt.dataset_find(p_dataset);
    v_id      bigint;
BEGIN
    IF NOT ppt.is_member(v_account.id) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB017',
            MESSAGE = format('login "%s" may not submit to account "%s"',
                             session_user, p_account),
            HINT = 'ask a privacy officer to make you a member of it or of one above';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM ppt.job
                   WHERE submitted_by = session_user AND token = p_token) THEN
        INSERT INTO ppt.job (name, account_id, dataset_id, spec, token)
            VALUES (p_name, v_account.id, v_dataset.id, p_spec, p_token)
            ON CONFLICT (submitted_by, token) DO NOTHING  -- sent twice at once
            RETURNING id INTO v_id;
    END IF;
    IF v_id IS NULL THEN  -- sent before: the client could not know that it arrived
        SELECT id INTO v_id FROM ppt.job
            WHERE submitted_by = session_user AND token = p_token
              AND (name, account_id, dataset_id, spec)
                  = (p_name, v_account.id, v_dataset.id, p_spec);
        IF v_id IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'PB006',
                MESSAGE = 'this submission token was used for another job';
        END IF;
        RETURN v_id;
    END IF;
    -- Contentless, and not in any transaction that holds a ledger lock.
    PERFORM pg_notify('ppt_queue', '');
    RETURN v_id;
EXCEPTION WHEN not_null_violation OR check_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'PB014',
        MESSAGE = 'a job needs a name of at most 127 characters, a spec of at most '
                  '256 KiB and a token of at most 64';
END $$;

CREATE FUNCTION ppt.queue_hold(p_epoch bigint, p_job bigint, p_reason text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_job ppt.job;
BEGIN
    PERFORM ppt.fence(p_epoch);
    v_job := ppt.job_lock(p_job);
    IF v_job.state = 'waiting' AND v_job.reason = p_reason THEN
        RETURN;
    END IF;
    UPDATE ppt.job SET state = 'waiting', reason = p_reason WHERE id = p_job;
END $$;

CREATE FUNCTION ppt.queue_refuse(p_epoch bigint, p_job bigint, p_reason text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_job ppt.job;
BEGIN
    PERFORM ppt.fence(p_epoch);
    v_job := ppt.job_lock(p_job);
    IF v_job.state = 'refused' AND v_job.reason = p_reason THEN
        RETURN;
    END IF;
    UPDATE ppt.job SET state = 'refused', reason = p_reason,
        ended_at = clock_timestamp() WHERE id = p_job;
END $$;

CREATE FUNCTION ppt.queue_start(p_epoch bigint, p_job bigint, p_directory text,
                                p_reason text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_job ppt.job;
BEGIN
    PERFORM ppt.fence(p_epoch);
    v_job := ppt.job_lock(p_job);
    UPDATE ppt.job SET state = 'running', reason = coalesce(p_reason, ''),
        attempt = v_job.attempt + 1, epoch = p_epoch, directory = p_directory,
        started_at = coalesce(v_job.started_at, clock_timestamp()),
        host = NULL, pid = NULL, pid_start_time = NULL
        WHERE id = p_job;
    RETURN v_job.attempt + 1;
END $$;

CREATE FUNCTION ppt.queue_started(p_epoch bigint, p_job bigint, p_attempt bigint,
                                  p_host text, p_pid bigint, p_pid_start_time bigint)
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
    UPDATE ppt.job SET host = p_host, pid = p_pid, pid_start_time = p_pid_start_time
        WHERE id = p_job;
END $$;
