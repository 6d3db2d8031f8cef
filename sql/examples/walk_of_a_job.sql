-- The walk of one job's money, by hand in psql: granted, reserved, partly spent, the rest
-- released; then one that does not fit. (People use ppt-budget and ppt-submit, the
-- scheduler prices jobs; here a cost is the same 2^37 units, 0.125 nat, at all 128 orders.)
\set SHOW_CONTEXT never
\pset footer off

\connect - officer
SELECT ppt.account_create('acme'), ppt.account_create('acme/research');
SELECT ppt.member_add('acme/research', 'alice');
SELECT ppt.dataset_add('digits', '/data/digits.h5', 'name: digits', 'example',
                       'add_remove', false, 10, 1e-6, 'contract 7');
SELECT ppt.ledger_grant('acme', NULL, 1, 1e-6, 0, 'example', 'add_remove', 'this year');

\connect - alice
SELECT ppt.queue_submit('first', 'acme/research', 'digits', '{}', 'token-1');
-- sent again because the answer was lost: the same job
SELECT ppt.queue_submit('first', 'acme/research', 'digits', '{}', 'token-1');
-- not a member
SELECT ppt.queue_submit('first', 'acme', 'digits', '{}', 'token-2');
-- not the scheduler
SELECT ppt.lease_acquire('alice', 60);

\connect - scheduler
SELECT ppt.lease_acquire('node1:/var/lib/ppt', 60) AS epoch \gset
SELECT answer, reason FROM ppt.ledger_reserve(:epoch, 1, true, 'example', 'add_remove',
    array_fill(137438953472, ARRAY[128]), 0,
    0.9, 1e-6, 1.1, 0.01, 1000, 'dp', 0, 2, 2, 1 << 30, 3600);
SELECT ppt.queue_start(:epoch, 1, '/var/lib/ppt/jobs/1', '') AS attempt;
-- it stopped early: a quarter was used
SELECT ppt.queue_finish(:epoch, 1, 'done', 0, '', 'example', 'add_remove',
    array_fill(34359738368, ARRAY[128]), 0, 0.4, 250, 0.97, 12.5, 'model.h5');
SELECT kind, rho[1], delta FROM ppt.ledger_entry ORDER BY id;
SELECT account, dataset, epsilon, delta, reserved[70], spent[70], caps[70]
    FROM ppt.budget ORDER BY pot_id;

-- a job that asks for more than is left at every order
\connect - alice
SELECT ppt.queue_submit('second', 'acme/research', 'digits', '{}', 'token-3');
\connect - scheduler
SELECT answer, reason, hint, (pot).account FROM ppt.ledger_reserve(:epoch, 2, true,
    'example', 'add_remove', array_fill(1099511627776, ARRAY[128]), 0,
    5, 1e-6, 0.5, 0.01, 1000, 'dp', 0, 2, 2, 1 << 30, 3600);
SELECT ppt.queue_refuse(:epoch, 2, 'too little budget left');
SELECT id, job_id, login, from_state, to_state, attempt, reason FROM ppt.job_event
    ORDER BY id;
-- every sum agrees with the entries: no rows
SELECT * FROM ppt.ledger_check();

-- nobody changes history, the superuser neither
\connect - :owner
DELETE FROM ppt.ledger_entry;
UPDATE ppt.budget_limit SET epsilon = 100;
