/* Limits: which must be there, and what grants may say; on a real server, through the
 * ledger's C functions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/scheduler/ledger_fixture.h"

/* ---- what must be there ---- */

START_TEST(limits_that_must_exist)
{
    struct cost cost = world_cost(0.001);
    struct ledger_dataset public = {.name = "open",
                                    .file = "/data/open.h5",
                                    .manifest = (char[]){"name: open\n"},
                                    .is_public = true};
    int64_t id = world_submit(&world, LEAF), open_id;
    struct ledger_verdict verdict = reserve(id, &cost);
    ck_assert_int_eq(verdict.answer, LEDGER_REFUSED);
    ck_assert(!verdict.has_pot);
    ck_assert_ptr_nonnull(strstr(verdict.reason, "top account"));

    world_grant(&world, LEAF, NULL, 3, 1e-6); /* a quota below is no guarantee */
    ck_assert_int_eq(reserve(id, &cost).answer, LEDGER_REFUSED);
    world_grant(&world, TOP, WORLD_DATASET, 3, 1e-6);
    ck_assert_int_eq(reserve(id, &cost).answer, LEDGER_ADMITTED);

    OK(ledger_dataset_add(world.officer, &public, 0, 0, NULL, "no limit", &err));
    OK(queue_submit(world.alice, "o", LEAF, "open", "{}", "o", &open_id, &err));
    verdict = reserve(open_id, &cost);
    ck_assert_int_eq(verdict.answer, LEDGER_REFUSED);
    ck_assert_ptr_nonnull(strstr(verdict.reason, "no limit over all accounts"));
}
END_TEST

START_TEST(jobs_without_privacy_need_public_data)
{
    struct cost cost = world_cost(0.001);
    struct ledger_dataset public = {.name = "open",
                                    .file = "/data/open.h5",
                                    .manifest = (char[]){"name: open\n"},
                                    .is_public = true};
    struct ledger_verdict verdict;
    int64_t free_id, paid_id;
    world_grant(&world, TOP, NULL, 3, 1e-6);
    OK(ledger_dataset_add(world.officer, &public, 5, 1e-6, NULL, "test", &err));
    OK(queue_submit(world.alice, "f", LEAF, "open", "{}", "f", &free_id, &err));
    OK(queue_submit(world.alice, "p", LEAF, "open", "{}", "p", &paid_id, &err));

    struct ledger_request request = world_request(world_submit(&world, LEAF), &cost);
    request.is_private = false;
    OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
    ck_assert_int_eq(verdict.answer, LEDGER_REFUSED);
    ck_assert_ptr_nonnull(strstr(verdict.reason, "not public"));

    request.job_id = free_id;
    for (int i = 0; i < 2; i++) { /* again: the same answer */
        OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
        ck_assert_int_eq(verdict.answer, LEDGER_ADMITTED);
    }
    ck_assert_int_eq(count("SELECT count(*) FROM ppt.ledger_entry"), 0);
    int64_t attempt;
    OK(queue_start(world.scheduler, &world.lease, free_id, "/d", "", &attempt, &err));
    struct cost zero = world_cost(0);
    world_end(&world, free_id, &zero);

    ck_assert_int_eq(reserve(paid_id, &cost).answer, LEDGER_ADMITTED);
    ck_assert_mem_eq(find_pot("", "open").reserved, cost.rho, sizeof cost.rho);
}
END_TEST

START_TEST(units_are_never_added)
{
    struct cost cost = world_cost(0.001), user = cost, replace = cost;
    struct ledger_grant by_user = {.account = TOP,
                                   .epsilon = 3,
                                   .delta = 1e-6,
                                   .unit = UNIT_USER,
                                   .relation = RELATION_ADD_REMOVE,
                                   .reason = "test"};
    user.unit = UNIT_USER;
    replace.relation = RELATION_REPLACE_ONE;
    world_grant(&world, MIDDLE, NULL, 3, 1e-6);
    OK(ledger_grant(world.officer, &by_user, &err));
    struct ledger_verdict verdict = reserve(world_submit(&world, LEAF), &cost);
    ck_assert_int_eq(verdict.answer, LEDGER_REFUSED);
    ck_assert_ptr_nonnull(strstr(verdict.reason, "counts by user, add_remove"));
    ck_assert_int_eq(reserve(world_submit(&world, LEAF), &user).answer, LEDGER_REFUSED);
    ck_assert_int_eq(reserve(world_submit(&world, LEAF), &replace).answer,
                     LEDGER_REFUSED);

    by_user.account = MIDDLE; /* counts by example already */
    FAILS(PPT_ERANGE, ledger_grant(world.officer, &by_user, &err));
    /* A pot of one data set takes the data set's unit, whatever is asked for. */
    by_user.dataset = WORLD_DATASET;
    OK(ledger_grant(world.officer, &by_user, &err));
    ck_assert_int_eq(find_pot(MIDDLE, WORLD_DATASET).unit, UNIT_EXAMPLE);
}
END_TEST

