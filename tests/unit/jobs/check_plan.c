/* A plan is believed only as it was signed: each thing that could be swapped is swapped
 * once. */
#include "base/crypto.h"
#include "base/pathsafe.h"
#include "jobs/plan.h"
#include "jobs/report.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char spec_text[] =
    "name: digits\n"
    "account: acme/research\n"
    "kind: dp\n"
    "dataset: {name: mnist}\n"
    "model: logistic\n"
    "privacy: {epsilon: 2, delta: 1e-6, clip_norm: 1.0}\n"
    "training: {steps: 100, batch_size: 256, learning_rate: 0.5}\n";

static const char *const files[] = {"plan.json", "plan.sig", "spec.json",
                                    "manifest.yaml", "report.json"};

static char directory[64];
static unsigned char secret[32], public_key[32];
static struct crypto_signer *signer;
static struct plan plan;
static struct spec spec;
static struct manifest manifest;
static char *manifest_text;
static struct error err;

static void make_manifest(void)
{
    manifest = (struct manifest){.name = "mnist", .file = "mnist.h5", .n_splits = 1};
    manifest.splits[0] = (struct manifest_split){.name = "train",
                                                 .nominal_count = 60000,
                                                 .n_dims = 2,
                                                 .dims = {28, 28},
                                                 .n_classes = 10};
    memset(manifest.digest, 'a', 64);
    size_t len;
    FILE *out = open_memstream(&manifest_text, &len);
    ck_assert_int_eq(manifest_write(&manifest, out, &err), 0);
    fclose(out);
}

static void setup(void)
{
    struct spec_policy policy = spec_policy_default();
    strcpy(directory, "/tmp/check_plan.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    crypto_sign_keypair(secret, public_key);
    signer = crypto_signer_new(secret);
    make_manifest();
    int rc = spec_parse(spec_text, strlen(spec_text), "job.yaml", &policy, &spec, &err);
    ck_assert_msg(rc == 0, "%s\n%s", err.text, err.detail);
    plan = (struct plan){
        .job_id = 7, .attempt = 2, .epoch = 3, .issued_at_s = 1, .uid = 1000};
    strcpy(plan.hosts, "n1,n2.site");
    plan.needs_encrypted_disk = plan.needs_confidential_gpu = true;
    snprintf(plan.directory, sizeof plan.directory, "%s", directory);
    strcpy(plan.checkpoint_keys, "/keys");
    snprintf(plan.data_file, sizeof plan.data_file, "/data/mnist.h5");
    snprintf(plan.spec_sha256, sizeof plan.spec_sha256, "%s", spec.sha256);
    crypto_sha256_hex(manifest_text, strlen(manifest_text), plan.manifest_sha256);
    rc = price_job(&spec, &manifest, &plan.price, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(plan_store(&plan, &spec, manifest_text, signer, &err), 0);
}

static void teardown(void)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        unlink(path);
    }
    rmdir(directory);
    crypto_signer_free(signer);
    free(manifest_text);
}

static int load_after(struct plan_seen *seen, struct plan *ret_plan)
{
    struct spec loaded_spec;
    struct manifest loaded_manifest;
    return plan_load(directory, public_key, seen, ret_plan, &loaded_spec,
                     &loaded_manifest, &err);
}

static int load(struct plan *ret_plan)
{
    return load_after(NULL, ret_plan);
}

START_TEST(a_plan_comes_back_as_it_was)
{
    struct plan loaded;
    int rc = load(&loaded);
    ck_assert_msg(rc == 0, "%s %s", err.text, err.detail);
    ck_assert_int_eq(loaded.job_id, 7);
    ck_assert_int_eq(loaded.attempt, 2);
    ck_assert_int_eq(loaded.uid, 1000);
    ck_assert_str_eq(loaded.hosts, "n1,n2.site");
    ck_assert(loaded.needs_encrypted_disk && loaded.needs_confidential_gpu);
    ck_assert_str_eq(loaded.checkpoint_keys, "/keys");
    ck_assert_str_eq(loaded.data_file, plan.data_file);
    ck_assert_double_eq(loaded.price.noise_multiplier, plan.price.noise_multiplier);
    ck_assert_double_eq(loaded.price.sample_rate, plan.price.sample_rate);
    ck_assert_int_eq(loaded.price.n_releases, plan.price.n_releases);
    ck_assert_mem_eq(&loaded.price.cost, &plan.price.cost, sizeof plan.price.cost);
}
END_TEST

/* A release that has an epsilon in the place of noise costs the same once it is read.
 */
