/* Limits in currency gaussian: their caps, what they admit, refuse, settle and show. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/manifest.h"
#include "jobs/privacy/gdp.h"
#include "jobs/privacy/price.h"
#include "jobs/spec/spec.h"
#include "scheduler/figures.h"
#include "tests/ledger/world.h"

#define OK(call)                                                                       \
    do {                                                                               \
        int rc_ = (call);                                                              \
        ck_assert_msg(rc_ == 0, "%s: %s (%s)", #call, err.text, err.detail);           \
    } while (0)
#define FAILS(code, call) ck_assert_int_eq((call), -(code))

#define N_RECORDS 50000

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

static int grant(const char *account, double epsilon, double delta,
                 const char *currency)
{
    const struct ledger_grant limit = {.account = account,
                                       .epsilon = epsilon,
                                       .delta = delta,
                                       .unit = UNIT_EXAMPLE,
                                       .relation = RELATION_ADD_REMOVE,
                                       .reason = "test",
                                       .currency = currency};
    return ledger_grant(world.officer, &limit, &err);
}

static struct ledger_pot find_pot(const char *account)
{
    struct ledger_pots pots;
    OK(ledger_show(world.officer, account, &pots, &err));
    struct ledger_pot pot = pots.pots[0];
    ledger_pots_free(&pots);
    return pot;
}

/* The price of a job with batches of this many of the N_RECORDS. */
static struct cost price_of(int64_t batch, int64_t steps, double noise,
                            bool is_evaluated)
{
    struct spec *spec = calloc(1, sizeof *spec);
    struct manifest manifest = {
        .unit = UNIT_EXAMPLE, .relation = RELATION_ADD_REMOVE, .n_splits = 2};
    struct price price;
    ck_assert(spec != NULL);
    strcpy(manifest.splits[0].name, "train");
    strcpy(manifest.splits[1].name, "test");
    manifest.splits[0].nominal_count = manifest.splits[1].nominal_count = N_RECORDS;
    strcpy(spec->dataset.train, "train");
    strcpy(spec->dataset.test, "test");
    spec->kind = JOB_DP;
    spec->privacy.is_private = true;
    spec->privacy.unit = UNIT_EXAMPLE;
    spec->privacy.delta = 1e-6;
    spec->privacy.noise_multiplier = noise;
    spec->training.batch_size = batch;
    spec->training.steps = steps;
    spec->training.evaluation = is_evaluated ? EVALUATION_PAID : EVALUATION_NONE;
    spec->training.evaluation_noise = 20;
    OK(price_job(spec, &manifest, &price, &err));
    int64_t none[PRICE_MAX_RELEASES] = {0};
    struct cost unused;
    OK(price_used(&price, none, &unused, &err));
    ck_assert_int_eq(unused.mu2, 0);
    free(spec);
    return price.cost;
}

static struct ledger_verdict reserve(int64_t job_id, const struct cost *cost)
{
    struct ledger_verdict verdict;
    struct ledger_request request = world_request(job_id, cost);
    OK(ledger_reserve(world.scheduler, &world.lease, &request, &verdict, &err));
    return verdict;
}

static int count_admitted(const char *account, const struct cost *cost)
{
    int n = 0;
    enum ledger_answer answer = LEDGER_ADMITTED;
    while (answer == LEDGER_ADMITTED && n < 1000) {
        int64_t id = world_admit(&world, account, cost, &answer);
        n += answer == LEDGER_ADMITTED;
        if (answer == LEDGER_ADMITTED)
            world_end(&world, id, cost);
    }
    ck_assert_int_eq(answer, LEDGER_REFUSED);
    return n;
}

/* The largest mu^2 in 2^-40 by gdp.h, itself rounded down by about 1e-12. */
static double exact_cap(double epsilon, double delta)
{
    double noise;
    OK(gdp_noise_multiplier(epsilon, delta, 1, RELATION_ADD_REMOVE, &noise, &err));
    return COST_RHO_PER_NAT / (noise * noise);
}

