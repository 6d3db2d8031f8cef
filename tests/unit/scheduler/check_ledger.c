/* Charging: what a job reserves, how the filter judges it, odd amounts, settling; on a
 * real server, through the ledger's C functions. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/scheduler/ledger_fixture.h"

START_TEST(job_is_charged_to_every_pot_on_its_path)
{
    const char *const pots[][2] = {
        {TOP, ""}, {MIDDLE, WORLD_DATASET}, {LEAF, ""}, {"", WORLD_DATASET}};
    struct cost cost = world_cost(0.01), spent = world_cost(0.004);
    enum ledger_answer answer;
    for (int i = 0; i < 3; i++)
        world_grant(&world, pots[i][0], pots[i][1][0] ? pots[i][1] : NULL, 3, 1e-6);
    world_grant(&world, "acme/sales", NULL, 3, 1e-6);

    int64_t id = world_admit(&world, LEAF, &cost, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);
    ck_assert_int_eq(state_of(id), QUEUE_ADMITTED);
    for (int i = 0; i < 4; i++) {
        struct ledger_pot pot = find_pot(pots[i][0], pots[i][1]);
        ck_assert_mem_eq(pot.reserved, cost.rho, sizeof cost.rho);
        ck_assert_int_eq(pot.spent[5], 0);
    }
    world_check(&world);

    world_end(&world, id, &spent);
    for (int i = 0; i < 4; i++) {
        struct ledger_pot pot = find_pot(pots[i][0], pots[i][1]);
        ck_assert_mem_eq(pot.spent, spent.rho, sizeof spent.rho);
        ck_assert_int_eq(pot.reserved[5], 0);
    }
    struct ledger_pot other = find_pot("acme/sales", "");
    ck_assert_int_eq(other.spent[5] + other.reserved[5], 0);
    ck_assert_int_eq(count("SELECT count(*) FROM ppt.ledger_entry"), 3);
}
END_TEST

START_TEST(refusal_writes_nothing_and_names_the_pot)
{
    struct cost cost = world_cost(0.1);
    world_grant(&world, TOP, NULL, 5, 1e-6);
    world_grant(&world, LEAF, WORLD_DATASET, 0.5, 1e-6);
    int64_t id = world_submit(&world, LEAF);
    struct ledger_verdict verdict = reserve(id, &cost);
    ck_assert_int_eq(verdict.answer, LEDGER_REFUSED);
    ck_assert(verdict.has_pot);
    ck_assert_str_eq(verdict.pot.account, LEAF);
    ck_assert_str_eq(verdict.pot.dataset, WORLD_DATASET);
    ck_assert_double_eq(verdict.pot.epsilon, 0.5);
    ck_assert_str_eq(
        verdict.reason,
        "account \"acme/research/vision\" on data set \"digits\" has too "
        "little budget left under its limit of epsilon 0.5 at delta 1e-06");
    ck_assert(verdict.hint[0] != 0);
    ck_assert_int_eq(state_of(id), QUEUE_SUBMITTED);
    ck_assert_int_eq(count("SELECT count(*) FROM ppt.ledger_entry"), 0);
    ck_assert_int_eq(find_pot(TOP, "").reserved[5], 0);
    ck_assert(!ledger_fits(&verdict.pot, &cost));
    /* what the verdict says is left is really what fits */
    struct cost most = all_of(&verdict.pot);
    ck_assert_int_eq(reserve(id, &most).answer, LEDGER_ADMITTED);
}
END_TEST

START_TEST(parent_binds_where_children_are_oversubscribed)
{
    struct cost cost = world_cost(0.01);
    enum ledger_answer answer = LEDGER_ADMITTED;
    world_grant(&world, TOP, NULL, 1, 1e-6);
    world_grant(&world, MIDDLE, NULL, 50, 1e-6);
    world_grant(&world, LEAF, NULL, 50, 1e-6);
    int n = 0;
    while (n < 100 && answer == LEDGER_ADMITTED) {
        world_admit(&world, LEAF, &cost, &answer);
        n += answer == LEDGER_ADMITTED;
    }
    ck_assert_int_eq(answer, LEDGER_WAIT);
    struct ledger_pot top = find_pot(TOP, "");
    int64_t most = 0;
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (top.caps[i] >= 0 && top.caps[i] / cost.rho[i] > most)
            most = top.caps[i] / cost.rho[i];
    ck_assert_int_eq(n, most);
}
END_TEST

