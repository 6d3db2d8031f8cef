/* The trained model as a file, in both formats. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pathsafe.h"
#include "base/ydoc.h"
#include "tests/unit/worker/scratch.h"
#include "worker/h5.h"
#include "worker/model_h5.h"
#include "worker/model_safetensors.h"
#include "worker/mould.h"

static struct error err;

static struct plan plan;
static struct spec spec;
static struct model_facts facts;

/* Priced by hand, so that only what the model file needs is there. */
static void make_job(const int64_t used[PRICE_MAX_RELEASES])
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
    rc = model_facts_make(&plan, &spec, used, &facts, &err);
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
    make_job(used);
    int rc = model_h5_save(path, &facts, tensors, 2, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(h5_open(path, &file, &err), 0);
    ck_assert_int_eq(h5_get_integer(file, "/", "ppt_model_version", &integer, &err), 0);
    ck_assert_int_eq(integer, MODEL_VERSION);
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
    model_facts_free(&facts);
}
END_TEST

static float cell(int model, int i)
{
    return (float)(model * 1000 + i) / 7;
}

/* Saves a model of its own number with n weights and reads it back. *ret_is_bare: it is
 * in HDF5's oldest format, as those are that did not go through the library. */
static void check_round(int model, int n, bool *ret_is_bare)
{
    const int64_t used[PRICE_MAX_RELEASES] = {model};
    const char *path = scratch_path("model.h5");
    float *values = calloc((size_t)n, sizeof *values);
    float *back = calloc((size_t)n, sizeof *back);
    const struct tensor_view view = {"0.linear.weight", 1, {n}, values};
    struct h5 *file;
    struct h5_data *data;
    int64_t integer;
    double number, epsilon;
    char text[4096], *bytes;
    size_t len;
    make_job(used);
    facts.facts[1].integer = model; /* the job's id */
    for (int i = 0; i < n; i++)
        values[i] = cell(model, i);
    int rc = model_h5_save(path, &facts, &view, 1, &err);
    ck_assert_msg(rc == 0, "%s %s", err.text, err.detail);
    ck_assert_int_eq(h5_open(path, &file, &err), 0);
    ck_assert_int_eq(h5_get_integer(file, "/", "job_id", &integer, &err), 0);
    ck_assert_int_eq(integer, model);
    ck_assert_int_eq(h5_get_integer(file, "/", "used_training-step", &integer, &err),
                     0);
    ck_assert_int_eq(integer, model);
    ck_assert_int_eq(h5_get_number(file, "/", "epsilon", &number, &err), 0);
    ck_assert_int_eq(price_epsilon(&plan.price, used, &epsilon, &err), 0);
    ck_assert_double_eq(number, epsilon);
    ck_assert_int_eq(h5_get_text(file, "/", "spec", text, sizeof text, &err), 0);
    ck_assert_str_eq(text, facts.spec);
    ck_assert_int_eq(h5_data_open(file, "tensors/0.linear.weight", &data, &err), 0);
    ck_assert_int_eq(h5_data_shape(data)->dims[0], n);
    ck_assert_int_eq(h5_data_read(data, 0, (size_t)n, back, &err), 0);
    ck_assert_mem_eq(back, values, (size_t)n * sizeof *back);
    h5_data_close(data);
    h5_close(file, NULL);
    ck_assert_int_eq(scratch_size(scratch_path("model.h5.tmp")), -1);
    ck_assert_int_eq(pathsafe_read_file(path, 1 << 20, &bytes, &len, &err), 0);
    *ret_is_bare = bytes[8] == 0; /* the superblock's version */
    free(bytes);
    free(values);
    free(back);
    model_facts_free(&facts);
}

/* Small ones are cast in the mould of the last that was alike; each has its own values,
 * also after one of another shape, and where values are too large for a mould. */