START_TEST(a_pure_release_comes_back)
{
    struct plan loaded;
    struct price *price = &plan.price;
    int64_t used[PRICE_MAX_RELEASES] = {0};
    price->n_releases = 1;
    price->releases[0].count = used[0] = 3;
    price->releases[0].mechanism = (struct mechanism){.kind = MECHANISM_PURE,
                                                      .noise_multiplier = 2.5,
                                                      .epsilon = 0.7,
                                                      .sample_rate = 1};
    ck_assert_int_eq(price_used(price, used, &price->cost, &err), 0);
    ck_assert_int_eq(plan_store(&plan, &spec, manifest_text, signer, &err), 0);
    int rc = load(&loaded);
    ck_assert_msg(rc == 0, "%s %s", err.text, err.detail);
    ck_assert(loaded.price.releases[0].mechanism.epsilon == 0.7);
    ck_assert_mem_eq(&loaded.price.cost, &price->cost, sizeof price->cost);
    ck_assert(price->cost.rho[COST_N_ORDERS - 1] > 0);
}
END_TEST

/* Cohorts of a fixed size are samples without replacement when they are read, too: of
 * either noise. */
START_TEST(a_sample_without_replacement_comes_back)
{
    struct plan loaded;
    struct price *price = &plan.price;
    int64_t used[PRICE_MAX_RELEASES] = {0};
    struct mechanism *round = &price->releases[0].mechanism;
    price->n_releases = 1;
    price->releases[0].count = used[0] = 3;
    *round = (struct mechanism){
        .kind = MECHANISM_GAUSSIAN, .noise_multiplier = 2.5, .sample_rate = 0.25};
    if (_i == 1)
        *round = price_skellam(2.5, 0.25);
    round->sampling = SAMPLING_WITHOUT_REPLACEMENT;
    round->relation = RELATION_REPLACE_ONE;
    ck_assert_int_eq(price_used(price, used, &price->cost, &err), 0);
    ck_assert_int_eq(plan_store(&plan, &spec, manifest_text, signer, &err), 0);
    int rc = load(&loaded);
    ck_assert_msg(rc == 0, "%s %s", err.text, err.detail);
    const struct mechanism *read = &loaded.price.releases[0].mechanism;
    ck_assert(read->sampling == SAMPLING_WITHOUT_REPLACEMENT);
    ck_assert(read->relation == RELATION_REPLACE_ONE);
    ck_assert_mem_eq(&loaded.price.cost, &price->cost, sizeof price->cost);
}
END_TEST

/* Flips one bit of a file at an offset from its end. */
static void damage(const char *name, long from_end)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, -from_end, SEEK_END);
    int c = fgetc(file);
    fseek(file, -from_end, SEEK_END);
    fputc(c ^ 1, file);
    fclose(file);
}

START_TEST(any_changed_file_is_refused)
{
    struct plan loaded;
    damage(files[_i], 5);
    ck_assert_int_eq(load(&loaded), -PPT_ETRUST);
}
END_TEST

static int load_told(const char *where)
{
    static struct spec loaded_spec;
    static struct manifest loaded_manifest;
    int rc = plan_load_told(&plan, where, NULL, &loaded_spec, &loaded_manifest, &err);
    if (rc == 0) {
        ck_assert_str_eq(loaded_spec.name, "digits");
        ck_assert_str_eq(loaded_manifest.name, "mnist");
    }
    return rc;
}

/* Who is told the plan needs no signature, but is as strict with what the plan names.
 */
START_TEST(a_told_plan_binds_its_files)
{
    char path[256], other[] = "/tmp/check_plan.XXXXXX";
    snprintf(path, sizeof path, "%s/plan.sig", directory);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(load(&(struct plan){0}), -PPT_ENOTFOUND);
    ck_assert_int_eq(load_told(directory), 0);
    ck_assert_ptr_nonnull(mkdtemp(other));
    ck_assert_int_eq(load_told(other), -PPT_ETRUST);
    rmdir(other);
    damage("spec.json", 5);
    ck_assert_int_eq(load_told(directory), -PPT_ETRUST);
}
END_TEST

/* What was seen is that of the digests and of nothing else. */
START_TEST(a_spec_that_was_seen_is_not_read_again)
{
    struct plan_seen *seen = calloc(1, sizeof *seen);
    struct plan loaded;
    ck_assert_int_eq(load_after(seen, &loaded), 0);
    ck_assert_str_eq(seen->spec.name, "digits");
    damage("spec.json", 5);
    damage("manifest.yaml", 5);
    ck_assert_int_eq(load_after(seen, &loaded), 0); /* the right ones are known */
    ck_assert_str_eq(seen->spec.name, "digits");
    ck_assert_int_eq(load(&loaded), -PPT_ETRUST);
    seen->spec_sha256[5] ^= 1; /* another job's */
    ck_assert_int_eq(load_after(seen, &loaded), -PPT_ETRUST);
    damage("spec.json", 5);
    ck_assert_int_eq(load_after(seen, &loaded), -PPT_ETRUST); /* half of it is not it */
    damage("manifest.yaml", 5);
    ck_assert_int_eq(load_after(seen, &loaded), 0);
    damage("plan.json", 5);
    ck_assert_int_eq(load_after(seen, &loaded), -PPT_ETRUST);
    free(seen);
}
END_TEST