START_TEST(cap_is_never_above_the_exact_one_and_close_to_it)
{
    const double epsilons[] = {0.01, 0.1, 0.37, 1, 3, 8, 30, 100};
    const double deltas[] = {1e-30, 1e-12, 1e-7, 1e-6, 3.3e-5, 0.01, 0.5, 0.999999};
    int n = 0;
    for (int e = 0; e < 8; e++)
        for (int d = 0; d < 8; d++) {
            char sql[128];
            double mu, delta, want = exact_cap(epsilons[e], deltas[d]);
            snprintf(sql, sizeof sql, "SELECT ppt.gaussian_cap(%.17g, %.17g)",
                     epsilons[e], deltas[d]);
            int64_t cap = strtoll(pg_query(sql), NULL, 10);
            ck_assert_msg(cap <= want * (1 + 1e-10), "(%g, %g): %" PRId64 " > %.3f",
                          epsilons[e], deltas[d], cap, want);
            ck_assert_msg(cap >= want * (1 - 1e-6) - 1, "(%g, %g): %" PRId64 " < %.3f",
                          epsilons[e], deltas[d], cap, want);
            mu = sqrt((double)cap / COST_RHO_PER_NAT);
            OK(gdp_delta(mu, epsilons[e], &delta, &err));
            ck_assert_msg(delta <= deltas[d], "(%g, %g): delta %.17g", epsilons[e],
                          deltas[d], delta);
            n++;
        }
    ck_assert_int_eq(n, 64);
}
END_TEST

START_TEST(only_full_batches_have_a_mu2)
{
    struct cost full = price_of(N_RECORDS, 40, 30, false);
    ck_assert_double_eq_tol((double)full.mu2 / COST_RHO_PER_NAT, 40.0 / 900, 1e-11);
    ck_assert((long double)full.mu2 >= 40.0L / 900 * 0x1p40L);
    struct cost paid = price_of(N_RECORDS, 40, 30, true);
    ck_assert_double_eq_tol((double)paid.mu2 / COST_RHO_PER_NAT, 40.0 / 900 + 1.0 / 400,
                            1e-11);
    ck_assert_int_eq(price_of(N_RECORDS - 1, 40, 30, false).mu2, COST_INFINITE);
    ck_assert_int_eq(price_of(500, 40, 30, true).mu2, COST_INFINITE);
}
END_TEST

START_TEST(sampled_job_is_refused_and_told_why)
{
    OK(grant("acme", 8, 1e-6, "gaussian"));
    struct cost sampled = price_of(500, 40, 30, false);
    struct ledger_verdict verdict =
        reserve(world_submit(&world, WORLD_ACCOUNT), &sampled);
    ck_assert_int_eq(verdict.answer, LEDGER_REFUSED);
    ck_assert_int_eq(verdict.pot.currency, LEDGER_GAUSSIAN);
    ck_assert_str_eq(verdict.reason,
                     "account \"acme\" over all data counts in currency gaussian, and "
                     "this job has no mu^2: not all of its releases are Gaussians over "
                     "all records");
    ck_assert_ptr_nonnull(strstr(verdict.hint, "batch_size"));
    ck_assert(!ledger_fits(&verdict.pot, &sampled));
    ck_assert_int_eq(find_pot("acme").reserved_mu2, 0);
    ck_assert_str_eq(pg_query("SELECT count(*) FROM ppt.ledger_entry"), "0");
}
END_TEST

/* Each pot charges in its own currency: the curve below "acme/research" and on the data
 * set, mu^2 in "acme"; what is not used comes back, a death costs all. */
START_TEST(reserve_and_settle)
{
    struct cost whole = price_of(N_RECORDS, 40, 30, true), kept;
    struct cost half = price_of(N_RECORDS, 20, 30, false);
    enum ledger_answer answer;
    OK(grant("acme", 8, 1e-6, "gaussian"));
    OK(grant("acme/research", 8, 1e-6, NULL));
    int64_t id = world_admit(&world, WORLD_ACCOUNT, &whole, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);
    ck_assert_int_eq(reserve(id, &whole).answer, LEDGER_ADMITTED); /* asked again */
    ck_assert_int_eq(find_pot("acme").reserved_mu2, whole.mu2);
    ck_assert_mem_eq(find_pot("acme/research").reserved, whole.rho, sizeof whole.rho);
    ck_assert_int_eq(find_pot("acme/research").reserved_mu2, 0);
    OK(ledger_reserved(world.scheduler, id, &kept, &err));
    ck_assert_int_eq(kept.mu2, whole.mu2);
    world_check(&world);

    struct cost above = half, without = half;
    above.mu2 = whole.mu2 + 1;
    FAILS(PPT_ERANGE, ledger_settle(world.scheduler, &world.lease, id, &above, &err));
    without.mu2 = COST_INFINITE;
    FAILS(PPT_ERANGE, ledger_settle(world.scheduler, &world.lease, id, &without, &err));
    ck_assert_int_eq(find_pot("acme").reserved_mu2, whole.mu2);

    world_end(&world, id, &half);
    OK(ledger_settle(world.scheduler, &world.lease, id, &half, &err)); /* again */
    struct cost other = half;
    other.mu2++;
    FAILS(PPT_ESTATE, ledger_settle(world.scheduler, &world.lease, id, &other, &err));
    struct ledger_pot pot = find_pot("acme");
    ck_assert_int_eq(pot.reserved_mu2, 0);
    ck_assert_int_eq(pot.spent_mu2, half.mu2);
    ck_assert_mem_eq(find_pot("acme/research").spent, half.rho, sizeof half.rho);
    struct ledger_events events;
    OK(ledger_history(world.officer, NULL, NULL, 1, &events, &err));
    ck_assert_str_eq(events.events[0].what, "release");
    ck_assert_int_eq(events.events[0].cost.mu2, whole.mu2 - half.mu2);
    ledger_events_free(&events);

    id = world_admit(&world, WORLD_ACCOUNT, &whole, &answer);
    OK(ledger_reserved(world.scheduler, id, &kept, &err));
    world_end(&world, id, &kept); /* as settle.h has it for a death */
    ck_assert_int_eq(find_pot("acme").spent_mu2, half.mu2 + whole.mu2);
}
END_TEST

