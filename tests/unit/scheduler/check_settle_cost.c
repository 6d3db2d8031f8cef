/* What a job pays whose start failed, by what its signed plan's meter says. */
#include "scheduler/settle.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "jobs/plan.h"
#include "jobs/privacy/meter.h"

static const char spec_text[] =
    "name: digits\n"
    "account: acme/research\n"
    "kind: dp\n"
    "dataset: {name: mnist}\n"
    "model: logistic\n"
    "privacy: {epsilon: 2, delta: 1e-6, clip_norm: 1.0}\n"
    "training: {steps: 100, batch_size: 256, learning_rate: 0.5}\n";

static char directory[64], meter_path[128];
static unsigned char public_key[32];
static struct plan plan;
static struct error err;

static void setup(void)
{
    struct spec_policy policy = spec_policy_default();
    struct manifest manifest = {.name = "mnist", .file = "mnist.h5", .n_splits = 1};
    struct spec spec;
    char *manifest_text;
    size_t len;
    strcpy(directory, "/tmp/check_settle.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(meter_path, sizeof meter_path, "%s/" PLAN_METER, directory);
    unsigned char secret[32];
    crypto_sign_keypair(secret, public_key);
    struct crypto_signer *signer = crypto_signer_new(secret);
    manifest.splits[0] = (struct manifest_split){.name = "train",
                                                 .nominal_count = 60000,
                                                 .n_dims = 2,
                                                 .dims = {28, 28},
                                                 .n_classes = 10};
    memset(manifest.digest, 'a', 64);
    FILE *out = open_memstream(&manifest_text, &len);
    ck_assert_int_eq(manifest_write(&manifest, out, &err), 0);
    fclose(out);
    ck_assert_int_eq(
        spec_parse(spec_text, strlen(spec_text), "job.yaml", &policy, &spec, &err), 0);
    plan = (struct plan){
        .job_id = 7, .attempt = 1, .epoch = 3, .issued_at_s = 1, .uid = 1000};
    snprintf(plan.directory, sizeof plan.directory, "%s", directory);
    snprintf(plan.data_file, sizeof plan.data_file, "/data/mnist.h5");
    snprintf(plan.spec_sha256, sizeof plan.spec_sha256, "%s", spec.sha256);
    crypto_sha256_hex(manifest_text, strlen(manifest_text), plan.manifest_sha256);
    ck_assert_int_eq(price_job(&spec, &manifest, &plan.price, &err), 0);
    ck_assert_int_eq(plan_store(&plan, &spec, manifest_text, signer, &err), 0);
    crypto_signer_free(signer);
    free(manifest_text);
}

static void teardown(void)
{
    static const char *const files[] = {"plan.json", "plan.sig", "spec.json",
                                        "manifest.yaml", PLAN_METER};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        unlink(path);
    }
    rmdir(directory);
}

