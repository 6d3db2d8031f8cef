/* Who may write the ledger at all, and what can be read out of it; on a real server,
 * through the ledger's C functions. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/scheduler/ledger_fixture.h"

/* ---- the lease ---- */

START_TEST(old_epoch_can_write_nothing)
{
    struct cost cost = world_cost(0.01), zero = world_cost(0);
    struct ledger_lease successor, again;
    struct ledger_verdict verdict;
    enum ledger_answer answer;
    int64_t attempt;
    world_grant(&world, TOP, NULL, 3, 1e-6);
    int64_t admitted = world_admit(&world, LEAF, &cost, &answer);
    int64_t fresh = world_submit(&world, LEAF);
    FAILS(PPT_ESTATE,
          ledger_lease_acquire(world.scheduler, "second", 60, &successor, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "test"));

    OK(ledger_lease_renew(world.scheduler, &world.lease, 1, &err));
    sleep(2);
    /* run out, but nobody has taken it: still the only writer */
    OK(ledger_lease_renew(world.scheduler, &world.lease, 1, &err));
    sleep(2);
    OK(ledger_lease_acquire(world.scheduler, "second", 60, &successor, &err));
    ck_assert_int_gt(successor.epoch, world.lease.epoch);

    struct ledger_request request = world_request(fresh, &cost);
    struct queue_outcome outcome = {.state = QUEUE_CANCELLED, .spent = zero};
    struct db *db = world.scheduler;
    struct ledger_lease *old = &world.lease;
    FAILS(PPT_ESTATE, ledger_lease_renew(db, old, 60, &err));
    FAILS(PPT_ESTATE, ledger_reserve(db, old, &request, &verdict, &err));
    FAILS(PPT_ESTATE, ledger_settle(db, old, admitted, &zero, &err));
    FAILS(PPT_ESTATE, queue_hold(db, old, fresh, "x", &err));
    FAILS(PPT_ESTATE, queue_refuse(db, old, fresh, "x", PPT_EBUDGET, &err));
    FAILS(PPT_ESTATE, queue_start(db, old, admitted, "/d", "", &attempt, &err));
    FAILS(PPT_ESTATE, queue_started(db, old, admitted, 1, "h", 1, 1, &err));
    FAILS(PPT_ESTATE, queue_slurm(db, old, admitted, 0,
                                  &(struct slurm_job){1, "PENDING", ""}, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "lease"));
    FAILS(PPT_ESTATE, queue_finish(db, old, admitted, &outcome, &err));
    OK(ledger_lease_release(db, old, &err)); /* not its to give */
    ck_assert_int_eq(state_of(admitted), QUEUE_ADMITTED);
    ck_assert_int_eq(state_of(fresh), QUEUE_SUBMITTED);

    /* the same holder takes over from itself at once: it was restarted */
    OK(ledger_lease_acquire(db, "second", 60, &again, &err));
    ck_assert_int_eq(again.epoch, successor.epoch + 1);
    FAILS(PPT_ESTATE, ledger_reserve(db, &successor, &request, &verdict, &err));
    OK(ledger_lease_release(db, &again, &err));
    FAILS(PPT_ESTATE, ledger_reserve(db, &again, &request, &verdict, &err));
    OK(ledger_lease_acquire(db, "third", 60, &successor, &err));
    FAILS(PPT_ERANGE, ledger_lease_acquire(db, "", 60, &successor, &err));
    FAILS(PPT_ERANGE, ledger_lease_acquire(db, "third", 0, &successor, &err));
}
END_TEST

