/* A job's key is made once, is the owner's alone, and goes. */
#include "scheduler/job_keys.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct error err;
static char top[64], path[96];

static void setup(void)
{
    strcpy(top, "/tmp/check_job_keys.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    snprintf(path, sizeof path, "%s/7.key", top);
}

static void teardown(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", top);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(made_once_and_wiped)
{
    unsigned char first[CRYPTO_KEY_SIZE], again[CRYPTO_KEY_SIZE],
        other[CRYPTO_KEY_SIZE];
    struct stat st;
    ck_assert_int_eq(job_keys_find(top, 7, first, &err), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(st.st_size, CRYPTO_KEY_SIZE);
    ck_assert_int_eq(job_keys_find(top, 7, again, &err), 0);
    ck_assert_mem_eq(again, first, sizeof first);
    ck_assert_int_eq(job_keys_find(top, 8, other, &err), 0);
    ck_assert_mem_ne(other, first, sizeof first);
    ck_assert_int_eq(job_keys_wipe(top, 7, &err), 0);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(job_keys_wipe(top, 7, &err), 0);
    ck_assert_int_eq(job_keys_find(top, 7, again, &err), 0);
    ck_assert_mem_ne(again, first, sizeof first);
}
END_TEST

START_TEST(what_others_may_read_is_no_key)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    ck_assert_int_eq(job_keys_find(top, 7, key, &err), 0);
    ck_assert_int_eq(chmod(path, 0640), 0);
    ck_assert_int_eq(job_keys_find(top, 7, key, &err), -PPT_ETRUST);
    ck_assert_int_eq(job_keys_find("/nowhere", 7, key, &err), -PPT_EIO);
}
END_TEST

static unsigned char seen[CRYPTO_KEY_SIZE];
static bool has_seen;

static int see(struct launcher *launcher, const struct launcher_request *request,
               int lock, struct launcher_started *ret_started, struct error *start_err)
{
    (void)launcher, (void)lock, (void)ret_started, (void)start_err;
    has_seen = request->checkpoint_key != NULL;
    if (has_seen)
        memcpy(seen, request->checkpoint_key, sizeof seen);
    return 0;
}

/* Only the scheduler's own ranks get one, and only where the site says so. */
START_TEST(handed_to_whom_it_is_for)
{
    static const struct launcher_ops ops = {.name = "see", .start = see};
    struct launcher launcher = {.ops = &ops};
    struct launcher_request request = {.job_id = 7};
    struct launcher_started started;
    unsigned char key[CRYPTO_KEY_SIZE];
    static struct conf conf;
    conf = conf_default();
    snprintf(conf.checkpoint_keys, sizeof conf.checkpoint_keys, "%s", top);
    job_keys_start(&conf, &launcher, &request, true, -1, &started, &err);
    ck_assert(!has_seen);
    conf.hands_keys_over = true;
    job_keys_start(&conf, &launcher, &request, false, -1, &started, &err);
    ck_assert(!has_seen && access(path, F_OK) != 0);
    ck_assert_int_eq(
        job_keys_start(&conf, &launcher, &request, true, -1, &started, &err), 0);
    ck_assert(has_seen);
    ck_assert_int_eq(job_keys_find(top, 7, key, &err), 0);
    ck_assert_mem_eq(seen, key, sizeof key);
    ck_assert_ptr_null(request.checkpoint_key);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job_keys");
    TCase *tcase = tcase_create("job_keys");
    SRunner *runner = srunner_create(suite);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, made_once_and_wiped);
    tcase_add_test(tcase, what_others_may_read_is_no_key);
    tcase_add_test(tcase, handed_to_whom_it_is_for);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
