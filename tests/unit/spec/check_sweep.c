/* Sweeps: the files of tests/specs/sweep, and that a job of a sweep is the job that its
 * user could have written by hand.
 *
 * FILE.yaml stands beside FILE.expected: the error's name and lines, or how the jobs
 * are admitted and one line of words for each.
 */
#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pathsafe.h"
#include "jobs/spec/sweep.h"

static struct error err;

static char *read_text(const char *path, size_t *ret_len)
{
    char *text;
    ck_assert_msg(pathsafe_read_file(path, 1 << 20, &text, ret_len, &err) == 0, "%s",
                  err.text);
    return text;
}

/* What the sweep says of itself, in the form of the .expected files. */
static char *told(const char *text, size_t len, const char *path)
{
    struct spec_policy policy = spec_policy_default();
    struct sweep *sweep = NULL;
    char *got = NULL, words[SWEEP_WORDS_SIZE];
    size_t size;
    FILE *to = open_memstream(&got, &size);
    err = (struct error){0};
    int rc = sweep_parse(text, len, path, &policy, &sweep, &err);
    ck_assert_int_eq(rc, -err.code);
    if (rc != 0)
        fprintf(to, "%s\n%s\n", error_name(err.code), err.detail);
    else if (!sweep_is_sweep(sweep))
        fprintf(to, "one job\n");
    else
        fprintf(to, "%s\n", sweep_is_together(sweep) ? "together" : "each");
    for (int i = 1; rc == 0 && i <= sweep_n_jobs(sweep); i++) {
        sweep_words(sweep, i, words);
        fprintf(to, "%d %s\n", i, words);
    }
    fclose(to);
    sweep_free(sweep);
    return got;
}

START_TEST(files_have_their_jobs_or_faults)
{
    char pattern[1024];
    glob_t files;
    size_t len;
    snprintf(pattern, sizeof pattern, "%s/tests/specs/sweep/*.yaml",
             getenv("PPT_SOURCE_DIR"));
    ck_assert_int_eq(glob(pattern, 0, NULL, &files), 0);
    ck_assert_uint_ge(files.gl_pathc, 11);
    for (size_t f = 0; f < files.gl_pathc; f++) {
        const char *path = files.gl_pathv[f];
        char beside[1024];
        snprintf(beside, sizeof beside, "%.*s.expected", (int)strlen(path) - 5, path);
        char *text = read_text(path, &len);
        char *got = told(text, len, strrchr(path, '/') + 1);
        char *expected = read_text(beside, &(size_t){0});
        ck_assert_msg(strcmp(got, expected) == 0, "%s: expected\n%s-- but got\n%s",
                      path, expected, got);
        free(expected);
        free(got);
        free(text);
    }
    globfree(&files);
}
END_TEST

#define BEFORE                                                                         \
    "name: lr\naccount: acme\nkind: dp\ndataset: {name: mnist}\n"                      \
    "training: {steps: 10, batch_size: 64"
#define GRID                                                                           \
    BEFORE "}\nprivacy: {delta: 1e-6, clip_norm: 1}\n"                                 \
           "sweep:\n  training.learning_rate: [0.1, 5e-1]\n  model: [cnn, mlp]\n"      \
           "  privacy.epsilon: [1, 2, 4]\n  resources.time_limit: [10m]\n"

/* In the order in which they count, each with the digest of the file without a sweep.
 */
START_TEST(jobs_are_those_written_by_hand)
{
    static const char *const rates[] = {"0.1", "0.5"}, *const models[] = {"cnn", "mlp"};
    static const int epsilons[] = {1, 2, 4};
    struct sweep *sweep;
    char text[1024];
    ck_assert_int_eq(sweep_parse(GRID, strlen(GRID), "f", NULL, &sweep, &err), 0);
    ck_assert(sweep_is_sweep(sweep) && !sweep_is_together(sweep));
    ck_assert_int_eq(sweep_n_jobs(sweep), 12);
    for (int i = 12; i >= 1; i--) { /* in any order */
        struct spec job, alone;
        snprintf(text, sizeof text,
                 BEFORE
                 ", learning_rate: %s}\nresources: {time_limit: 10m}\n"
                 "model: %s\nprivacy: {delta: 1e-6, clip_norm: 1, epsilon: %d}\n",
                 rates[(i - 1) / 6], models[(i - 1) / 3 % 2], epsilons[(i - 1) % 3]);
        ck_assert_int_eq(spec_parse(text, strlen(text), "f", NULL, &alone, &err), 0);
        ck_assert_int_eq(sweep_job(sweep, i, &job, &err), 0);
        ck_assert_str_eq(job.sha256, alone.sha256);
        ck_assert_str_eq(job.name, "lr");
    }
    sweep_free(sweep);
}
END_TEST