START_TEST(waits_only_for_what_others_have_reserved)
{
    struct cost nothing = world_cost(0);
    enum ledger_answer answer;
    world_grant(&world, TOP, NULL, 2, 1e-6);
    struct ledger_pot top = find_pot(TOP, "");
    struct cost all = all_of(&top);
    int64_t first = world_admit(&world, LEAF, &all, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);

    int64_t second = world_submit(&world, MIDDLE);
    struct ledger_verdict verdict = reserve(second, &all);
    ck_assert_int_eq(verdict.answer, LEDGER_WAIT);
    ck_assert_str_eq(verdict.pot.account, TOP);
    OK(queue_hold(world.scheduler, &world.lease, second, verdict.reason, &err));
    ck_assert_int_eq(state_of(second), QUEUE_WAITING);

    struct cost more = all; /* one unit above the cap: never */
    for (int i = 0; i < COST_N_ORDERS; i++)
        more.rho[i] += more.rho[i] < COST_INFINITE;
    ck_assert_int_eq(reserve(second, &more).answer, LEDGER_REFUSED);

    world_end(&world, first, &nothing);
    ck_assert_int_eq(reserve(second, &all).answer, LEDGER_ADMITTED);
    world_end(&world, second, &all);
    struct cost least = world_cost(1e-9);
    ck_assert_int_eq(reserve(world_submit(&world, LEAF), &least).answer,
                     LEDGER_REFUSED);
}
END_TEST

START_TEST(refusal_of_one_pot_goes_before_waiting_for_another)
{
    struct cost cost = world_cost(0.02);
    enum ledger_answer answer;
    world_grant(&world, TOP, NULL, 1, 1e-6);
    struct ledger_pot top = find_pot(TOP, "");
    struct cost all = all_of(&top);
    world_admit(&world, MIDDLE, &all, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);
    world_grant(&world, LEAF, NULL, 0.1, 1e-6);
    struct ledger_verdict verdict = reserve(world_submit(&world, LEAF), &cost);
    ck_assert_int_eq(verdict.answer, LEDGER_REFUSED);
    ck_assert_str_eq(verdict.pot.account, LEAF);
}
END_TEST

/* ---- the weighted filter ---- */

/* The cap of an order that had all of delta to itself. */
static int64_t unweighted_cap(double epsilon, double delta, int order)
{
    double weights[COST_N_ORDERS] = {0};
    int64_t caps[COST_N_ORDERS];
    weights[order] = 1;
    OK(cost_caps(epsilon, delta, weights, caps, &err));
    return caps[order];
}

START_TEST(orders_have_their_own_share_of_delta)
{
    world_grant(&world, TOP, NULL, 3, 1e-6);
    struct ledger_pot top = find_pot(TOP, "");
    double sum = 0;
    for (int i = 0; i < COST_N_ORDERS; i++) {
        sum += top.weights[i];
        int64_t alone = unweighted_cap(3, 1e-6, i);
        if (top.caps[i] < 0)
            continue;
        ck_assert_int_lt(top.caps[i], alone);
        struct cost cost = world_cost(0);
        for (int j = 0; j < COST_N_ORDERS; j++)
            cost.rho[j] = j == i ? alone : COST_INFINITE;
        ck_assert(!ledger_fits(&top, &cost));
        if (i % 16 == 0) { /* the database agrees */
            int64_t id = world_submit(&world, LEAF);
            ck_assert_int_eq(reserve(id, &cost).answer, LEDGER_REFUSED);
        }
    }
    ck_assert_double_le(sum, 1);
    ck_assert_double_gt(sum, 1 - 1e-9);
}
END_TEST

