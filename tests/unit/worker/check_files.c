/* What a run leaves behind: checkpoints, the model, progress; and its flags. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "jobs/comm.h"
#include "tests/unit/worker/scratch.h"
#include "worker/checkpoint.h"
#include "worker/digest.h"
#include "worker/h5.h"
#include "worker/model_h5.h"
#include "worker/progress.h"
#include "worker/stop.h"

static struct error err;

static const char spec_a[] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char spec_b[] =
    "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

START_TEST(a_checkpoint_comes_back)
{
    void *data;
    size_t len;
    const char *path = scratch_path("checkpoint");
    ck_assert_int_eq(checkpoint_load(path, 7, spec_a, &data, &len, &err), 0);
    ck_assert(data == NULL && len == 0);
    ck_assert_int_eq(checkpoint_save(path, 7, spec_a, "first", 5, &err), 0);
    ck_assert_int_eq(checkpoint_save(path, 7, spec_a, "second", 6, &err), 0);
    ck_assert_int_eq(checkpoint_load(path, 7, spec_a, &data, &len, &err), 0);
    ck_assert_uint_eq(len, 6);
    ck_assert_mem_eq(data, "second", 6);
    free(data);
    ck_assert_int_eq(checkpoint_save(path, 7, spec_a, NULL, 0, &err), 0);
    ck_assert_int_eq(checkpoint_load(path, 7, spec_a, &data, &len, &err), 0);
    ck_assert(data != NULL && len == 0);
    free(data);
    ck_assert_int_eq(checkpoint_save("/nowhere/c", 7, spec_a, "x", 1, &err), -PPT_EIO);
}
END_TEST

START_TEST(another_checkpoint_is_refused)
{
    void *data = NULL;
    size_t len = 0;
    const char *path = scratch_path("checkpoint");
    ck_assert_int_eq(checkpoint_save(path, 7, spec_a, "state", 5, &err), 0);
    int64_t size = scratch_size(path);
    ck_assert_int_eq(checkpoint_load(path, 8, spec_a, &data, &len, &err), -PPT_ETRUST);
    scratch_expect(&err, "checkpoint of job 7, expected 8");
    ck_assert_int_eq(checkpoint_load(path, 7, spec_b, &data, &len, &err), -PPT_ETRUST);
    scratch_expect(&err, "checkpoint of another spec");
    for (int64_t at = 0; at < size; at++) {
        scratch_flip(path, at);
        ck_assert_int_eq(checkpoint_load(path, 7, spec_a, &data, &len, &err),
                         -PPT_ETRUST);
        scratch_flip(path, at);
    }
    ck_assert_int_eq(checkpoint_load(path, 7, spec_a, &data, &len, &err), 0);
    free(data);
    data = NULL;
    for (int64_t at = size - 1; at >= 0; at -= 7) {
        scratch_truncate(path, at);
        ck_assert_int_eq(checkpoint_load(path, 7, spec_a, &data, &len, &err),
                         -PPT_ETRUST);
    }
    ck_assert_ptr_null(data);
}
END_TEST

static struct plan plan;
static struct spec spec;

/* Priced by hand, so that only what the model file needs is there. */
static void make_job(void)
{
    static const char text[] =
        "name: digits\naccount: acme\nkind: dp\ndataset: {name: mnist}\n"
        "model: logistic\nprivacy: {noise_multiplier: 2, delta: 1e-6, clip_norm: 1}\n"
        "training: {steps: 100, batch_size: 600, learning_rate: 0.5}\n";
    struct spec_policy policy = spec_policy_default();
    struct manifest manifest = {.name = "mnist", .n_splits = 1};
    manifest.splits[0] = (struct manifest_split){.name = "train",
                                                 .nominal_count = 60000,
                                                 .n_dims = 1,
                                                 .dims = {4},
                                                 .n_classes = 10};
    int rc = spec_parse(text, strlen(text), "job.yaml", &policy, &spec, &err);
    ck_assert_msg(rc == 0, "%s %s", err.text, err.detail);
    plan = (struct plan){.job_id = 7, .attempt = 1};
    memcpy(plan.spec_sha256, spec.sha256, sizeof spec.sha256);
    rc = price_job(&spec, &manifest, &plan.price, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
}

static const float weight[] = {1, 2, 3, 4, 5, 6}, bias[] = {-1, 0.5f};
static const struct tensor_view tensors[] = {{"0.linear.weight", 2, {3, 2}, weight},
                                             {"0.linear.bias", 1, {2}, bias}};

START_TEST(a_model_says_what_it_cost)
{
    struct h5 *file;
    struct h5_data *data;
    char text[4096], *canonical;
    int64_t integer;
    double number, full;
    float values[6];
    int64_t used[PRICE_MAX_RELEASES] = {40};
    const char *path = scratch_path("model.h5");
    make_job();
    int rc = model_h5_save(path, &plan, &spec, used, tensors, 2, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(h5_open(path, &file, &err), 0);
    ck_assert_int_eq(h5_get_integer(file, "/", "ppt_model_version", &integer, &err), 0);
    ck_assert_int_eq(integer, MODEL_H5_VERSION);
    ck_assert_int_eq(h5_get_integer(file, "/", "job_id", &integer, &err), 0);
    ck_assert_int_eq(integer, 7);
    ck_assert_int_eq(h5_get_text(file, "/", "spec_sha256", text, sizeof text, &err), 0);
    ck_assert_str_eq(text, spec.sha256);
    ck_assert_int_eq(h5_get_text(file, "/", "spec", text, sizeof text, &err), 0);
    ck_assert_int_eq(spec_canonical(&spec, &canonical, &err), 0);
    ck_assert_str_eq(text, canonical);
    free(canonical);
    ck_assert_int_eq(h5_get_integer(file, "/", "used_training-step", &integer, &err),
                     0);
    ck_assert_int_eq(integer, 40);
    ck_assert_int_eq(h5_get_number(file, "/", "delta", &number, &err), 0);
    ck_assert_double_eq(number, 1e-6);
    /* 40 of 100 steps cost something, and less than the whole. */
    ck_assert_int_eq(h5_get_number(file, "/", "epsilon", &number, &err), 0);
    ck_assert_int_eq(cost_epsilon(&plan.price.cost, 1e-6, &full, NULL, &err), 0);
    ck_assert(number > 0 && number < full);
    ck_assert_int_eq(h5_data_open(file, "tensors/0.linear.weight", &data, &err), 0);
    ck_assert_int_eq(h5_data_shape(data)->dims[0], 3);
    ck_assert_int_eq(h5_data_shape(data)->dims[1], 2);
    ck_assert_int_eq(h5_data_read(data, 0, 3, values, &err), 0);
    ck_assert_mem_eq(values, weight, sizeof weight);
    h5_data_close(data);
    h5_close(file, NULL);
}
END_TEST

/* A model that cannot be written leaves the old one, and no other file. */
START_TEST(a_model_is_replaced_whole)
{
    int64_t used[PRICE_MAX_RELEASES] = {40}, too_much[PRICE_MAX_RELEASES] = {101};
    const struct tensor_view twice[] = {tensors[1], tensors[1]};
    const char *path = scratch_write("model.h5", "old", 3);
    make_job();
    ck_assert_int_eq(model_h5_save(path, &plan, &spec, too_much, tensors, 2, &err),
                     -PPT_ERANGE);
    ck_assert_int_lt(model_h5_save(path, &plan, &spec, used, twice, 2, &err), 0);
    ck_assert_int_eq(scratch_size(path), 3);
    ck_assert_int_eq(scratch_size(scratch_path("model.h5.tmp")), -1);
    ck_assert_int_eq(model_h5_save(path, &plan, &spec, used, tensors, 2, &err), 0);
    ck_assert_int_gt(scratch_size(path), 3);
    ck_assert_int_eq(
        model_h5_save("/nowhere/m.h5", &plan, &spec, used, tensors, 2, &err), -PPT_EIO);
}
END_TEST

/* Against the definition, over two blocks, the second short. */
START_TEST(the_digest_is_that_of_the_blocks)
{
    static unsigned char block[MANIFEST_BLOCK_BYTES];
    unsigned char hashes[2][CRYPTO_SHA256_SIZE];
    char want[MANIFEST_HEX_SIZE], got[MANIFEST_HEX_SIZE];
    const char *path = scratch_path("big");
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (unsigned char)(i * 2654435761u >> 13);
    FILE *file = fopen(path, "w");
    fwrite(block, 1, sizeof block, file);
    fwrite(block, 1, 1000, file);
    fclose(file);
    crypto_sha256(block, sizeof block, hashes[0]);
    crypto_sha256(block, 1000, hashes[1]);
    crypto_sha256_hex(hashes, sizeof hashes, want);
    ck_assert_int_eq(digest_file(path, &comm_alone, got, &err), 0);
    ck_assert_str_eq(got, want);
    scratch_write("none", "", 0);
    crypto_sha256_hex("", 0, want);
    ck_assert_int_eq(digest_file(scratch_path("none"), &comm_alone, got, &err), 0);
    ck_assert_str_eq(got, want);
    ck_assert_int_eq(digest_file(scratch_path("absent"), &comm_alone, got, &err),
                     -PPT_ENOTFOUND);
}
END_TEST

START_TEST(progress_is_one_line_a_second)
{
    char *text = NULL;
    size_t len = 0;
    struct progress_line line = {.file = open_memstream(&text, &len)};
    struct progress p = {
        .n_steps = 100, .epsilon = 1.5, .expected_examples_per_s = 1e4};
    for (p.step = 1; p.step <= 100; p.step++)
        progress_show(&line, &p);
    progress_end(&line);
    fclose(line.file);
    ck_assert_str_eq(text,
                     "ppt-worker: step 1/100, epsilon 1.500, 10000 examples/s\n"
                     "ppt-worker: step 100/100, epsilon 1.500, 10000 examples/s\n");
    free(text);
}
END_TEST

START_TEST(progress_shows_what_is_public)
{
    char *text = NULL;
    size_t len = 0;
    struct progress_line line = {.file = open_memstream(&text, &len),
                                 .is_terminal = true};
    struct progress p = {.step = 10, .n_steps = 100};
    progress_show(&line, &p);
    usleep(1100000);
    p.step = 20;
    p.has_loss = p.has_test_accuracy = true;
    p.loss = 0.25;
    p.test_accuracy = 0.975;
    progress_show(&line, &p);
    progress_end(&line);
    fclose(line.file);
    ck_assert_str_eq(text,
                     "\r\033[Kstep 10/100, 0 examples/s\r\033[Kstep 20/100, "
                     "loss 0.2500, test accuracy 97.50 %, 0 examples/s, 9 s left\n");
    free(text);
}
END_TEST

static const int signals[] = {SIGTERM, SIGINT, SIGUSR1};

START_TEST(signals_set_the_flag)
{
    stop_watch();
    ck_assert_int_eq(stop_requested, 0);
    raise(signals[_i]);
    ck_assert_int_eq(stop_requested, 1);
}
END_TEST

START_TEST(the_clock_can_be_stopped)
{
    stop_within(1);
    stop_at_ease();
    usleep(1300000);
    ck_assert_int_eq(stop_overdue, 0);
    stop_within(1);
    usleep(1300000);
    usleep(100000);
    ck_assert_int_eq(stop_overdue, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("files");
    TCase *tc = tcase_create("files");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_checkpoint_comes_back);
    tcase_add_test(tc, another_checkpoint_is_refused);
    tcase_add_test(tc, a_model_says_what_it_cost);
    tcase_add_test(tc, a_model_is_replaced_whole);
    tcase_add_test(tc, the_digest_is_that_of_the_blocks);
    tcase_add_test(tc, progress_is_one_line_a_second);
    tcase_add_test(tc, progress_shows_what_is_public);
    tcase_add_loop_test(tc, signals_set_the_flag, 0, 3);
    tcase_add_test(tc, the_clock_can_be_stopped);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