START_TEST(only_read_committed_writes)
{
    struct cost cost = world_cost(0.01);
    struct ledger_verdict verdict;
    enum queue_state state;
    world_grant(&world, TOP, NULL, 3, 1e-6);
    int64_t id = world_submit(&world, LEAF);
    struct ledger_request request = world_request(id, &cost);
    struct ledger_grant grant = {
        .account = TOP, .epsilon = 4, .delta = 1e-6, .reason = ""};
    const char *level = "SET default_transaction_isolation = 'repeatable read'";
    OK(db_script(world.scheduler, level, &err));
    OK(db_script(world.officer, level, &err));
    FAILS(PPT_ESTATE,
          ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
    FAILS(PPT_ESTATE, ledger_grant(world.officer, &grant, &err));
    FAILS(PPT_ESTATE, queue_cancel(world.officer, id, "", &state, &err));
}
END_TEST

/* ---- reading ---- */

START_TEST(preview_is_what_reserve_would_say)
{
    struct cost small = world_cost(0.001), large = world_cost(0.5);
    struct ledger_verdict verdict;
    world_grant(&world, TOP, NULL, 1, 1e-6);
    struct ledger_request request = world_request(0, &small);
    OK(ledger_preview(world.alice, LEAF, WORLD_DATASET, &request, &verdict, &err));
    ck_assert_int_eq(verdict.answer, LEDGER_ADMITTED);
    request.cost = large;
    OK(ledger_preview(world.alice, LEAF, WORLD_DATASET, &request, &verdict, &err));
    ck_assert_int_eq(verdict.answer, LEDGER_REFUSED);
    ck_assert_str_eq(verdict.pot.account, TOP);
    FAILS(PPT_EPERM,
          ledger_preview(world.bob, LEAF, WORLD_DATASET, &request, &verdict, &err));
    FAILS(PPT_ENOTFOUND,
          ledger_preview(world.alice, "x", WORLD_DATASET, &request, &verdict, &err));
    FAILS(PPT_ENOTFOUND,
          ledger_preview(world.alice, LEAF, "x", &request, &verdict, &err));
    ck_assert_int_eq(count("SELECT count(*) FROM ppt.ledger_entry"), 0);
    ck_assert_int_eq(find_pot(TOP, "").reserved[3], 0);
}
END_TEST

START_TEST(show_is_a_tree)
{
    struct ledger_pots pots;
    const char *const accounts[] = {
        "acme", "acme", "acme/research", LEAF, "acme/sales", "acme-x", ""};
    OK(ledger_account_create(world.officer, "acme-x", &err));
    world_grant(&world, TOP, NULL, 3, 1e-6);
    world_grant(&world, TOP, WORLD_DATASET, 2, 1e-6);
    world_grant(&world, LEAF, NULL, 1, 1e-6);
    OK(ledger_show(world.officer, NULL, &pots, &err));
    ck_assert_int_eq(pots.n, 7);
    for (int i = 0; i < pots.n; i++)
        ck_assert_str_eq(pots.pots[i].account, accounts[i]);
    ck_assert_str_eq(pots.pots[0].dataset, "");
    ck_assert_str_eq(pots.pots[1].dataset, WORLD_DATASET);
    ck_assert(!pots.pots[2].has_limit);
    ck_assert_str_eq(pots.pots[3].granted_by, "officer");
    ck_assert_int_gt(pots.pots[3].granted_at_s, 1700000000);
    ledger_pots_free(&pots);

    OK(ledger_show(world.officer, "acme/research", &pots, &err));
    ck_assert_int_eq(pots.n, 2);
    ledger_pots_free(&pots);
    FAILS(PPT_ENOTFOUND, ledger_show(world.officer, "acme/re", &pots, &err));

    OK(ledger_path(world.alice, LEAF, WORLD_DATASET, &pots, &err));
    ck_assert_int_eq(pots.n, 4);
    ck_assert_str_eq(pots.pots[0].account, TOP);
    ck_assert_str_eq(pots.pots[0].dataset, "");
    ck_assert_str_eq(pots.pots[1].dataset, WORLD_DATASET);
    ck_assert_str_eq(pots.pots[2].account, LEAF);
    ck_assert_str_eq(pots.pots[3].account, "");
    ledger_pots_free(&pots);
}
END_TEST

START_TEST(history_has_every_grant_and_entry)
{
    struct cost cost = world_cost(0.01), spent = world_cost(0.004);
    const char *const what[] = {"grant", "grant", "reserve", "spend", "release"};
    struct ledger_events events;
    enum ledger_answer answer;
    world_grant(&world, TOP, NULL, 3, 1e-6);
    int64_t id = world_admit(&world, LEAF, &cost, &answer);
    world_end(&world, id, &spent);
    OK(ledger_history(world.officer, NULL, NULL, 0, &events, &err));
    ck_assert_int_eq(events.n, 5);
    for (int i = 0; i < 5; i++)
        ck_assert_str_eq(events.events[i].what, what[i]);
    ck_assert_str_eq(events.events[1].account, TOP);
    ck_assert_str_eq(events.events[1].login, "officer");
    ck_assert_double_eq(events.events[1].epsilon, 3);
    ck_assert_str_eq(events.events[2].login, "alice");
    ck_assert_int_eq(events.events[2].job_id, id);
    ck_assert_mem_eq(events.events[3].cost.rho, spent.rho, sizeof spent.rho);
    ledger_events_free(&events);
    OK(ledger_history(world.officer, LEAF, WORLD_DATASET, 2, &events, &err));
    ck_assert_int_eq(events.n, 2);
    ck_assert_str_eq(events.events[0].what, "spend");
    ledger_events_free(&events);
    OK(ledger_history(world.bob, LEAF, NULL, 0, &events, &err));
    ck_assert_int_eq(events.n, 0);
    ledger_events_free(&events);
}
END_TEST

START_TEST(check_finds_what_was_tampered_with)
{
    const char *const deeds[] = {
        "UPDATE ppt.pot_balance SET spent = ppt.vec_zero() WHERE pot_id = 2",
        "UPDATE ppt.pot_balance SET reserved[7] = reserved[7] - 1 WHERE pot_id = 1",
        "UPDATE ppt.pot_balance SET spent_delta = 1 WHERE pot_id = 1",
        "ALTER TABLE ppt.ledger_entry DISABLE TRIGGER ALL;"
        "DELETE FROM ppt.ledger_entry WHERE kind = 'release'",
        "ALTER TABLE ppt.ledger_entry DISABLE TRIGGER ALL;"
        "UPDATE ppt.ledger_entry SET rho[1] = rho[1] - 1 WHERE kind = 'spend'",
        "ALTER TABLE ppt.job DISABLE TRIGGER ALL;"
        "UPDATE ppt.job SET state = 'done' WHERE state = 'admitted'",
        "ALTER TABLE ppt.budget_limit DISABLE TRIGGER ALL;"
        "UPDATE ppt.budget_limit SET caps = array_fill(0::bigint, ARRAY[128])",
    };
    struct cost cost = world_cost(0.01), spent = world_cost(0.004);
    enum ledger_answer answer;
    world_grant(&world, TOP, NULL, 3, 1e-6);
    int64_t id = world_admit(&world, LEAF, &cost, &answer);
    world_end(&world, id, &spent);
    world_admit(&world, LEAF, &cost, &answer);
    world_check(&world);
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        int n_faults = 0;
        OK(db_begin(world.root, &err));
        OK(db_script(world.root, deeds[i], &err));
        OK(ledger_check(world.root, &n_faults, &err));
        ck_assert_msg(n_faults > 0, "not found: %s", deeds[i]);
        ck_assert(err.detail[0] != 0);
        db_rollback(world.root);
    }
}
END_TEST