/* Two jobs that together are (10, 1.9939e-7)-DP, yet each branch of the second passes
 * "some order is within its cap" of (10, 1e-7): the rule that other schedulers enforce
 * (design note, B.3). The curves are known at orders 4 and 16. */
START_TEST(adaptive_pair_is_refused)
{
    const double first[2] = {0.0019628, 0.9397675};
    const double second[2][2] = {{7.3153526, 8.2350705}, {5.3751188, 9.3070238}};
    int at[2] = {order_index(4), order_index(16)};
    enum ledger_answer answer;
    world_grant(&world, TOP, NULL, 10, 1e-7);
    struct cost cost = world_cost_at(at[0], first[0]);
    cost.rho[at[1]] = (int64_t)ceil(first[1] * COST_RHO_PER_NAT);
    world_admit(&world, LEAF, &cost, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);

    for (int branch = 0; branch < 2; branch++) {
        bool peers_admit = false;
        struct cost next = world_cost_at(at[0], second[branch][0]);
        next.rho[at[1]] = (int64_t)ceil(second[branch][1] * COST_RHO_PER_NAT);
        for (int i = 0; i < 2; i++)
            peers_admit |= cost.rho[at[i]] + next.rho[at[i]] <=
                           unweighted_cap(10, 1e-7, at[i]) + (int64_t)1e5;
        ck_assert_msg(peers_admit, "branch %d is no counterexample", branch);
        struct ledger_verdict verdict = reserve(world_submit(&world, LEAF), &next);
        ck_assert_int_ne(verdict.answer, LEDGER_ADMITTED);
    }
}
END_TEST

/* ---- odd amounts ---- */

START_TEST(smallest_cost_counts_and_none_is_free)
{
    struct curve curve = {.unit = UNIT_EXAMPLE, .relation = RELATION_ADD_REMOVE};
    struct cost tiny, zero = world_cost(0);
    enum ledger_answer answer;
    for (int i = 0; i < COST_N_ORDERS; i++)
        curve.rho[i] = 4.9e-324;
    OK(cost_from_curve(&curve, 1, &tiny, &err));
    ck_assert_int_eq(tiny.rho[7], 1);

    world_grant(&world, TOP, NULL, 1, 1e-6);
    struct ledger_pot top = find_pot(TOP, "");
    struct cost almost = all_of(&top);
    for (int i = 0; i < COST_N_ORDERS; i++)
        almost.rho[i] -= almost.rho[i] < COST_INFINITE ? 2 : 0;
    world_admit(&world, LEAF, &almost, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);
    for (int i = 0; i < 2; i++) {
        world_admit(&world, LEAF, &tiny, &answer);
        ck_assert_int_eq(answer, LEDGER_ADMITTED);
    }
    world_admit(&world, LEAF, &tiny, &answer);
    ck_assert_int_eq(answer, LEDGER_WAIT);
    world_admit(&world, LEAF, &zero, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);
}
END_TEST

START_TEST(unbounded_cost_saturates_and_is_released)
{
    int at = order_index(8);
    struct cost everywhere = world_cost(0), here = world_cost_at(at, 0.05);
    struct cost nothing = world_cost(0);
    enum ledger_answer answer;
    int64_t jobs[3];
    world_grant(&world, TOP, NULL, 3, 1e-6);
    for (int i = 0; i < COST_N_ORDERS; i++)
        everywhere.rho[i] = COST_INFINITE;
    world_admit(&world, LEAF, &everywhere, &answer);
    ck_assert_int_eq(answer, LEDGER_REFUSED);

    for (int i = 0; i < 3; i++) {
        jobs[i] = world_admit(&world, LEAF, &here, &answer);
        ck_assert_int_eq(answer, LEDGER_ADMITTED);
    }
    struct ledger_pot top = find_pot(TOP, "");
    ck_assert_int_eq(top.reserved[at], 3 * here.rho[at]);
    ck_assert_int_eq(top.reserved[at + 1], COST_INFINITE);
    world_end(&world, jobs[0], &nothing);
    ck_assert_int_eq(find_pot(TOP, "").reserved[at + 1], COST_INFINITE);
    world_check(&world);
    world_end(&world, jobs[1], &nothing);
    world_end(&world, jobs[2], &nothing);
    ck_assert_int_eq(find_pot(TOP, "").reserved[at + 1], 0); /* as good as new */
    world_check(&world);

    int64_t id = world_admit(&world, LEAF, &here, &answer);
    world_end(&world, id, &here);
    top = find_pot(TOP, "");
    ck_assert_int_eq(top.spent[at], here.rho[at]);
    ck_assert_int_eq(top.spent[at + 1], COST_INFINITE); /* for ever */
    ck_assert_int_eq(top.reserved[at + 1], 0);
}
END_TEST