/* What is signed is the text, so a plan without them is an older version's. */
START_TEST(a_plan_for_anybody_anywhere)
{
    struct plan loaded;
    char path[256], *text;
    unsigned char signature[CRYPTO_SIGNATURE_SIZE];
    size_t len;
    snprintf(path, sizeof path, "%s/plan.json", directory);
    ck_assert_int_eq(pathsafe_read_file(path, 1 << 16, &text, &len, &err), 0);
    char *uid = strstr(text, "\"uid\""), *directory_key = strstr(text, "\"directory\"");
    ck_assert(uid != NULL && directory_key > uid);
    memset(uid, ' ', (size_t)(directory_key - uid));
    ck_assert_int_eq(pathsafe_replace(path, text, len, 0600, &err), 0);
    ck_assert_int_eq(load(&loaded), -PPT_ETRUST);
    crypto_sign(secret, text, len, signature);
    free(text);
    snprintf(path, sizeof path, "%s/plan.sig", directory);
    ck_assert_int_eq(pathsafe_replace(path, signature, sizeof signature, 0600, &err),
                     0);
    ck_assert_int_eq(load(&loaded), 0);
    ck_assert_int_eq(loaded.uid, -1);
    ck_assert_str_eq(loaded.hosts, "");
    ck_assert_int_eq(plan_check_place(&loaded, 5, "n9", &err), 0);
}
END_TEST

START_TEST(only_for_its_user_on_its_hosts)
{
    static const char *const others[] = {"n", "n11", "n2", "n1,n2.site", ",", "", "N1"};
    ck_assert_int_eq(plan_check_place(&plan, 1000, "n1", &err), 0);
    ck_assert_int_eq(plan_check_place(&plan, 1000, "n2.site", &err), 0);
    ck_assert_int_eq(plan_check_place(&plan, 0, "n1", &err), -PPT_ETRUST);
    ck_assert_ptr_nonnull(strstr(err.text, "user id 1000"));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_int_eq(plan_check_place(&plan, 1000, others[i], &err), -PPT_ETRUST);
        ck_assert_ptr_nonnull(strstr(err.text, "the plan is for n1,n2.site"));
    }
}
END_TEST

START_TEST(another_key_is_refused)
{
    struct plan loaded;
    unsigned char other_secret[32];
    crypto_sign_keypair(other_secret, public_key);
    ck_assert_int_eq(load(&loaded), -PPT_ETRUST);
    ck_assert_ptr_nonnull(strstr(err.hint, "edited"));
}
END_TEST

/* Signatures of this process are not verified again: each for its own text only. */
START_TEST(another_plans_signature_is_refused)
{
    struct plan loaded;
    char path[256], *first;
    size_t len;
    snprintf(path, sizeof path, "%s/plan.sig", directory);
    ck_assert_int_eq(pathsafe_read_file(path, 64, &first, &len, &err), 0);
    plan.attempt++;
    ck_assert_int_eq(plan_store(&plan, &spec, manifest_text, signer, &err), 0);
    ck_assert_int_eq(load(&loaded), 0);
    ck_assert_int_eq(pathsafe_replace(path, first, len, 0600, &err), 0);
    ck_assert_int_eq(load(&loaded), -PPT_ETRUST);
    plan.attempt--;
    for (int i = 0; i < 300; i++) /* more than it remembers */
        ck_assert_int_eq(plan_store(&plan, &spec, manifest_text, signer, &err), 0);
    ck_assert_int_eq(load(&loaded), 0);
    free(first);
}
END_TEST

START_TEST(a_copied_plan_is_refused)
{
    struct plan loaded;
    char moved[64];
    snprintf(moved, sizeof moved, "%.50s.moved", directory);
    ck_assert_int_eq(rename(directory, moved), 0);
    memcpy(directory, moved, sizeof directory);
    ck_assert_int_eq(load(&loaded), -PPT_ETRUST);
    ck_assert_ptr_nonnull(strstr(err.text, "copied"));
}
END_TEST