START_TEST(history_is_never_changed)
{
    const char *const tables[] = {"account",   "member_event", "dataset",
                                  "pot",       "budget_limit", "job_move",
                                  "job_state", "ledger_entry", "renyi_order",
                                  "migration", "job_event"};
    /* any column will do for an update */
    const char *const deeds[] = {
        "DO $$ DECLARE c text; BEGIN SELECT attname INTO c FROM pg_attribute"
        " WHERE attrelid = 'ppt.%1$s'::regclass AND attnum > 0 AND attidentity = ''"
        " LIMIT 1; EXECUTE format('UPDATE ppt.%1$s SET %%1$I = %%1$I', c); END $$",
        "DELETE FROM ppt.%1$s", "TRUNCATE ppt.%1$s CASCADE"};
    struct cost cost = world_cost(0.01);
    enum ledger_answer answer;
    char sql[512];
    world_grant(&world, TOP, NULL, 3, 1e-6);
    world_admit(&world, LEAF, &cost, &answer);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        for (size_t d = 0; d < 3; d++) {
            snprintf(sql, sizeof sql, deeds[d], tables[i]);
            ck_assert_msg(db_script(world.root, sql, &err) == -PPT_EPERM, "%s: %s", sql,
                          err.text);
        }
    }
    FAILS(PPT_EPERM, db_script(world.root, "DELETE FROM ppt.job", &err));
    FAILS(PPT_EPERM, db_script(world.root, "TRUNCATE ppt.job CASCADE", &err));
}
END_TEST