START_TEST(sums_near_the_end_of_the_integers_do_not_wrap)
{
    int at = order_index(8);
    struct cost cost = world_cost_at(at, 0.01);
    enum ledger_answer answer;
    int64_t ids[3];
    world_grant(&world, TOP, NULL, 3, 1e-6);
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (i != at)
            cost.rho[i] = COST_INFINITE / 2;
    for (int i = 0; i < 3; i++) {
        ids[i] = world_admit(&world, LEAF, &cost, &answer);
        ck_assert_int_eq(answer, LEDGER_ADMITTED);
    }
    ck_assert_int_eq(find_pot(TOP, "").reserved[at + 1], COST_INFINITE);
    world_end(&world, ids[0], &cost);
    ck_assert_int_eq(find_pot(TOP, "").reserved[at + 1], COST_INFINITE - 1);
    world_end(&world, ids[1], &cost);
    world_end(&world, ids[2], &cost);
    ck_assert_int_eq(find_pot(TOP, "").spent[at + 1], COST_INFINITE);
}
END_TEST

START_TEST(what_is_no_amount_is_an_error)
{
    /* curve, delta */
    const char *const faults[][2] = {
        {"NULL", "0"},
        {"array_fill(1::bigint, ARRAY[127])", "0"},
        {"array_fill(1::bigint, ARRAY[130])", "0"},
        {"array_fill(1::bigint, ARRAY[128]) || 0::bigint", "0"},
        {"'{}'::bigint[]", "0"},
        {"array_fill(1::bigint, ARRAY[64, 2])", "0"},
        {"array_fill(1::bigint, ARRAY[128], ARRAY[0])", "0"},
        {"array_fill(NULL::bigint, ARRAY[128])", "0"},
        {"array_fill(1::bigint, ARRAY[127]) || ARRAY[NULL::bigint]", "0"},
        {"array_fill(1::bigint, ARRAY[127]) || ARRAY[-1::bigint]", "0"},
        {"array_fill(1::bigint, ARRAY[128])", "-1"},
        {"array_fill(1::bigint, ARRAY[128])", "NULL"},
    };
    world_grant(&world, TOP, NULL, 3, 1e-6);
    int64_t id = world_submit(&world, LEAF);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char sql[512];
        for (int settle = 0; settle < 2; settle++) {
            if (settle)
                snprintf(sql, sizeof sql,
                         "SELECT ppt.ledger_settle(%" PRId64 ", %" PRId64
                         ", 'example', 'add_remove', %s, %s)",
                         world.lease.epoch, id, faults[i][0], faults[i][1]);
            else
                snprintf(sql, sizeof sql,
                         "SELECT ppt.ledger_reserve(%" PRId64 ", %" PRId64
                         ", true, 'example', 'add_remove', %s, %s, 1, 1e-6, 1, 1, 1,"
                         " 'dp', 0, 1, 1, 1, 1)",
                         world.lease.epoch, id, faults[i][0], faults[i][1]);
            ck_assert_msg(db_script(world.scheduler, sql, &err) == -PPT_ERANGE,
                          "%s: %s", sql, err.text);
        }
    }
    ck_assert_int_eq(count("SELECT count(*) FROM ppt.ledger_entry"), 0);
}
END_TEST