START_TEST(a_short_signature_or_missing_file_is_refused)
{
    struct plan loaded;
    char path[256];
    snprintf(path, sizeof path, "%s/plan.sig", directory);
    ck_assert_int_eq(truncate(path, 63), 0);
    ck_assert_int_eq(load(&loaded), -PPT_ETRUST);
    unlink(path);
    ck_assert_int_eq(load(&loaded), -PPT_ENOTFOUND);
}
END_TEST

START_TEST(a_report_comes_back_as_it_was)
{
    struct report report = {.job_id = 7,
                            .attempt = 2,
                            .outcome = REPORT_FAILED,
                            .error_code = PPT_EDATA,
                            .error_text = "a \"label\"\nis wrong",
                            .cause = "rank 1 on node n2: Killed",
                            .used = {100, 1},
                            .n_steps = 99,
                            .has_test_accuracy = true,
                            .test_accuracy = 0.9375,
                            .wall_s = 12.5,
                            .attack = "alie by 5 clients",
                            .model = "/x/model.h5"},
                  loaded;
    char path[256];
    snprintf(path, sizeof path, "%s/report.json", directory);
    ck_assert_int_eq(report_read(path, &loaded, &err), -PPT_ENOTFOUND);
    ck_assert_int_eq(report_write(path, &report, &err), 0);
    int rc = report_read(path, &loaded, &err);
    ck_assert_msg(rc == 0, "%s %s", err.text, err.detail);
    ck_assert_int_eq(loaded.outcome, report.outcome);
    ck_assert_int_eq(loaded.error_code, report.error_code);
    ck_assert_str_eq(loaded.error_text, report.error_text);
    ck_assert_str_eq(loaded.cause, report.cause);
    ck_assert_int_eq(loaded.used[0], 100);
    ck_assert_int_eq(loaded.n_steps, 99);
    ck_assert_double_eq(loaded.test_accuracy, report.test_accuracy);
    ck_assert_str_eq(loaded.model, report.model);
    ck_assert_str_eq(loaded.attack, report.attack);
    ck_assert_int_eq(truncate(path, 40), 0);
    ck_assert_int_eq(report_read(path, &loaded, &err), -PPT_ESPEC);
}
END_TEST

/* What a power cut leaves of a report that was not waited for is no report. */
START_TEST(a_torn_report_is_none)
{
    struct report report = {.job_id = 7, .attempt = 1, .n_steps = 3}, back = {0};
    char path[256], *text, *torn;
    size_t len;
    snprintf(path, sizeof path, "%s/report.json", directory);
    strcpy(report.model, "/jobs/7/model.h5");
    ck_assert_int_eq(report_write_soon(path, &report, &err), 0);
    ck_assert_int_eq(report_read(path, &back, &err), 0);
    ck_assert_int_eq(back.n_steps, 3);
    ck_assert_str_eq(back.model, report.model);
    ck_assert_int_eq(pathsafe_read_file(path, 1 << 16, &text, &len, &err), 0);
    torn = calloc(1, len);
    for (size_t n = 0; n + 2 < len; n++) { /* the brace and the newline are the end */
        back.n_steps = -1;
        ck_assert_int_eq(pathsafe_write_fast(path, text, n, 0600, &err), 0);
        ck_assert_int_eq(report_read(path, &back, &err), -PPT_ESPEC);
        memcpy(torn, text, n);
        ck_assert_int_eq(pathsafe_write_fast(path, torn, len, 0600, &err), 0);
        ck_assert_int_eq(report_read(path, &back, &err), -PPT_ESPEC);
        ck_assert_int_eq(back.n_steps, -1);
    }
    unlink(path);
    free(text);
    free(torn);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *tc = tcase_create("plan");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_plan_comes_back_as_it_was);
    tcase_add_test(tc, a_pure_release_comes_back);
    tcase_add_loop_test(tc, a_sample_without_replacement_comes_back, 0, 2);
    tcase_add_loop_test(tc, any_changed_file_is_refused, 0, 4);
    tcase_add_test(tc, a_told_plan_binds_its_files);
    tcase_add_test(tc, a_spec_that_was_seen_is_not_read_again);
    tcase_add_test(tc, a_plan_for_anybody_anywhere);
    tcase_add_test(tc, only_for_its_user_on_its_hosts);
    tcase_add_test(tc, another_key_is_refused);
    tcase_add_test(tc, another_plans_signature_is_refused);
    tcase_add_test(tc, a_copied_plan_is_refused);
    tcase_add_test(tc, a_short_signature_or_missing_file_is_refused);
    tcase_add_test(tc, a_report_comes_back_as_it_was);
    tcase_add_test(tc, a_torn_report_is_none);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