START_TEST(cancel_releases_all)
{
    struct cost cost = price_of(N_RECORDS, 40, 30, false);
    enum ledger_answer answer;
    enum queue_state state;
    OK(grant("acme", 8, 1e-6, "gaussian"));
    int64_t id = world_admit(&world, WORLD_ACCOUNT, &cost, &answer);
    OK(queue_cancel(world.officer, id, "", &state, &err));
    struct ledger_pot pot = find_pot("acme");
    ck_assert_int_eq(pot.reserved_mu2 + pot.spent_mu2, 0);
}
END_TEST

START_TEST(waits_for_reservations_only)
{
    enum ledger_answer answer;
    OK(grant("acme", 8, 1e-6, "gaussian"));
    struct cost most = price_of(N_RECORDS, 1, 30, false), more;
    most.mu2 = find_pot("acme").cap_mu2;
    more = most;
    more.mu2++;
    int64_t id = world_admit(&world, WORLD_ACCOUNT, &most, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);
    world_admit(&world, WORLD_ACCOUNT, &most, &answer);
    ck_assert_int_eq(answer, LEDGER_WAIT);
    world_admit(&world, WORLD_ACCOUNT, &more, &answer);
    ck_assert_int_eq(answer, LEDGER_REFUSED);
    FAILS(PPT_EBUDGET, grant("acme", 7.9, 1e-6, NULL));
    world_end(&world, id, &most);
    world_admit(&world, WORLD_ACCOUNT, &most, &answer);
    ck_assert_int_eq(answer, LEDGER_REFUSED);
}
END_TEST

/* 40 steps at noise 30, by the promise (8, 1e-6): 47 such jobs in the curve's currency,
 * 52 here; the exact accountant of all 52 together is still within the promise. */
START_TEST(admits_more_than_the_curve_does)
{
    struct cost cost = price_of(N_RECORDS, 40, 30, false);
    double epsilon, noise = 30 / sqrt(40);
    OK(grant("acme", 8, 1e-6, "gaussian"));
    OK(ledger_account_create(world.officer, "other", &err));
    OK(ledger_member_add(world.officer, "other", "alice", &err));
    OK(grant("other", 8, 1e-6, "renyi"));
    int n_gaussian = count_admitted(WORLD_ACCOUNT, &cost),
        n_renyi = count_admitted("other", &cost);
    double mu = sqrt(n_gaussian) / noise;
    OK(gdp_epsilon(mu, 1e-6, &epsilon, &err));
    ck_assert_double_le(epsilon, 8);
    OK(gdp_epsilon(sqrt(n_gaussian + 1) / noise, 1e-6, &epsilon, &err));
    ck_assert_double_gt(epsilon, 8); /* not one was lost */
    ck_assert_msg(n_gaussian == 52 && n_renyi == 47, "%d and %d jobs", n_gaussian,
                  n_renyi);
}
END_TEST

