/* A manifest comes back as it was written; each fault has its words. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "jobs/manifest.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEAD                                                                           \
    "name: mnist\nfile: mnist.h5\nunit: example\nrelation: add_remove\n"               \
    "digest: " DIGEST "\n"
#define TRAIN                                                                          \
    "splits:\n- {name: train, nominal_count: 60000, x_type: uint8, dims: [28, 28], "   \
    "n_classes: 10}\n"

static struct error err;

static struct manifest sample(void)
{
    struct manifest m;
    memset(&m, 0, sizeof m);
    strcpy(m.name, "mnist");
    strcpy(m.file, "sub dir/\"mnist\" \xc3\xa4: #1.h5");
    m.unit = UNIT_USER;
    m.relation = RELATION_ADD_REMOVE;
    strcpy(m.digest, DIGEST);
    m.n_splits = 2;
    m.splits[0] = (struct manifest_split){.name = "train",
                                          .nominal_count = (int64_t)1 << 40,
                                          .nominal_users = (int64_t)1 << 20,
                                          .x_type = TYPE_FLOAT32,
                                          .n_dims = 3,
                                          .dims = {1, 28, 28},
                                          .n_classes = 10};
    m.splits[1] = (struct manifest_split){.name = "test",
                                          .x_type = TYPE_UINT8,
                                          .n_dims = 1,
                                          .dims = {784},
                                          .n_classes = 10};
    return m;
}

static void compare(const struct manifest *a, const struct manifest *b)
{
    ck_assert_str_eq(a->name, b->name);
    ck_assert_str_eq(a->file, b->file);
    ck_assert_int_eq(a->unit, b->unit);
    ck_assert_int_eq(a->relation, b->relation);
    ck_assert_str_eq(a->digest, b->digest);
    ck_assert_int_eq(a->n_splits, b->n_splits);
    for (int s = 0; s < a->n_splits; s++) {
        const struct manifest_split *x = &a->splits[s], *y = &b->splits[s];
        ck_assert_str_eq(x->name, y->name);
        ck_assert(x->nominal_count == y->nominal_count);
        ck_assert(x->nominal_users == y->nominal_users);
        ck_assert_int_eq(x->x_type, y->x_type);
        ck_assert_int_eq(x->n_dims, y->n_dims);
        ck_assert_mem_eq(x->dims, y->dims, sizeof x->dims);
        ck_assert(x->n_classes == y->n_classes);
    }
}

START_TEST(comes_back)
{
    struct manifest before = sample(), after;
    char path[] = "/tmp/check_manifest.XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(manifest_write(&before, file, &err), 0);
    fclose(file);
    ck_assert_msg(manifest_read(path, &after, &err) == 0, "%s", err.detail);
    compare(&before, &after);
    ck_assert_ptr_eq(manifest_split(&after, "test"), &after.splits[1]);
    ck_assert_ptr_null(manifest_split(&after, "validation"));
    unlink(path);
    ck_assert_int_eq(manifest_read(path, &after, &err), -PPT_ENOTFOUND);
}
END_TEST

START_TEST(a_full_disk_is_told)
{
    struct manifest m = sample();
    FILE *file = fopen("/dev/full", "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(manifest_write(&m, file, &err), -PPT_EIO);
    fclose(file);
}
END_TEST

static const struct {
    const char *text, *detail;
} faults[] = {
    {"", "f:1:1: expected a document, found nothing"},
    {HEAD, "f:1:1: splits: expected this key, it is missing"},
    {HEAD "splits: []\n", "f:6:9: splits: expected a list of 1 to 8 splits"},
    {HEAD "splits: [3]\n", "f:6:10: splits[0]: expected a mapping, found \"3\""},
    {HEAD TRAIN "n_rows: 59999\n",
     "f:8:1: n_rows: expected one of the keys name, file, unit, relation, digest or "
     "splits"},
    {HEAD "splits:\n- {name: train, count: 59999, x_type: uint8, dims: [4], n_classes: "
          "2}\n",
     "f:7:17: splits[0].count: expected one of the keys name, nominal_count, "
     "nominal_users, x_type, dims, n_classes or n_tokens"},
    {HEAD
     "splits:\n- {name: a, nominal_count: 9, nominal_users: 10, x_type: uint8, dims: "
     "[1], n_classes: 2}\n",
     "f:7:46: splits[0].nominal_users: expected at most nominal_count, a record at "
     "least "
     "for each\n"
     "f:7:46: splits[0].nominal_users: expected only with unit: user"},
    {HEAD "splits:\n- {name: a, x_type: int32, dims: [4], n_classes: 2}\n",
     "f:7:21: splits[0].x_type: expected uint8 or float32, or n_tokens with it: ids of "
     "tokens"},
    {HEAD "splits:\n- {name: a, x_type: float32, dims: [4, 4], n_classes: 2, n_tokens: "
          "1}\n",
     "f:7:21: splits[0].x_type: expected uint8, uint16 or int32 for ids of tokens\n"
     "f:7:36: splits[0].dims: expected one size for a row of tokens\n"
     "f:7:68: splits[0].n_tokens: expected an integer from 2 to 16777216, found \"1\""},
    {HEAD "splits:\n- {name: a, x_type: int12, dims: [], n_classes: 0}\n",
     "f:7:21: splits[0].x_type: expected uint8, float32, int64, uint16 or int32, "
     "found \"int12\"\n"
     "f:7:34: splits[0].dims: expected a list of 1 to 3 sizes, such as [28, 28]\n"
     "f:7:49: splits[0].n_classes: expected an integer from 1 to 2147483648, found "
     "\"0\""},
    {HEAD "splits:\n- {name: a, x_type: uint8, dims: [2147483648, 2], n_classes: 2}\n",
     "f:7:34: splits[0].dims: expected at most 2147483648 values in one record"},
    {HEAD "splits:\n- {name: a, nominal_count: 0, x_type: uint8, dims: [1, 0], "
          "n_classes: 2}\n",
     "f:7:28: splits[0].nominal_count: expected an integer from 1 to 281474976710656, "
     "found \"0\"\n"
     "f:7:56: splits[0].dims[1]: expected an integer from 1 to 2147483648, found "
     "\"0\""},
    {HEAD TRAIN "- {name: train, x_type: uint8, dims: [28, 28], n_classes: 10}\n",
     "f:8:10: splits[1].name: expected each split once, found \"train\" again"},
    {"name: a/b\nfile: \"a\\nb\"\nunit: person\nrelation: add\ndigest: 00FF\n" TRAIN,
     "f:1:7: name: expected a name of letters, digits, '.', '_' and '-' that begins "
     "with neither '.' nor '-', found \"a/b\"\n"
     "f:2:7: file: expected the path of an HDF5 file\n"
     "f:3:7: unit: expected example or user, found \"person\"\n"
     "f:4:11: relation: expected add_remove or replace_one, found \"add\"\n"
     "f:5:9: digest: expected a SHA-256 digest: 64 digits of 0-9 and a-f"},
};

START_TEST(faults_have_their_words)
{
    struct manifest m = sample(), before = m;
    int rc = manifest_parse(faults[_i].text, strlen(faults[_i].text), "f", &m, &err);
    ck_assert_int_eq(rc, -PPT_ESPEC);
    ck_assert_str_eq(err.detail, faults[_i].detail);
    ck_assert_mem_eq(&m, &before, sizeof m);
}
END_TEST

START_TEST(size_is_bounded)
{
    struct manifest m;
    static char text[MANIFEST_MAX_BYTES + 1];
    memset(text, '#', sizeof text);
    memcpy(text, HEAD TRAIN, strlen(HEAD TRAIN));
    ck_assert_int_eq(manifest_parse(text, sizeof text - 1, "f", &m, &err), 0);
    ck_assert(m.splits[0].nominal_count == 60000);
    ck_assert_int_eq(manifest_parse(text, sizeof text, "f", &m, &err), -PPT_ESPEC);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manifest");
    TCase *tcase = tcase_create("manifest");
    tcase_add_test(tcase, comes_back);
    tcase_add_test(tcase, a_full_disk_is_told);
    tcase_add_loop_test(tcase, faults_have_their_words, 0,
                        sizeof faults / sizeof faults[0]);
    tcase_add_test(tcase, size_is_bounded);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