START_TEST(small_models_are_cast)
{
    bool is_bare;
    for (int model = 1; model <= 3; model++) {
        check_round(model, 9, &is_bare);
        ck_assert(is_bare);
    }
    check_round(4, 100, &is_bare);
    ck_assert(is_bare);
    check_round(5, 9, &is_bare);
    ck_assert(is_bare);
    check_round(6, 1 << 17, &is_bare);
    ck_assert(!is_bare);
    check_round(7, 9, &is_bare);
    ck_assert(is_bare);
}
END_TEST

/* Where a mark cannot be told from what is beside it there is no mould. */
START_TEST(a_mark_is_there_once)
{
    const char text[] = "one two two";
    const struct mould_value good[] = {{"one", 3}, {" two ", 5}};
    const struct mould_value bad[][1] = {{{"two", 3}}, {{"four", 4}}, {{"", 0}}};
    const struct mould_value values[] = {{"ONE", 3}, {"-and-", 5}};
    struct mould mould = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert(!mould_make(strdup(text), strlen(text), bad[i], 1, &mould));
    ck_assert_ptr_null(mould.image);
    ck_assert(mould_make(strdup(text), strlen(text), good, 2, &mould));
    char *cast = mould_cast(&mould, values);
    ck_assert_mem_eq(cast, "ONE-and-two", mould.len);
    free(cast);
    mould_free(&mould);
}
END_TEST

START_TEST(more_than_the_price_is_no_model)
{
    int64_t used[PRICE_MAX_RELEASES] = {40}, too_much[PRICE_MAX_RELEASES] = {101};
    struct model_facts none = {.n = -1};
    make_job(used);
    ck_assert_int_eq(model_facts_make(&plan, &spec, too_much, &none, &err),
                     -PPT_ERANGE);
    ck_assert_int_eq(none.n, -1);
    model_facts_free(&facts);
}
END_TEST

/* A model that cannot be written leaves the old one, and no other file. */
START_TEST(a_model_is_replaced_whole)
{
    int64_t used[PRICE_MAX_RELEASES] = {40};
    const struct tensor_view twice[] = {tensors[1], tensors[1]};
    const char *path = scratch_write("model.h5", "old", 3);
    make_job(used);
    ck_assert_int_lt(model_h5_save(path, &facts, twice, 2, &err), 0);
    ck_assert_int_eq(scratch_size(path), 3);
    ck_assert_int_eq(scratch_size(scratch_path("model.h5.tmp")), -1);
    ck_assert_int_eq(model_h5_save(path, &facts, tensors, 2, &err), 0);
    ck_assert_int_gt(scratch_size(path), 3);
    ck_assert_int_eq(model_h5_save("/nowhere/m.h5", &facts, tensors, 2, &err),
                     -PPT_EIO);
    model_facts_free(&facts);
}
END_TEST

/* The header's length in its first 8 bytes, little-endian. */
static size_t header_len(const char *text)
{
    size_t len = 0;
    for (int i = 7; i >= 0; i--)
        len = len << 8 | (unsigned char)text[i];
    return len;
}

static int64_t number(const struct ydoc_node *node)
{
    ck_assert_ptr_nonnull(node);
    return strtoll(node->text, NULL, 10);
}

static void check_tensor(const struct ydoc_node *header, const char *name,
                         const int64_t *dims, int n_dims, int64_t begin, int64_t end)
{
    const struct ydoc_node *tensor = ydoc_get(header, name);
    ck_assert_ptr_nonnull(tensor);
    ck_assert_str_eq(ydoc_get(tensor, "dtype")->text, "F32");
    const struct ydoc_node *shape = ydoc_get(tensor, "shape");
    ck_assert_int_eq(shape->n_children, n_dims);
    const struct ydoc_node *dim = shape->first;
    for (int d = 0; d < n_dims; d++, dim = dim->next)
        ck_assert_int_eq(number(dim), dims[d]);
    const struct ydoc_node *offsets = ydoc_get(tensor, "data_offsets");
    ck_assert_int_eq(number(offsets->first), begin);
    ck_assert_int_eq(number(offsets->first->next), end);
}