/* ---- settle ---- */

START_TEST(settle_is_bounded_and_idempotent)
{
    struct cost cost = world_cost(0.01), half = world_cost(0.005);
    struct cost more = cost, user = half,
                zero = cost_zero(UNIT_EXAMPLE, RELATION_ADD_REMOVE), kept;
    enum ledger_answer answer;
    world_grant(&world, TOP, NULL, 3, 1e-6);
    int64_t id = world_admit(&world, LEAF, &cost, &answer);
    more.rho[100]++;
    FAILS(PPT_ERANGE, ledger_settle(world.scheduler, &world.lease, id, &more, &err));
    more = half;
    more.delta = 1;
    FAILS(PPT_ERANGE, ledger_settle(world.scheduler, &world.lease, id, &more, &err));
    user.unit = UNIT_USER;
    FAILS(PPT_ERANGE, ledger_settle(world.scheduler, &world.lease, id, &user, &err));
    ck_assert_mem_eq(find_pot(TOP, "").reserved, cost.rho, sizeof cost.rho);

    OK(ledger_settle(world.scheduler, &world.lease, id, &half, &err));
    OK(ledger_settle(world.scheduler, &world.lease, id, &half, &err));
    FAILS(PPT_ESTATE, ledger_settle(world.scheduler, &world.lease, id, &cost, &err));
    ck_assert_mem_eq(find_pot(TOP, "").spent, half.rho, sizeof half.rho);
    OK(ledger_reserved(world.scheduler, id, &kept, &err));
    ck_assert_mem_eq(kept.rho, cost.rho, sizeof cost.rho);
    /* a settled job cannot be started */
    int64_t attempt;
    FAILS(PPT_ESTATE,
          queue_start(world.scheduler, &world.lease, id, "/d", "", &attempt, &err));
    world_end(&world, id, &half);

    int64_t unpaid = world_submit(&world, LEAF);
    OK(ledger_settle(world.scheduler, &world.lease, unpaid, &zero, &err));
    FAILS(PPT_ERANGE,
          ledger_settle(world.scheduler, &world.lease, unpaid, &half, &err));
    FAILS(PPT_ENOTFOUND,
          ledger_settle(world.scheduler, &world.lease, 999, &zero, &err));
    OK(ledger_reserved(world.scheduler, unpaid, &kept, &err));
    ck_assert_mem_eq(&kept, &zero, sizeof zero);
}
END_TEST

START_TEST(reserve_asked_again_is_the_same_reservation)
{
    struct cost cost = world_cost(0.01), other = world_cost(0.02);
    struct ledger_verdict verdict;
    world_grant(&world, TOP, NULL, 3, 1e-6);
    int64_t id = world_submit(&world, LEAF);
    ck_assert_int_eq(reserve(id, &cost).answer, LEDGER_ADMITTED);
    ck_assert_int_eq(reserve(id, &cost).answer, LEDGER_ADMITTED);
    ck_assert_mem_eq(find_pot(TOP, "").reserved, cost.rho, sizeof cost.rho);
    struct ledger_request request = world_request(id, &other);
    FAILS(PPT_ESTATE,
          ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
    request = world_request(999, &cost);
    FAILS(PPT_ENOTFOUND,
          ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        job_is_charged_to_every_pot_on_its_path,
        refusal_writes_nothing_and_names_the_pot,
        parent_binds_where_children_are_oversubscribed,
        waits_only_for_what_others_have_reserved,
        refusal_of_one_pot_goes_before_waiting_for_another,
        orders_have_their_own_share_of_delta,
        adaptive_pair_is_refused,
        smallest_cost_counts_and_none_is_free,
        unbounded_cost_saturates_and_is_released,
        sums_near_the_end_of_the_integers_do_not_wrap,
        what_is_no_amount_is_an_error,
        settle_is_bounded_and_idempotent,
        reserve_asked_again_is_the_same_reservation,
    };
    return ledger_fixture_run("ledger", tests, sizeof tests / sizeof *tests);
}