/* ---- grants ---- */

START_TEST(limits_rise_and_fall_within_reason)
{
    struct cost cost = world_cost(0.05);
    enum ledger_answer answer;
    struct ledger_grant less = {
        .account = TOP, .epsilon = 0.5, .delta = 1e-6, .reason = "less"};
    world_grant(&world, TOP, NULL, 3, 1e-6);
    struct ledger_pot before = find_pot(TOP, "");
    int64_t id = world_admit(&world, LEAF, &cost, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);
    FAILS(PPT_EBUDGET, ledger_grant(world.officer, &less, &err));
    ck_assert_double_eq(find_pot(TOP, "").epsilon, 3);

    world_grant(&world, TOP, NULL, 5, 1e-5);
    struct ledger_pot after = find_pot(TOP, "");
    ck_assert_double_eq(after.epsilon, 5);
    ck_assert_mem_eq(after.weights, before.weights, sizeof before.weights);
    ck_assert_mem_eq(after.reserved, cost.rho, sizeof cost.rho);
    for (int i = 0; i < COST_N_ORDERS; i++)
        ck_assert(after.caps[i] > before.caps[i] || after.caps[i] == -1);

    world_end(&world, id, &cost); /* spent stays spent */
    FAILS(PPT_EBUDGET, ledger_grant(world.officer, &less, &err));
    less.epsilon = 2;
    OK(ledger_grant(world.officer, &less, &err));
    ck_assert_int_eq(count("SELECT count(*) FROM ppt.budget_limit l JOIN ppt.pot p"
                           " ON p.id = pot_id WHERE account_id IS NOT NULL"),
                     3);
}
END_TEST

