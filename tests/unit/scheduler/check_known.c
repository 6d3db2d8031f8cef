/* What a scheduler remembers of specs and reservations: exactly what it was told, of
 * the last ones, each with a manifest text of its own. */
#include "scheduler/known.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/privacy/cost.h"

static struct known *known;

static void setup(void)
{
    known = known_create();
    ck_assert_ptr_nonnull(known);
}

static void teardown(void)
{
    known_free(known);
}

static void add_spec(int i)
{
    struct admission_job *job = calloc(1, sizeof *job);
    snprintf(job->spec.sha256, sizeof job->spec.sha256, "%064d", i);
    job->price.n_steps = i;
    ck_assert_int_gt(asprintf(&job->dataset.manifest, "manifest %d", i), 0);
    known_add_spec(known, job);
    admission_job_free(job); /* what is kept is a copy */
    free(job);
}

static bool find_spec(int i, int64_t *ret_n_steps)
{
    char sha256[65], text[32];
    struct admission_job *job = calloc(1, sizeof *job);
    snprintf(sha256, sizeof sha256, "%064d", i);
    bool is_found = known_spec(known, sha256, job);
    if (is_found) {
        snprintf(text, sizeof text, "manifest %d", i);
        ck_assert_str_eq(job->dataset.manifest, text);
        *ret_n_steps = job->price.n_steps;
        admission_job_free(job);
    }
    free(job);
    return is_found;
}

START_TEST(specs_by_their_digest)
{
    int64_t n_steps;
    ck_assert(!find_spec(1, &n_steps));
    for (int i = 1; i <= 100; i++) {
        add_spec(i);
        add_spec(i); /* again: nothing new */
        ck_assert(find_spec(i, &n_steps));
        ck_assert_int_eq(n_steps, i);
    }
    ck_assert(find_spec(99, &n_steps));
    ck_assert(!find_spec(1, &n_steps)); /* long ago */
}
END_TEST

static struct cost cost_of(int64_t first)
{
    struct cost cost = cost_zero(UNIT_EXAMPLE, RELATION_ADD_REMOVE);
    cost.rho[0] = first;
    return cost;
}

static void check_reserved(int64_t id, int64_t first)
{
    struct cost expected = cost_of(first), found;
    ck_assert(known_reserved(known, id, &found));
    ck_assert(cost_equal(&found, &expected));
}

START_TEST(reservations_by_their_job)
{
    const int64_t group[] = {1, 2, 4};
    struct cost cost = cost_of(7);
    ck_assert(!known_reserved(known, 1, &cost));
    ck_assert(!known_reserved(known, 0, &cost)); /* what is empty is no job's */
    cost = cost_of(7);
    known_add_reserved(known, group, 3, &cost);
    check_reserved(1, 7);
    check_reserved(4, 7);
    ck_assert(!known_reserved(known, 3, &cost));
    ck_assert(!known_reserved(known, 1 + 4096, &cost)); /* of the same place */
}
END_TEST

/* Never another's: a job whose amount is forgotten is not known any more. */
START_TEST(old_reservations_are_forgotten_and_not_mixed_up)
{
    struct cost found;
    for (int64_t id = 1; id <= 10000; id++) {
        struct cost cost = cost_of(id);
        known_add_reserved(known, &id, 1, &cost);
    }
    int n_known = 0;
    for (int64_t id = 1; id <= 10000; id++) {
        struct cost expected = cost_of(id);
        if (!known_reserved(known, id, &found))
            continue;
        n_known++;
        ck_assert(cost_equal(&found, &expected));
    }
    ck_assert_int_eq(n_known, 64);
}
END_TEST

START_TEST(equal_amounts_are_kept_once)
{
    struct cost cost = cost_of(5);
    for (int64_t id = 1; id <= 4000; id++)
        known_add_reserved(known, &id, 1, &cost);
    check_reserved(1, 5);
    check_reserved(4000, 5);
}
END_TEST

START_TEST(nobody_knows_nothing)
{
    struct cost cost = cost_of(1);
    struct admission_job *job = calloc(1, sizeof *job);
    const int64_t id = 1;
    known_add_reserved(NULL, &id, 1, &cost);
    known_add_spec(NULL, job);
    ck_assert(!known_reserved(NULL, 1, &cost));
    ck_assert(!known_spec(NULL, "", job));
    known_free(NULL);
    free(job);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("known");
    TCase *test = tcase_create("known");
    tcase_add_checked_fixture(test, setup, teardown);
    tcase_add_test(test, specs_by_their_digest);
    tcase_add_test(test, reservations_by_their_job);
    tcase_add_test(test, old_reservations_are_forgotten_and_not_mixed_up);
    tcase_add_test(test, equal_amounts_are_kept_once);
    tcase_add_test(test, nobody_knows_nothing);
    suite_add_tcase(suite, test);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