START_TEST(accounts_form_a_tree)
{
    const char *const bad[] = {"",    "/",  "a/",      "a//b",    "-a",
                               "a b", "a*", "acme/\n", "\xc3\xa4"};
    char path[64] = "d";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_lt(ledger_account_create(world.officer, bad[i], &err), 0);
    FAILS(PPT_EEXISTS, ledger_account_create(world.officer, "acme", &err));
    FAILS(PPT_ENOTFOUND, ledger_account_create(world.officer, "no/parent", &err));
    OK(ledger_account_create(world.officer, path, &err));
    for (int depth = 2; depth <= 16; depth++) {
        strcat(path, "/d");
        OK(ledger_account_create(world.officer, path, &err));
    }
    strcat(path, "/d");
    FAILS(PPT_ERANGE, ledger_account_create(world.officer, path, &err));
    ck_assert_int_eq(count("SELECT count(*) FROM ppt.account WHERE name = 'd'"), 16);
}
END_TEST

START_TEST(data_sets_come_back_as_registered)
{
    struct ledger_dataset dataset = {.name = "faces",
                                     .file = "/data/faces.h5",
                                     .manifest = (char[]){"name: faces\n# \xc3\xa4\n"},
                                     .unit = UNIT_USER,
                                     .relation = RELATION_REPLACE_ONE};
    struct ledger_dataset found;
    OK(ledger_dataset_add(world.officer, &dataset, 5, 1e-6, NULL, "test", &err));
    FAILS(PPT_EEXISTS,
          ledger_dataset_add(world.officer, &dataset, 5, 1e-6, NULL, "test", &err));
    OK(ledger_dataset_find(world.alice, "faces", &found, &err));
    ck_assert_str_eq(found.manifest, dataset.manifest);
    ck_assert_str_eq(found.file, dataset.file);
    ck_assert_int_eq(found.unit, UNIT_USER);
    ck_assert_int_eq(found.relation, RELATION_REPLACE_ONE);
    ck_assert_str_eq(
        found.manifest_sha256,
        "4deee1a6a631d3ed0ace61e19fe10a19e38f95f100dd4266c9355fb126e1167c");
    ledger_dataset_free(&found);
    FAILS(PPT_ENOTFOUND, ledger_dataset_find(world.alice, "masks", &found, &err));
    snprintf(dataset.name, sizeof dataset.name, "masks");
    snprintf(dataset.file, sizeof dataset.file, "relative.h5");
    FAILS(PPT_ERANGE,
          ledger_dataset_add(world.officer, &dataset, 5, 1e-6, NULL, "test", &err));
    snprintf(dataset.file, sizeof dataset.file, "/data/masks.h5");
    FAILS(PPT_ERANGE, /* its limit is refused, so nothing is registered */
          ledger_dataset_add(world.officer, &dataset, 0, 1e-6, NULL, "test", &err));
    FAILS(PPT_ENOTFOUND, ledger_dataset_find(world.alice, "masks", &found, &err));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        old_epoch_can_write_nothing,       only_read_committed_writes,
        preview_is_what_reserve_would_say, show_is_a_tree,
        history_has_every_grant_and_entry, check_finds_what_was_tampered_with,
        history_is_never_changed,          accounts_form_a_tree,
        data_sets_come_back_as_registered,
    };
    return ledger_fixture_run("ledger_views", tests, sizeof tests / sizeof *tests);
}