START_TEST(currency_is_fixed_by_the_first_limit)
{
    enum ledger_answer answer;
    FAILS(PPT_ERANGE, grant("acme", 8, 1e-6, "euro"));
    FAILS(PPT_ERANGE, grant("acme", 101, 1e-6, "gaussian"));
    OK(grant("acme", 8, 1e-6, "gaussian"));
    FAILS(PPT_ERANGE, grant("acme", 9, 1e-6, "renyi"));
    OK(grant("acme", 9, 1e-6, NULL));
    ck_assert_int_eq(find_pot("acme").currency, LEDGER_GAUSSIAN);
    ck_assert_double_eq_tol((double)find_pot("acme").cap_mu2, exact_cap(9, 1e-6), 1e7);
    OK(grant("acme/sales", 8, 1e-6, NULL));
    FAILS(PPT_ERANGE, grant("acme/sales", 8, 1e-6, "gaussian"));

    /* history is taken over, unless it cannot be counted */
    struct cost full = price_of(N_RECORDS, 40, 30, false);
    world_admit(&world, WORLD_ACCOUNT, &full, &answer);
    OK(grant(WORLD_ACCOUNT, 8, 1e-6, "gaussian"));
    ck_assert_int_eq(find_pot(WORLD_ACCOUNT).reserved_mu2, full.mu2);
    OK(ledger_account_create(world.officer, "other", &err));
    OK(ledger_member_add(world.officer, "other", "alice", &err));
    OK(ledger_account_create(world.officer, "other/below", &err));
    OK(grant("other", 8, 1e-6, NULL));
    struct cost sampled = price_of(500, 40, 30, false);
    world_admit(&world, "other/below", &sampled, &answer);
    ck_assert_int_eq(answer, LEDGER_ADMITTED);
    FAILS(PPT_ERANGE, grant("other/below", 8, 1e-6, "gaussian"));
}
END_TEST

START_TEST(what_is_shown_is_exact_and_never_flatters)
{
    struct cost cost = price_of(N_RECORDS, 40, 30, false);
    enum ledger_answer answer;
    double one, two;
    OK(grant("acme", 8, 1e-6, "gaussian"));
    ck_assert_double_eq(figures_pot(&(struct ledger_pot[]){find_pot("acme")}[0]).spent,
                        0);
    world_end(&world, world_admit(&world, WORLD_ACCOUNT, &cost, &answer), &cost);
    world_admit(&world, WORLD_ACCOUNT, &cost, &answer);
    struct ledger_pot pot = find_pot("acme");
    struct figures_pot figures = figures_pot(&pot);
    OK(gdp_epsilon(sqrt(40.0) / 30, 1e-6, &one, &err));
    OK(gdp_epsilon(sqrt(80.0) / 30, 1e-6, &two, &err));
    ck_assert_double_ge(figures.spent, one * (1 - 1e-13));
    ck_assert_double_eq_tol(figures.spent, one, 1e-8);
    ck_assert_double_eq_tol(figures.spent + figures.reserved, two, 1e-8);
    ck_assert_double_le(figures.remaining, 8 - two * (1 - 1e-13));
    ck_assert_double_eq_tol(figures.remaining, 8 - two, 1e-8);
}
END_TEST

START_TEST(check_notices_a_changed_sum)
{
    int n_faults;
    OK(grant("acme", 8, 1e-6, "gaussian"));
    struct cost cost = price_of(N_RECORDS, 40, 30, false);
    enum ledger_answer answer;
    world_admit(&world, WORLD_ACCOUNT, &cost, &answer);
    pg_query("UPDATE ppt.pot_balance SET reserved = ARRAY[reserved[1] - 1]"
             " WHERE cardinality(reserved) = 1 RETURNING 1");
    OK(ledger_check(world.scheduler, &n_faults, &err));
    ck_assert_int_eq(n_faults, 1);
    pg_query("UPDATE ppt.pot_balance SET reserved = ARRAY[reserved[1] + 1]"
             " WHERE cardinality(reserved) = 1 RETURNING 1");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gaussian");
    TCase *rules = tcase_create("rules");
    tcase_add_unchecked_fixture(rules, pg_start, pg_stop);
    tcase_add_checked_fixture(rules, open_world, close_world);
    tcase_set_timeout(rules, 120);
    tcase_add_test(rules, cap_is_never_above_the_exact_one_and_close_to_it);
    tcase_add_test(rules, only_full_batches_have_a_mu2);
    tcase_add_test(rules, sampled_job_is_refused_and_told_why);
    tcase_add_test(rules, reserve_and_settle);
    tcase_add_test(rules, cancel_releases_all);
    tcase_add_test(rules, waits_for_reservations_only);
    tcase_add_test(rules, admits_more_than_the_curve_does);
    tcase_add_test(rules, currency_is_fixed_by_the_first_limit);
    tcase_add_test(rules, what_is_shown_is_exact_and_never_flatters);
    tcase_add_test(rules, check_notices_a_changed_sum);
    suite_add_tcase(suite, rules);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
