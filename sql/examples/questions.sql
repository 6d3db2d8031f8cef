-- Questions that an officer or an auditor asks, through the views.
\set SHOW_CONTEXT never
\pset footer off
\connect - officer
SELECT ppt.account_create('acme'), ppt.account_create('acme/research'),
       ppt.account_create('acme/sales'), ppt.member_add('acme', 'alice'),
       ppt.dataset_add('digits', '/data/digits.h5', 'name: digits', 'example',
                       'add_remove', false, 10, 1e-6, 'contract 7'),
       ppt.ledger_grant('acme', NULL, 3, 1e-6, 0, 'example', 'add_remove', 'this year'),
       ppt.ledger_grant('acme/sales', 'digits', 1, 1e-6, 0, 'example', 'add_remove', 'trial');
\connect - alice
SELECT ppt.queue_submit('job ' || i, CASE WHEN i % 3 = 0 THEN 'acme/sales'
                        ELSE 'acme/research' END, 'digits', '{}', 'token ' || i)
    FROM generate_series(1, 6) i;
\connect - scheduler
SELECT ppt.lease_acquire('node1:/var/lib/ppt', 60) AS epoch \gset
SELECT j.id, v.answer FROM ppt.job j, LATERAL ppt.ledger_reserve(:epoch, j.id, true,
    'example', 'add_remove', array_fill(34359738368 * j.id, ARRAY[128]), 0,
    0.5, 1e-6, 1.1, 0.01, 1000, 'dp', 0, 2, 2, 1 << 30, 3600) v ORDER BY j.id;
SELECT ppt.queue_start(:epoch, id, '/d', '') FROM generate_series(1::bigint, 3) id;
SELECT ppt.queue_finish(:epoch, id, 'done', 0, '', 'example', 'add_remove',
    array_fill(17179869184 * id, ARRAY[128]), 0, 0.4, 500, NULL, 12.5, '')
    FROM generate_series(1::bigint, 2) id;

\connect - reader
-- How full is each pot, at the order where it has most room?
SELECT coalesce(nullif(account, ''), '(all accounts)') AS account,
       coalesce(nullif(dataset, ''), '(all data)') AS dataset, epsilon, delta,
       round(100 * min((s + r)::numeric / cap), 2) AS used_percent
    FROM ppt.budget, unnest(caps, spent, reserved) AS o(cap, s, r)
    WHERE cap > 0 GROUP BY pot_id, account, dataset, epsilon, delta ORDER BY pot_id;

-- Who reserved and spent, in nats at the order 32?
SELECT account, login, what, count(*),
       round(sum(rho[idx + 1]) / 2::numeric ^ 40, 5) AS nats
    FROM ppt.history, ppt.renyi_order WHERE alpha = 32 AND rho IS NOT NULL
    GROUP BY account, login, what ORDER BY account, login, what;

\connect - officer
-- A limit for jobs of full batches only, and what it may hold.
SELECT ppt.account_create('pilot');
SELECT ppt.ledger_grant('pilot', NULL, 8, 1e-6, 0, 'example', 'add_remove',
                        'full batches only', 'gaussian');
SELECT account, epsilon, delta, currency, caps,
       round(sqrt(caps[1] / 2::numeric ^ 40), 6) AS mu
    FROM ppt.budget WHERE currency = 'gaussian';

\connect - reader
-- Which guarantees were published, by whom and why?
SELECT account, dataset, login, epsilon, delta, reason FROM ppt.history
    WHERE what = 'grant' ORDER BY at;

-- What runs and what may start, and on whose account?
SELECT account, state, count(*), sum(n_ranks) AS ranks FROM ppt.queue
    GROUP BY account, state ORDER BY account, state;

-- Does everything agree?
SELECT count(*) AS faults FROM ppt.ledger_check();