static double settle(enum settle_charge charge, struct cost *ret_spent)
{
    double epsilon;
    char note[LEDGER_TEXT_SIZE];
    int rc = settle_cost(charge, directory, public_key, &plan.price.cost,
                         plan.price.epsilon, ret_spent, &epsilon, note, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return epsilon;
}

static double settle_nothing(struct cost *ret_spent)
{
    return settle(SETTLE_NOTHING, ret_spent);
}

static int open_meter(struct meter **ret_meter)
{
    return meter_open(meter_path, 1, &plan.price, ret_meter, &err);
}

START_TEST(a_start_that_failed_costs_nothing_and_nothing_runs_later)
{
    struct cost spent;
    struct meter *meter;
    ck_assert(settle_nothing(&spent) == 0);
    ck_assert_int_eq(spent.rho[0], 0);
    ck_assert_int_ne(open_meter(&meter), 0);
}
END_TEST

/* The start failed, as the scheduler saw it; somebody ran the signed plan. */
START_TEST(what_was_released_all_the_same_is_paid_for)
{
    struct cost spent, used_cost;
    struct meter *meter;
    const int64_t used[PRICE_MAX_RELEASES] = {40};
    ck_assert_int_eq(open_meter(&meter), 0);
    ck_assert_int_eq(meter_charge(meter, 0, 40, &err), 0);
    meter_close(meter);
    ck_assert(settle_nothing(&spent) > 0);
    ck_assert_int_eq(price_used(&plan.price, used, &used_cost, &err), 0);
    ck_assert_mem_eq(spent.rho, used_cost.rho, sizeof spent.rho);
    ck_assert(settle_nothing(&spent) > 0); /* a crash in between */
    ck_assert_mem_eq(spent.rho, used_cost.rho, sizeof spent.rho);
}
END_TEST

/* The next attempt was drafted beside the signature of the last, which can be put back:
 * its meter is ended with the rest, and what it counted is not forgotten. */
START_TEST(a_plan_that_does_not_load_leaves_no_open_meter)
{
    char path[128], kept[140];
    struct cost spent;
    struct meter *meter;
    snprintf(path, sizeof path, "%s/plan.json", directory);
    snprintf(kept, sizeof kept, "%s.kept", path);
    ck_assert_int_eq(rename(path, kept), 0);
    ck_assert(settle_nothing(&spent) == 0);
    ck_assert_int_eq(rename(kept, path), 0);
    ck_assert_int_eq(open_meter(&meter), -PPT_ESTATE);
    ck_assert(settle_nothing(&spent) == 0);
}
END_TEST

START_TEST(a_plan_that_does_not_load_is_paid_for_if_it_was_used)
{
    char path[128];
    struct cost spent;
    struct meter *meter;
    ck_assert_int_eq(open_meter(&meter), 0);
    ck_assert_int_eq(meter_charge(meter, 0, 1, &err), 0);
    meter_close(meter);
    snprintf(path, sizeof path, "%s/plan.json", directory);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert(settle_nothing(&spent) == plan.price.epsilon);
    ck_assert_mem_eq(spent.rho, plan.price.cost.rho, sizeof spent.rho);
}
END_TEST

START_TEST(a_meter_that_is_gone_costs_everything)
{
    struct cost spent;
    unlink(meter_path);
    ck_assert(settle_nothing(&spent) == plan.price.epsilon);
    ck_assert_mem_eq(spent.rho, plan.price.cost.rho, sizeof spent.rho);
}
END_TEST

START_TEST(processes_that_died_before_they_began_add_nothing)
{
    struct cost spent;
    struct meter *meter;
    ck_assert(settle_is_unopened(directory, public_key, 1));
    ck_assert(!settle_is_unopened(directory, public_key, 2)); /* another's plan */
    ck_assert(settle(SETTLE_UNOPENED, &spent) == 0);
    ck_assert_int_eq(spent.rho[0], 0);
    ck_assert_int_eq(open_meter(&meter), -PPT_ESTATE); /* nor begin any more */
    ck_assert(settle(SETTLE_UNOPENED, &spent) == 0);   /* a crash in between */
}
END_TEST

START_TEST(one_that_has_begun_is_no_such_death)
{
    struct cost spent;
    struct meter *meter;
    ck_assert_int_eq(open_meter(&meter), 0);
    ck_assert(!settle_is_unopened(directory, public_key, 1));
    meter_close(meter);
    ck_assert(!settle_is_unopened(directory, public_key, 1));
    ck_assert(settle(SETTLE_UNOPENED, &spent) == plan.price.epsilon);
    ck_assert_mem_eq(spent.rho, plan.price.cost.rho, sizeof spent.rho);
}
END_TEST

START_TEST(without_a_meter_to_go_by_it_has_begun)
{
    struct cost spent;
    unlink(meter_path);
    ck_assert(!settle_is_unopened(directory, public_key, 1));
    ck_assert(settle(SETTLE_UNOPENED, &spent) == plan.price.epsilon);
}
END_TEST

/* Before that a state that is in no doubt would have it die for nothing. */
START_TEST(a_beginning_is_kept_once_there_is_one)
{
    struct meter *meter;
    char path[128], kept[140];
    ck_assert(!settle_keep_beginning(directory, public_key, 1));
    ck_assert_int_eq(open_meter(&meter), 0);
    ck_assert(settle_keep_beginning(directory, public_key, 1));
    ck_assert(!settle_keep_beginning(directory, public_key, 2));
    meter_close(meter);
    snprintf(path, sizeof path, "%s/plan.json", directory);
    snprintf(kept, sizeof kept, "%s.kept", path);
    ck_assert_int_eq(rename(path, kept), 0);
    ck_assert(!settle_keep_beginning(directory, public_key, 1));
    ck_assert_int_eq(rename(kept, path), 0);
    unlink(meter_path);
    ck_assert(!settle_keep_beginning(directory, public_key, 1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("settle_cost");
    TCase *tcase = tcase_create("settle_cost");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_start_that_failed_costs_nothing_and_nothing_runs_later);
    tcase_add_test(tcase, what_was_released_all_the_same_is_paid_for);
    tcase_add_test(tcase, a_plan_that_does_not_load_leaves_no_open_meter);
    tcase_add_test(tcase, a_plan_that_does_not_load_is_paid_for_if_it_was_used);
    tcase_add_test(tcase, a_meter_that_is_gone_costs_everything);
    tcase_add_test(tcase, processes_that_died_before_they_began_add_nothing);
    tcase_add_test(tcase, one_that_has_begun_is_no_such_death);
    tcase_add_test(tcase, without_a_meter_to_go_by_it_has_begun);
    tcase_add_test(tcase, a_beginning_is_kept_once_there_is_one);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
