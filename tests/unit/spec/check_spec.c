/* What files cannot show: sizes, missing files, policies, names. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "jobs/spec/name.h"
#include "jobs/spec/spec.h"

#define GOOD                                                                           \
    "name: job\naccount: acme\nkind: dp\ndataset: {name: mnist}\nmodel: cnn\n"         \
    "privacy: {epsilon: 20, delta: 1e-6, clip_norm: 1}\n"                              \
    "training: {steps: 10, batch_size: 64, learning_rate: 0.1}\n"

static struct error err;
static struct spec spec;

START_TEST(size_is_bounded)
{
    struct spec_policy policy = spec_policy_default();
    policy.max_epsilon = 20;
    char *text = malloc(SPEC_MAX_BYTES + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, '#', SPEC_MAX_BYTES + 1);
    memcpy(text, GOOD, strlen(GOOD));
    ck_assert_int_eq(spec_parse(text, SPEC_MAX_BYTES, "f", &policy, &spec, &err), 0);
    ck_assert_int_eq(spec_parse(text, SPEC_MAX_BYTES + 1, "f", &policy, &spec, &err),
                     -PPT_ESPEC);
    ck_assert_str_eq(err.detail, "f: expected at most 262144 bytes, found 262145");
    free(text);
}
END_TEST

START_TEST(policy_is_the_sites)
{
    struct spec_policy policy = spec_policy_default();
    struct spec before = spec;
    ck_assert_int_eq(spec_parse(GOOD, strlen(GOOD), "f", &policy, &spec, &err),
                     -PPT_EPOLICY);
    ck_assert_mem_eq(&spec, &before, sizeof spec);
    ck_assert_str_eq(err.text, "f is not a valid job spec: 1 fault");
    ck_assert_int_eq(spec_parse(GOOD, strlen(GOOD), "f", NULL, &spec, &err), 0);
    ck_assert(spec.privacy.epsilon == 20);

    /* a default can be too much for a site although the file says nothing */
    policy.max_epsilon = 20;
    policy.max_memory_bytes = 1 << 30;
    ck_assert_int_eq(spec_parse(GOOD, strlen(GOOD), "f", &policy, &spec, &err),
                     -PPT_EPOLICY);
    ck_assert_str_eq(err.detail,
                     "f:1:1: resources.memory: expected at most 1073741824 bytes by "
                     "this site's policy, found 2147483648 bytes");
    ck_assert_int_eq(spec_parse(GOOD, strlen(GOOD), "f", &policy, &spec, NULL),
                     -PPT_EPOLICY);
}
END_TEST

/* Where mpirun starts jobs, wishes to Slurm are refused and not forgotten. */
START_TEST(wishes_to_slurm_are_for_slurm)
{
    static const char wish[] = GOOD "resources: {slurm: {partition: fast}}\n",
                      none[] = GOOD "resources: {slurm: {}}\n";
    struct spec_policy policy = spec_policy_default();
    policy.max_epsilon = 20;
    ck_assert_int_eq(spec_parse(wish, strlen(wish), "f", &policy, &spec, &err), 0);
    ck_assert_str_eq(spec.resources.slurm.partition, "fast");
    policy.refuses_slurm = true;
    ck_assert_int_eq(spec_parse(none, strlen(none), "f", &policy, &spec, &err), 0);
    ck_assert_int_eq(spec_parse(wish, strlen(wish), "f", &policy, &spec, &err),
                     -PPT_EPOLICY);
    ck_assert_ptr_nonnull(strstr(err.detail,
                                 "resources.slurm: expected no such section: this site "
                                 "starts jobs by mpirun, not by Slurm"));
}
END_TEST

