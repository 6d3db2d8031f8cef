-- What each role may see and do: views, row-level security, grants.

SET LOCAL ROLE ppt_owner;

-- ---- views (they run with the rights of whoever reads them) ----

CREATE VIEW ppt.queue WITH (security_invoker = true) AS
    SELECT j.id, j.name, j.spec_sha256, j.spec, a.path AS account, d.name AS dataset,
           j.submitted_by::text AS submitted_by, j.state, j.reason, j.cancel_requested,
           j.submitted_at, j.admitted_at, j.started_at, j.ended_at, j.kind, j.is_private,
           j.epsilon, j.delta, j.noise_multiplier, j.sample_rate, j.n_steps, j.priority,
           j.n_ranks, j.n_cores, j.memory_bytes, j.time_limit_s, j.attempt, j.epoch,
           j.directory, j.host, j.pid, j.pid_start_time, j.error_code, j.epsilon_spent,
           j.n_steps_done, j.test_accuracy, j.wall_s, j.model, j.account_id
    FROM ppt.job j
    JOIN ppt.account a ON a.id = j.account_id
    JOIN ppt.dataset d ON d.id = j.dataset_id;

-- Core seconds an account has had of late: what ran a week ago counts half. By now(),
-- which is one moment for the whole query.
CREATE FUNCTION ppt.recent_core_s(p_account bigint) RETURNS float8
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(
        extract(epoch FROM greatest(coalesce(ended_at, now()) - started_at,
                                    interval '0'))::float8
        * coalesce(n_cores, 1)
        * 0.5::float8 ^ (extract(epoch FROM now() - coalesce(ended_at, now()))::float8
                         / 604800)), 0)
    FROM ppt.job
    WHERE account_id = p_account AND started_at IS NOT NULL
      AND (ended_at IS NULL OR ended_at > now() - interval '8 weeks')
$$;

-- Admitted jobs as they should start: priority, then the account that has had least,
-- then arrival.
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

-- Grants and entries in one list.
CREATE VIEW ppt.history WITH (security_invoker = true) AS
    SELECT l.granted_at AS at, 'grant' AS what, coalesce(a.path, '') AS account,
           coalesce(d.name, '') AS dataset, l.granted_by::text AS login,
           NULL::bigint AS job_id, '' AS job_name, l.reason, l.epsilon, l.delta,
           p.unit::text AS unit, p.relation::text AS relation, NULL::bigint[] AS rho,
           l.delta_own AS own_delta, l.id AS row_id
    FROM ppt.budget_limit l
    JOIN ppt.pot p ON p.id = l.pot_id
    LEFT JOIN ppt.account a ON a.id = p.account_id
    LEFT JOIN ppt.dataset d ON d.id = p.dataset_id
    UNION ALL
    SELECT e.at, e.kind, a.path, d.name, j.submitted_by::text, j.id, j.name, '', NULL,
           NULL, e.unit::text, e.relation::text, e.rho, e.delta, e.id
    FROM ppt.ledger_entry e
    JOIN ppt.job j ON j.id = e.job_id
    JOIN ppt.account a ON a.id = j.account_id
    JOIN ppt.dataset d ON d.id = j.dataset_id;

-- ---- rows ----

-- May this submitter see the account's budget? Those above his own (they limit him),
-- those below, and those where he has submitted a job.
CREATE FUNCTION ppt.sees_account(p_account bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM ppt.account_member m
                   JOIN ppt.account mine ON mine.id = m.account_id
                   JOIN ppt.account a ON mine.id = ANY (a.lineage)
                                      OR a.id = ANY (mine.lineage)
                   WHERE m.login = session_user AND a.id = p_account)
        OR EXISTS (SELECT 1 FROM ppt.job
                   WHERE submitted_by = session_user AND account_id = p_account);
END $$;

DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['account', 'account_member', 'member_event', 'dataset',
                                   'pot', 'budget_limit', 'pot_balance', 'job',
                                   'job_event', 'ledger_entry'] LOOP
        EXECUTE format('ALTER TABLE ppt.%I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format('ALTER TABLE ppt.%I FORCE ROW LEVEL SECURITY', v_table);
        EXECUTE format('CREATE POLICY owner ON ppt.%I TO ppt_owner '
                       'USING (true) WITH CHECK (true)', v_table);
        EXECUTE format('CREATE POLICY staff ON ppt.%I FOR SELECT '
                       'TO ppt_officer, ppt_scheduler, ppt_reader USING (true)', v_table);
        EXECUTE format('GRANT SELECT ON ppt.%I TO ppt_officer, ppt_scheduler, ppt_reader',
                       v_table);
    END LOOP;
END $$;

-- A submitter: his own jobs and those of accounts he may submit to; the budgets above
-- and below those accounts; data sets and their budgets. session_user cannot be changed
-- by SET ROLE.
CREATE POLICY submitter ON ppt.account FOR SELECT TO ppt_submitter
    USING (ppt.sees_account(id));
CREATE POLICY submitter ON ppt.account_member FOR SELECT TO ppt_submitter
    USING (login = session_user);
CREATE POLICY submitter ON ppt.dataset FOR SELECT TO ppt_submitter USING (true);
CREATE POLICY submitter ON ppt.pot FOR SELECT TO ppt_submitter
    USING (account_id IS NULL OR ppt.sees_account(account_id));
CREATE POLICY submitter ON ppt.budget_limit FOR SELECT TO ppt_submitter
    USING (EXISTS (SELECT 1 FROM ppt.pot p WHERE p.id = pot_id));
CREATE POLICY submitter ON ppt.pot_balance FOR SELECT TO ppt_submitter
    USING (EXISTS (SELECT 1 FROM ppt.pot p WHERE p.id = pot_id));
CREATE POLICY submitter ON ppt.job FOR SELECT TO ppt_submitter
    USING (submitted_by = session_user OR ppt.is_member(account_id));
CREATE POLICY submitter ON ppt.job_event FOR SELECT TO ppt_submitter
    USING (EXISTS (SELECT 1 FROM ppt.job j WHERE j.id = job_id));
CREATE POLICY submitter ON ppt.ledger_entry FOR SELECT TO ppt_submitter
    USING (EXISTS (SELECT 1 FROM ppt.job j WHERE j.id = job_id));
GRANT SELECT ON ppt.account, ppt.account_member, ppt.dataset, ppt.pot, ppt.budget_limit,
    ppt.pot_balance, ppt.job, ppt.job_event, ppt.ledger_entry TO ppt_submitter;

-- Read by everyone with a role: the format, not the contents.
GRANT SELECT ON ppt.migration, ppt.renyi_order, ppt.job_state, ppt.job_move, ppt.budget,
    ppt.queue, ppt.history
    TO ppt_officer, ppt_submitter, ppt_scheduler, ppt_reader;
GRANT SELECT ON ppt.start_order, ppt.lease TO ppt_scheduler, ppt_officer, ppt_reader;

-- ---- deeds: only through functions ----

-- Harmless arithmetic that the views and policies need.
GRANT EXECUTE ON FUNCTION ppt.is_member(bigint), ppt.sees_account(bigint),
    ppt.account_find(text), ppt.dataset_find(text), ppt.pots_of(bigint, bigint),
    ppt.grant_words(text, text)
    TO ppt_officer, ppt_submitter, ppt_scheduler, ppt_reader;
GRANT EXECUTE ON FUNCTION ppt.recent_core_s(bigint)
    TO ppt_officer, ppt_scheduler, ppt_reader;

GRANT EXECUTE ON FUNCTION ppt.account_create(text), ppt.member_add(text, name),
    ppt.member_remove(text, name),
    ppt.ledger_grant(text, text, float8, float8, float8, text, text, text, text),
    ppt.dataset_add(text, text, text, text, text, boolean, float8, float8, text, text)
    TO ppt_officer;

GRANT EXECUTE ON FUNCTION ppt.queue_submit(text, text, text, text, text)
    TO ppt_submitter;
GRANT EXECUTE ON FUNCTION ppt.queue_cancel(bigint, text)
    TO ppt_submitter, ppt_officer, ppt_scheduler;
GRANT EXECUTE ON FUNCTION
    ppt.ledger_preview(text, text, boolean, text, text, bigint[], bigint)
    TO ppt_submitter, ppt_officer, ppt_scheduler, ppt_reader;
GRANT EXECUTE ON FUNCTION ppt.ledger_check() TO ppt_officer, ppt_scheduler, ppt_reader;

GRANT EXECUTE ON FUNCTION ppt.lease_acquire(text, bigint),
    ppt.lease_renew(bigint, bigint), ppt.lease_release(bigint),
    ppt.ledger_reserve(bigint, bigint, boolean, text, text, bigint[], bigint, float8,
                       float8, float8, float8, bigint, text, bigint, bigint, bigint,
                       bigint, bigint),
    ppt.ledger_settle(bigint, bigint, text, text, bigint[], bigint),
    ppt.queue_hold(bigint, bigint, text), ppt.queue_refuse(bigint, bigint, text),
    ppt.queue_start(bigint, bigint, text, text),
    ppt.queue_started(bigint, bigint, bigint, text, bigint, bigint),
    ppt.queue_finish(bigint, bigint, text, int, text, text, text, bigint[], bigint,
                     float8, bigint, float8, float8, text)
    TO ppt_scheduler;