/* Read by what the format's description says, not by our own code. */
START_TEST(safetensors_hold_the_same)
{
    int64_t used[PRICE_MAX_RELEASES] = {40};
    const char *path = scratch_path("model.safetensors");
    struct ydoc_faults faults = {.path = path};
    char *text;
    size_t len;
    make_job(used);
    int rc = model_safetensors_save(path, &facts, tensors, 2, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_int_eq(pathsafe_read_file(path, 1 << 20, &text, &len, &err), 0);
    size_t n_header = header_len(text);
    ck_assert_uint_eq(n_header % 8, 0);
    ck_assert_uint_eq(len, 8 + n_header + sizeof weight + sizeof bias);
    ck_assert_int_eq(text[8], '{');
    struct ydoc *doc = ydoc_parse(text + 8, n_header, NULL, &faults);
    ck_assert_int_eq(faults.n, 0);
    const struct ydoc_node *header = ydoc_root(doc);
    ck_assert_int_eq(header->n_children, 3);
    const struct ydoc_node *metadata = ydoc_get(header, "__metadata__");
    ck_assert_str_eq(ydoc_get(metadata, "spec_sha256")->text, spec.sha256);
    ck_assert_str_eq(ydoc_get(metadata, "job_id")->text, "7");
    ck_assert_str_eq(ydoc_get(metadata, "used_training-step")->text, "40");
    ck_assert_double_gt(strtod(ydoc_get(metadata, "epsilon")->text, NULL), 0);
    for (const struct ydoc_node *fact = metadata->first; fact; fact = fact->next)
        ck_assert(!fact->is_plain); /* the format has texts only */
    check_tensor(header, tensors[0].name, tensors[0].dims, 2, 0, 24);
    check_tensor(header, tensors[1].name, tensors[1].dims, 1, 24, 32);
    ck_assert_mem_eq(text + 8 + n_header, weight, sizeof weight);
    ck_assert_mem_eq(text + 8 + n_header + 24, bias, sizeof bias);
    ydoc_free(doc);
    free(text);
    model_facts_free(&facts);
}
END_TEST

START_TEST(safetensors_are_replaced_whole)
{
    int64_t used[PRICE_MAX_RELEASES] = {40};
    const struct tensor_view twice[] = {tensors[1], tensors[1]};
    const char *path = scratch_write("model.safetensors", "old", 3);
    make_job(used);
    ck_assert_int_eq(model_safetensors_save(path, &facts, twice, 2, &err), -PPT_EDATA);
    scratch_expect(&err, "two tensors 0.linear.bias");
    ck_assert_int_eq(scratch_size(path), 3);
    ck_assert_int_eq(scratch_size(scratch_path("model.safetensors.tmp")), -1);
    ck_assert_int_eq(model_safetensors_save(path, &facts, tensors, 2, &err), 0);
    ck_assert_int_gt(scratch_size(path), 3);
    ck_assert_int_eq(model_safetensors_save("/nowhere/m", &facts, tensors, 2, &err),
                     -PPT_EIO);
    /* A full disk is noticed. */
    ck_assert_int_eq(symlink("/dev/full", scratch_path("full.tmp")), 0);
    ck_assert_int_eq(
        model_safetensors_save(scratch_path("full"), &facts, tensors, 2, &err),
        -PPT_EIO);
    model_facts_free(&facts);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_files");
    TCase *tc = tcase_create("model_files");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_add_test(tc, a_model_says_what_it_cost);
    tcase_add_test(tc, small_models_are_cast);
    tcase_add_test(tc, a_mark_is_there_once);
    tcase_add_test(tc, more_than_the_price_is_no_model);
    tcase_add_test(tc, a_model_is_replaced_whole);
    tcase_add_test(tc, safetensors_hold_the_same);
    tcase_add_test(tc, safetensors_are_replaced_whole);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