START_TEST(defaults_stand_in_the_struct)
{
    ck_assert_int_eq(spec_parse(GOOD, strlen(GOOD), "f", NULL, &spec, &err), 0);
    ck_assert_str_eq(spec.dataset.train, "train");
    ck_assert_str_eq(spec.dataset.test, "");
    ck_assert(spec.dataset.mean == 0 && spec.dataset.std == 1);
    ck_assert_int_eq(spec.model.preset, PRESET_CNN);
    ck_assert_int_eq(spec.model.hidden, 0);
    ck_assert(spec.privacy.is_private);
    ck_assert_int_eq(spec.privacy.unit, UNIT_EXAMPLE);
    ck_assert(spec.privacy.noise_multiplier == 0);
    ck_assert_int_eq(spec.training.optimizer, OPTIMIZER_SGD);
    ck_assert(spec.training.momentum == 0 && spec.training.beta1 == 0);
    ck_assert_int_eq(spec.training.epochs, 0);
    ck_assert_int_eq(spec.training.checkpoint_every, 500);
    ck_assert_int_eq(spec.resources.time_limit_s, 3600);
    ck_assert_int_eq(spec.resources.memory_bytes, (int64_t)2 << 30);
    ck_assert_str_eq(spec.output.model, "model.h5");
    ck_assert_uint_eq(strlen(spec.sha256), 64);
}
END_TEST

START_TEST(files_are_read)
{
    char path[] = "/tmp/check_spec.XXXXXX", *text = NULL;
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, GOOD, strlen(GOOD)), (ssize_t)strlen(GOOD));
    close(fd);
    ck_assert_int_eq(spec_read(path, NULL, &spec, &text, &err), 0);
    ck_assert_str_eq(text, GOOD);
    free(text);
    text = NULL;
    struct spec_policy policy = spec_policy_default();
    ck_assert_int_eq(spec_read(path, &policy, &spec, &text, &err), -PPT_EPOLICY);
    ck_assert_ptr_null(text);
    ck_assert_int_eq(strncmp(err.detail, path, strlen(path)), 0);
    unlink(path);
    ck_assert_int_eq(spec_read(path, NULL, &spec, NULL, &err), -PPT_ENOTFOUND);
}
END_TEST

static const struct {
    const char *text;
    bool is_name, is_account;
} names[] = {
    {"a", true, true},          {"A.b_c-9", true, true},  {"_x", true, true},
    {"", false, false},         {".a", false, false},     {"-a", false, false},
    {"a b", false, false},      {"a/b", false, true},     {"a/", false, false},
    {"/a", false, false},       {"a//b", false, false},   {"a/.b", false, false},
    {"a/-b", false, false},     {"a/../b", false, false}, {"a\n", false, false},
    {"\xc3\xa4", false, false}, {"a;b", false, false},    {"a'b", false, false},
};

START_TEST(names_are_safe)
{
    ck_assert_msg(name_is_valid(names[_i].text) == names[_i].is_name, "%s",
                  names[_i].text);
    ck_assert_msg(name_is_account(names[_i].text) == names[_i].is_account, "%s",
                  names[_i].text);
}
END_TEST

START_TEST(accounts_are_bounded)
{
    char path[64] = "a";
    for (int depth = 2; depth <= NAME_MAX_DEPTH; depth++)
        strcat(path, "/a");
    ck_assert(name_is_account(path));
    strcat(path, "/a");
    ck_assert(!name_is_account(path));
    char longest[130];
    memset(longest, 'n', sizeof longest);
    longest[127] = '\0';
    ck_assert(name_is_valid(longest) && name_is_account(longest));
    longest[127] = 'n';
    longest[128] = '\0';
    ck_assert(!name_is_valid(longest) && !name_is_account(longest));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spec");
    TCase *tcase = tcase_create("spec");
    tcase_add_test(tcase, size_is_bounded);
    tcase_add_test(tcase, policy_is_the_sites);
    tcase_add_test(tcase, wishes_to_slurm_are_for_slurm);
    tcase_add_test(tcase, defaults_stand_in_the_struct);
    tcase_add_test(tcase, files_are_read);
    tcase_add_loop_test(tcase, names_are_safe, 0, sizeof names / sizeof names[0]);
    tcase_add_test(tcase, accounts_are_bounded);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