START_TEST(limits_that_make_no_sense)
{
    const double bad[][3] = {
        {0, 1e-6, 0},     {-1, 1e-6, 0},  {NAN, 1e-6, 0},  {INFINITY, 1e-6, 0},
        {2e6, 1e-6, 0},   {1, 0, 0},      {1, 1, 0},       {1, -1e-6, 0},
        {1, NAN, 0},      {1, 1e-40, 0},  {1, 1e-6, 1e-6}, {1, 1e-6, 2e-6},
        {1, 1e-6, -1e-9}, {1, 1e-6, NAN}, {1e-4, 1e-6, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ledger_grant grant = {.account = TOP,
                                     .epsilon = bad[i][0],
                                     .delta = bad[i][1],
                                     .delta_own = bad[i][2],
                                     .reason = ""};
        ck_assert_msg(ledger_grant(world.officer, &grant, &err) == -PPT_ERANGE,
                      "case %zu: %s", i, err.text);
    }
    struct ledger_grant nobody = {.epsilon = 1, .delta = 1e-6, .reason = ""};
    FAILS(PPT_ERANGE, ledger_grant(world.officer, &nobody, &err));
    nobody.account = "nowhere";
    FAILS(PPT_ENOTFOUND, ledger_grant(world.officer, &nobody, &err));
    nobody.account = TOP;
    nobody.dataset = "nothing";
    FAILS(PPT_ENOTFOUND, ledger_grant(world.officer, &nobody, &err));
    ck_assert_int_eq(count("SELECT count(*) FROM ppt.pot"), 1); /* digits' own */
}
END_TEST

START_TEST(deltas_of_jobs_have_their_own_purse)
{
    struct cost cost = world_cost(0.001);
    enum ledger_answer answer;
    struct ledger_grant grant = {.account = TOP,
                                 .epsilon = 3,
                                 .delta = 1e-6,
                                 .delta_own = 1e-8,
                                 .reason = "test"};
    OK(ledger_grant(world.officer, &grant, &err));
    struct ledger_pot top = find_pot(TOP, "");
    ck_assert_int_eq(top.delta_own, (int64_t)floor(1e-8 * COST_DELTA_PER_ONE));
    cost.delta = top.delta_own / 2;
    struct ledger_verdict verdict = reserve(world_submit(&world, LEAF), &cost);
    ck_assert_int_eq(verdict.answer, LEDGER_REFUSED); /* digits keeps none */
    ck_assert_str_eq(verdict.pot.dataset, WORLD_DATASET);

    grant.account = NULL;
    grant.dataset = WORLD_DATASET;
    OK(ledger_grant(world.officer, &grant, &err));
    int64_t first = world_admit(&world, LEAF, &cost, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);
    world_admit(&world, LEAF, &cost, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);
    cost.delta = 2; /* one unit may be left over of the halves */
    struct ledger_verdict third = reserve(world_submit(&world, LEAF), &cost);
    ck_assert_int_eq(third.answer, LEDGER_WAIT);
    grant.delta_own = 0.6e-8;
    FAILS(PPT_EBUDGET, ledger_grant(world.officer, &grant, &err));

    struct cost spent = world_cost(0.0005);
    spent.delta = top.delta_own / 4;
    world_end(&world, first, &spent);
    struct ledger_pot after = find_pot(TOP, "");
    ck_assert_int_eq(after.spent_delta, spent.delta);
    ck_assert_int_eq(after.reserved_delta, top.delta_own / 2);
}
END_TEST

START_TEST(own_delta_comes_out_of_delta)
{
    struct ledger_grant grant = {.account = TOP,
                                 .epsilon = 3,
                                 .delta = 1e-6,
                                 .delta_own = 0.5e-6,
                                 .reason = "test"};
    OK(ledger_grant(world.officer, &grant, &err));
    world_grant(&world, MIDDLE, NULL, 3, 0.5e-6);
    struct ledger_pot top = find_pot(TOP, ""), middle = find_pot(MIDDLE, "");
    ck_assert_mem_eq(top.caps, middle.caps, sizeof top.caps);
}
END_TEST

START_TEST(pot_made_later_knows_its_history)
{
    struct cost cost = world_cost(0.01), spent = world_cost(0.004);
    enum ledger_answer answer;
    world_grant(&world, TOP, NULL, 3, 1e-6);
    int64_t first = world_admit(&world, LEAF, &cost, &answer);
    world_end(&world, first, &spent);
    world_admit(&world, LEAF, &cost, &answer);
    world_admit(&world, MIDDLE, &cost, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);

    struct ledger_grant below = {
        .account = LEAF, .epsilon = 0.2, .delta = 1e-6, .reason = "too late"};
    FAILS(PPT_EBUDGET, ledger_grant(world.officer, &below, &err));
    ck_assert_int_eq(count("SELECT count(*) FROM ppt.pot"), 2);

    world_grant(&world, LEAF, NULL, 3, 1e-6);
    world_grant(&world, MIDDLE, WORLD_DATASET, 3, 1e-6);
    struct ledger_pot leaf = find_pot(LEAF, "");
    struct ledger_pot middle = find_pot(MIDDLE, WORLD_DATASET);
    ck_assert_mem_eq(leaf.spent, spent.rho, sizeof spent.rho);
    ck_assert_mem_eq(leaf.reserved, cost.rho, sizeof cost.rho);
    ck_assert_mem_eq(middle.spent, spent.rho, sizeof spent.rho);
    ck_assert_int_eq(middle.reserved[9], 2 * cost.rho[9]);

    /* a limit by user over jobs that were charged by example */
    struct ledger_grant by_user = {
        .account = LEAF, .epsilon = 9, .delta = 1e-6, .unit = UNIT_USER, .reason = ""};
    FAILS(PPT_ERANGE, ledger_grant(world.officer, &by_user, &err));
    OK(ledger_account_create(world.officer, "other", &err));
    by_user.account = "other"; /* no history: fine */
    OK(ledger_grant(world.officer, &by_user, &err));
}
END_TEST

START_TEST(pot_by_another_unit_than_its_history_is_refused)
{
    struct cost cost = world_cost(0.01);
    enum ledger_answer answer;
    struct ledger_grant by_user = {.account = MIDDLE,
                                   .epsilon = 9,
                                   .delta = 1e-6,
                                   .unit = UNIT_USER,
                                   .reason = ""};
    world_grant(&world, TOP, NULL, 3, 1e-6);
    world_admit(&world, LEAF, &cost, &answer);
    FAILS(PPT_ERANGE, ledger_grant(world.officer, &by_user, &err));
    ck_assert_int_eq(count("SELECT count(*) FROM ppt.pot"), 2);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        limits_that_must_exist,
        jobs_without_privacy_need_public_data,
        units_are_never_added,
        limits_rise_and_fall_within_reason,
        limits_that_make_no_sense,
        deltas_of_jobs_have_their_own_purse,
        own_delta_comes_out_of_delta,
        pot_made_later_knows_its_history,
        pot_by_another_unit_than_its_history_is_refused,
    };
    return ledger_fixture_run("ledger_limits", tests, sizeof tests / sizeof *tests);
}
