/* Every rule of the ledger through its C functions, on a real server. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/ledger/world.h"

#define TOP "acme"
#define MIDDLE "acme/research"
#define LEAF WORLD_ACCOUNT

/* Fails the test with the error's words. */
#define OK(call)                                                                       \
    do {                                                                               \
        int rc_ = (call);                                                              \
        ck_assert_msg(rc_ == 0, "%s: %s (%s)", #call, err.text, err.detail);           \
    } while (0)
#define FAILS(code, call) ck_assert_int_eq((call), -(code))

static struct world world;
static struct error err;

static void open_world(void)
{
    err = (struct error){0};
    world = world_open();
}

static void close_world(void)
{
    world_check(&world);
    world_close(&world);
}

static struct ledger_verdict reserve(int64_t job_id, const struct cost *cost)
{
    struct ledger_verdict verdict;
    struct ledger_request request = world_request(job_id, cost);
    OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
    return verdict;
}

/* The pot of this account and data set, either "". */
static struct ledger_pot find_pot(const char *account, const char *dataset)
{
    struct ledger_pots pots;
    struct ledger_pot found = {0};
    OK(ledger_show(world.root, NULL, &pots, &err));
    for (int i = 0; i < pots.n; i++)
        if (pots.pots[i].has_limit && strcmp(pots.pots[i].account, account) == 0 &&
            strcmp(pots.pots[i].dataset, dataset) == 0)
            found = pots.pots[i];
    ledger_pots_free(&pots);
    ck_assert_msg(found.has_limit, "no pot (%s, %s)", account, dataset);
    return found;
}

static enum queue_state state_of(int64_t job_id)
{
    struct queue_job job;
    OK(queue_find(world.root, job_id, &job, &err));
    queue_job_free(&job);
    return job.state;
}

static int64_t count(const char *sql)
{
    return strtoll(pg_query(sql), NULL, 10);
}

/* Everything that a pot can hold at the moment, infinite where no order is usable. */
static struct cost all_of(const struct ledger_pot *pot)
{
    struct cost cost = world_cost(0);
    int64_t remaining[COST_N_ORDERS];
    ledger_remaining(pot, remaining);
    for (int i = 0; i < COST_N_ORDERS; i++)
        cost.rho[i] = remaining[i] < 0 ? COST_INFINITE : remaining[i];
    return cost;
}

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

static int order_index(double alpha)
{
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (cost_orders[i] == alpha)
            return i;
    ck_abort_msg("order %g is not on the grid", alpha);
    return -1;
}

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
    Suite *suite = suite_create("ledger");
    TCase *rules = tcase_create("rules");
    tcase_add_unchecked_fixture(rules, pg_start, pg_stop);
    tcase_add_checked_fixture(rules, open_world, close_world);
    tcase_set_timeout(rules, 60);
    tcase_add_test(rules, job_is_charged_to_every_pot_on_its_path);
    tcase_add_test(rules, refusal_writes_nothing_and_names_the_pot);
    tcase_add_test(rules, parent_binds_where_children_are_oversubscribed);
    tcase_add_test(rules, waits_only_for_what_others_have_reserved);
    tcase_add_test(rules, refusal_of_one_pot_goes_before_waiting_for_another);
    tcase_add_test(rules, orders_have_their_own_share_of_delta);
    tcase_add_test(rules, adaptive_pair_is_refused);
    tcase_add_test(rules, smallest_cost_counts_and_none_is_free);
    tcase_add_test(rules, unbounded_cost_saturates_and_is_released);
    tcase_add_test(rules, sums_near_the_end_of_the_integers_do_not_wrap);
    tcase_add_test(rules, what_is_no_amount_is_an_error);
    tcase_add_test(rules, settle_is_bounded_and_idempotent);
    tcase_add_test(rules, reserve_asked_again_is_the_same_reservation);
    tcase_add_test(rules, limits_that_must_exist);
    tcase_add_test(rules, jobs_without_privacy_need_public_data);
    tcase_add_test(rules, units_are_never_added);
    tcase_add_test(rules, limits_rise_and_fall_within_reason);
    tcase_add_test(rules, limits_that_make_no_sense);
    tcase_add_test(rules, deltas_of_jobs_have_their_own_purse);
    tcase_add_test(rules, own_delta_comes_out_of_delta);
    tcase_add_test(rules, pot_made_later_knows_its_history);
    tcase_add_test(rules, pot_by_another_unit_than_its_history_is_refused);
    tcase_add_test(rules, old_epoch_can_write_nothing);
    tcase_add_test(rules, only_read_committed_writes);
    tcase_add_test(rules, preview_is_what_reserve_would_say);
    tcase_add_test(rules, show_is_a_tree);
    tcase_add_test(rules, history_has_every_grant_and_entry);
    tcase_add_test(rules, check_finds_what_was_tampered_with);
    tcase_add_test(rules, history_is_never_changed);
    tcase_add_test(rules, accounts_form_a_tree);
    tcase_add_test(rules, data_sets_come_back_as_registered);
    suite_add_tcase(suite, rules);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
