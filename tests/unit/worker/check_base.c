/* The base of a job: what this program saved is read back, of the digest stated only;
 * and every way a safetensors file can be wrong. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/pathsafe.h"
#include "tests/unit/worker/scratch.h"
#include "worker/base_model.h"
#include "worker/model_h5.h"
#include "worker/model_safetensors.h"
#include "worker/safetensors.h"

static struct error err;

static const float weight[] = {1, 2, 3, 4, 5, 6}, bias[] = {-1, 0.5f};
static const float odd[] = {1, NAN};
static const struct tensor_view tensors[] = {{"0.linear.weight", 2, {3, 2}, weight},
                                             {"0.linear.bias", 1, {2}, bias},
                                             {"1.odd", 1, {2}, odd}};
static struct model_facts facts; /* none */

static const char *const names[] = {"base.safetensors", "base.h5"};

static struct spec_base spec_of(const char *name)
{
    struct spec_base spec = {0};
    char *text;
    size_t len;
    snprintf(spec.file, sizeof spec.file, "%s", name);
    ck_assert_int_eq(pathsafe_read_file(scratch_path(name), 1 << 20, &text, &len, &err),
                     0);
    crypto_sha256_hex(text, len, spec.sha256);
    free(text);
    return spec;
}

START_TEST(what_was_saved_is_read)
{
    struct base_model *base;
    float values[6];
    const char *path = scratch_path(names[_i]);
    ck_assert_int_eq((_i == 0 ? model_safetensors_save
                              : model_h5_save)(path, &facts, tensors, 3, &err),
                     0);
    struct spec_base spec = spec_of(names[_i]);
    ck_assert_int_eq(base_model_open(scratch_path("data.h5"), &spec, &base, &err), 0);
    ck_assert_int_eq(base_model_read(base, &tensors[0], values, &err), 0);
    ck_assert_mem_eq(values, weight, sizeof weight);
    ck_assert_int_eq(base_model_read(base, &tensors[1], values, &err), 0);
    ck_assert_mem_eq(values, bias, sizeof bias);
    ck_assert_int_eq(base_model_read(base, &tensors[2], values, &err), -PPT_EDATA);
    scratch_expect(&err, "1.odd holds a NaN or an infinity");
    struct tensor_view other = {"0.linear.weight", 2, {2, 3}, NULL};
    ck_assert_int_eq(base_model_read(base, &other, values, &err), -PPT_EDATA);
    scratch_expect(&err, "0.linear.weight has another shape than the layer");
    other = (struct tensor_view){"0.linear.weight", 1, {6}, NULL};
    ck_assert_int_eq(base_model_read(base, &other, values, &err), -PPT_EDATA);
    other = (struct tensor_view){"7.linear.weight", 1, {6}, NULL};
    ck_assert_int_eq(base_model_read(base, &other, values, &err), -PPT_EDATA);
    base_model_close(base);
    spec.sha256[0] = spec.sha256[0] == '0' ? '1' : '0';
    ck_assert_int_eq(base_model_open(scratch_path("data.h5"), &spec, &base, &err),
                     -PPT_ETRUST);
    scratch_expect(&err, "not the model.base that the spec names");
    snprintf(spec.file, sizeof spec.file, "absent.h5");
    ck_assert_int_eq(base_model_open(scratch_path("data.h5"), &spec, &base, &err),
                     -PPT_ENOTFOUND);
}
END_TEST

/* A file of this header and n_data bytes. */
static int parse(const char *header, uint64_t n_header, size_t n_data,
                 struct safetensors **ret_file)
{
    static unsigned char bytes[4096];
    memcpy(bytes, &n_header, sizeof n_header);
    memcpy(bytes + 8, header, strlen(header));
    return safetensors_parse(bytes, 8 + strlen(header) + n_data, "f", ret_file, &err);
}

static const struct {
    const char *header, *words;
} faults[] = {
    {"[]", "expected tensors by name"},
    {"{\"a\": 3}", "a: expected a mapping"},
    {"{\"a\": {\"dtype\": \"F32\", \"shape\": [2]}}",
     "data_offsets: expected this key"},
    {"{\"a\": {\"dtype\": \"F31\", \"shape\": [2], \"data_offsets\": [0, 8]}}",
     "a.dtype: expected a type such as F32"},
    {"{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 9]}}",
     "data_offsets: expected as many bytes"},
    {"{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [8, 0]}}",
     "data_offsets: expected as many bytes"},
    {"{\"a\": {\"dtype\": \"F32\", \"shape\": [5], \"data_offsets\": [0, 20]}}",
     "a.data_offsets[1]: expected an integer from 0 to 16"},
    {"{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [-8, 0]}}",
     "a.data_offsets[0]: expected an integer"},
    {"{\"a\": {\"dtype\": \"F32\", \"shape\": [4294967296, 4294967296], "
     "\"data_offsets\": [0, 0]}}",
     "a.shape: expected at most 2^48 values"},
    {"{\"a\": {\"dtype\": \"F32\", \"shape\": 2, \"data_offsets\": [0, 8]}}",
     "a.shape: expected a list"},
    {"{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8]}, "
     "\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [8, 16]}}",
     "a"},
    {"{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8], \"b\": "
     "1}}",
     "a.b: expected one of the keys"},
    {"{\"a\": ", ""},
};
enum { N_FAULTS = sizeof faults / sizeof faults[0] };

START_TEST(headers_are_not_trusted)
{
    struct safetensors *file = NULL;
    const char *header = faults[_i].header;
    ck_assert_int_eq(parse(header, strlen(header), 16, &file), -PPT_EDATA);
    ck_assert_int_eq(err.code, PPT_EDATA);
    ck_assert_msg(strstr(err.detail, faults[_i].words) != NULL, "%s", err.detail);
}
END_TEST

START_TEST(lengths_are_not_trusted)
{
    struct safetensors *file = NULL;
    const uint64_t lengths[] = {3, 1 << 20, (1 << 20) + 1, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        ck_assert_int_eq(parse("{}", lengths[i], 0, &file), -PPT_EDATA);
        scratch_expect(&err, "f: not a safetensors file");
    }
    ck_assert_int_eq(safetensors_parse("short", 5, "f", &file, &err), -PPT_EDATA);
    ck_assert_int_eq(parse("{}", 2, 0, &file), 0);
    struct tensor_view wanted = {"__metadata__", 1, {1}, NULL};
    float value;
    ck_assert_int_eq(safetensors_read(file, &wanted, &value, &err), -PPT_EDATA);
    safetensors_free(file);
    const char half[] =
        "{\"a\": {\"dtype\": \"F16\", \"shape\": [2], \"data_offsets\": "
        "[0, 4]}}";
    ck_assert_int_eq(parse(half, strlen(half), 4, &file), 0);
    wanted = (struct tensor_view){"a", 1, {2}, NULL};
    ck_assert_int_eq(safetensors_read(file, &wanted, &value, &err), -PPT_EDATA);
    scratch_expect(&err, "a is F16, expected F32");
    safetensors_free(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *tc = tcase_create("base");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_add_loop_test(tc, what_was_saved_is_read, 0, 2);
    tcase_add_loop_test(tc, headers_are_not_trusted, 0, N_FAULTS);
    tcase_add_test(tc, lengths_are_not_trusted);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