START_TEST(another_account_is_every_jobs)
{
    struct sweep *sweep;
    struct spec job;
    bool is_other = true;
    ck_assert_int_eq(sweep_parse(GRID, strlen(GRID), "f", NULL, &sweep, &err), 0);
    ck_assert_int_eq(sweep_set_account(sweep, "acme", &is_other, &err), 0);
    ck_assert(!is_other);
    ck_assert_int_eq(sweep_set_account(sweep, "acme/..", &is_other, &err), -PPT_ESPEC);
    ck_assert_int_eq(sweep_set_account(sweep, "acme/lab", &is_other, &err), 0);
    ck_assert(is_other);
    for (int i = 1; i <= sweep_n_jobs(sweep); i++) {
        char sha256[SPEC_HEX_SIZE];
        ck_assert_int_eq(sweep_job(sweep, i, &job, &err), 0);
        ck_assert_str_eq(job.account, "acme/lab");
        strcpy(sha256, job.sha256);
        ck_assert_int_eq(spec_set_account(&job, "acme/lab", &err), 0);
        ck_assert_str_eq(job.sha256, sha256);
    }
    sweep_free(sweep);
}
END_TEST

START_TEST(other_readers_refuse_a_sweep)
{
    struct spec spec;
    ck_assert_int_eq(spec_parse(GRID, strlen(GRID), "f", NULL, &spec, &err),
                     -PPT_ESPEC);
    ck_assert_ptr_nonnull(strstr(err.detail, "f:8:3: sweep: expected one job, found a "
                                             "sweep: ppt-submit makes jobs of it"));
}
END_TEST

START_TEST(one_thousand_and_no_more)
{
    char *text = NULL, *at;
    size_t size;
    struct sweep *sweep;
    FILE *to = open_memstream(&text, &size);
    fprintf(to, BEFORE ", learning_rate: 1}\nmodel: cnn\n"
                       "privacy: {delta: 1e-6, clip_norm: 1, epsilon: 1}\n"
                       "sweep:\n  training.seed: [0");
    for (int i = 1; i < SWEEP_MAX_JOBS; i++)
        fprintf(to, ", %d", i);
    fprintf(to, "]");
    fclose(to);
    ck_assert_int_eq(sweep_parse(text, strlen(text), "f", NULL, &sweep, &err), 0);
    ck_assert_int_eq(sweep_n_jobs(sweep), SWEEP_MAX_JOBS);
    struct spec spec;
    ck_assert_int_eq(sweep_job(sweep, 1000, &spec, &err), 0);
    ck_assert_int_eq(spec.training.seed, 999);
    sweep_free(sweep);
    at = strrchr(text, ']');
    char *more = malloc(size + 16);
    snprintf(more, size + 16, "%.*s, 1000]", (int)(at - text), text);
    ck_assert_int_eq(sweep_parse(more, strlen(more), "f", NULL, &sweep, &err),
                     -PPT_ESPEC);
    ck_assert_str_eq(err.detail,
                     "f:9:3: sweep: expected at most 1000 jobs, found a grid of 1001");
    free(more);
    free(text);
}
END_TEST

START_TEST(words_are_cut)
{
    char *text = NULL, words[SWEEP_WORDS_SIZE], name[128];
    size_t size;
    struct sweep *sweep;
    memset(name, 'n', sizeof name);
    name[127] = '\0';
    FILE *to = open_memstream(&text, &size);
    fprintf(to, BEFORE ", learning_rate: 1}\nmodel: cnn\n"
                       "privacy: {delta: 1e-6, clip_norm: 1, epsilon: 1}\nsweep:\n");
    for (int i = 0; i < 5; i++)
        fprintf(to, "  %s: [%s]\n",
                (const char *[]){"dataset.train", "dataset.test", "resources.slurm.qos",
                                 "resources.slurm.account",
                                 "resources.slurm.partition"}[i],
                name + (i == 1));
    fclose(to);
    ck_assert_int_eq(sweep_parse(text, strlen(text), "f", NULL, &sweep, &err), 0);
    sweep_words(sweep, 1, words);
    ck_assert_uint_eq(strlen(words), SWEEP_WORDS_SIZE - 1);
    ck_assert_str_eq(words + SWEEP_WORDS_SIZE - 5, "n...");
    sweep_free(sweep);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sweep");
    TCase *tcase = tcase_create("sweep");
    tcase_add_test(tcase, files_have_their_jobs_or_faults);
    tcase_add_test(tcase, jobs_are_those_written_by_hand);
    tcase_add_test(tcase, another_account_is_every_jobs);
    tcase_add_test(tcase, other_readers_refuse_a_sweep);
    tcase_add_test(tcase, one_thousand_and_no_more);
    tcase_add_test(tcase, words_are_cut);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
