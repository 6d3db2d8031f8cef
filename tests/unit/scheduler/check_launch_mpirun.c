/* Real mpirun, with a shell script where ppt-worker would stand: what the ranks get,
 * that they are found and stopped, and that the lock tells the truth. */
#include "scheduler/launch_mpirun.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/pathsafe.h"
#include "scheduler/spool.h"

static char top[64], worker[80], directory[SPOOL_PATH_SIZE];
static struct error err;
static struct spool spool;
static struct spool_state first;
static struct launch_mpirun mpirun;
static struct launcher launcher;
static int lock;

static void setup(void)
{
    memset(&err, 0, sizeof err);
    strcpy(top, "/tmp/check_launch.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    ck_assert_int_eq(spool_open(top, &spool, &err), 0);
    ck_assert_int_eq(spool_job(&spool, 7, directory, &first, &err), 0);
    ck_assert_int_eq(spool_lock(directory, &lock, &err), 0);
    snprintf(worker, sizeof worker, "%s/worker", top);
    mpirun = (struct launch_mpirun){
        .mpirun = "mpirun", .worker = worker, .public_key = "/keys/public"};
    launcher = launch_mpirun(&mpirun);
}

static void teardown(void)
{
    char command[128];
    launcher.ops->kill(&launcher, directory);
    spool_close(&spool);
    snprintf(command, sizeof command, "rm -rf %s", top);
    ck_assert_int_eq(system(command), 0);
}

static void make_worker(const char *script)
{
    ck_assert_int_eq(pathsafe_write_new(worker, script, strlen(script), 0700, &err), 0);
}

static void sleep_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

static struct launcher_started start(int64_t n_ranks)
{
    struct launcher_request request = {
        .directory = directory, .n_ranks = n_ranks, .cores_per_rank = 3};
    struct launcher_started started = {0};
    int rc = launcher.ops->start(&launcher, &request, lock, &started, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    close(lock);
    return started;
}

static bool is_locked(void)
{
    bool result;
    ck_assert_int_eq(spool_is_locked(directory, &result, &err), 0);
    return result;
}

/* Waits for a line in the job's log. */
static char *wait_for(const char *line)
{
    char path[SPOOL_PATH_SIZE], *text = NULL;
    size_t len;
    ck_assert_int_eq(spool_path(directory, "log", path, &err), 0);
    for (int i = 0; i < 300; i++) {
        free(text);
        text = NULL;
        if (pathsafe_read_file(path, 1 << 20, &text, &len, NULL) == 0 &&
            strstr(text, line) != NULL)
            return text;
        sleep_ms(100);
    }
    ck_abort_msg("no \"%s\" in the log:\n%s", line, text == NULL ? "" : text);
}

START_TEST(ranks_get_a_clean_environment_and_the_plan)
{
    setenv("PPT_SECRET_OF_THE_OPERATOR", "leaks", 1);
    make_worker("#!/bin/sh\necho \"args $*\"\nenv\nulimit -c >/dev/null\npwd\n"
                "cat\necho end\n");
    struct launcher_started started = start(1);
    ck_assert_int_gt(started.pid, 1);
    ck_assert_int_gt(started.start_time, 0);
    int status;
    ck_assert_int_eq(waitpid((pid_t)started.pid, &status, 0), (pid_t)started.pid);
    char *text = wait_for("\nend\n"), expected[SPOOL_PATH_SIZE + 64];
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    snprintf(expected, sizeof expected,
             "args --plan %s --attempt 0 --public-key /keys/public\n", directory);
    ck_assert_ptr_nonnull(strstr(text, expected));
    snprintf(expected, sizeof expected, "PPT_JOB_DIRECTORY=%s\n", directory);
    ck_assert_ptr_nonnull(strstr(text, expected));
    snprintf(expected, sizeof expected, "\n%s\n", directory);
    ck_assert_ptr_nonnull(strstr(text, expected)); /* where it runs */
    ck_assert_ptr_nonnull(strstr(text, "OMP_NUM_THREADS=3\n"));
    ck_assert_ptr_nonnull(strstr(text, "OPENBLAS_NUM_THREADS=3\n"));
    ck_assert_ptr_null(strstr(text, "PPT_SECRET_OF_THE_OPERATOR"));
    ck_assert(!is_locked());
    ck_assert_int_eq(launcher.ops->count(&launcher, directory, false), 0);
    free(text);
}
END_TEST

/* What mpirun itself is called with: a script stands in its place and shows it. */
START_TEST(the_site_may_say_more_to_mpirun)
{
    static const char site[3][CONF_ARGUMENT_SIZE] = {"--bind-to", "core", "--quiet"};
    char script[96], expected[SPOOL_PATH_SIZE + 264];
    snprintf(script, sizeof script, "%s/mpirun", top);
    make_worker("#!/bin/sh\n");
    static const char shows[] = "#!/bin/sh\necho args $*\n";
    ck_assert_int_eq(pathsafe_write_new(script, shows, sizeof shows - 1, 0700, &err),
                     0);
    mpirun.mpirun = script;
    mpirun.arguments = site;
    mpirun.n_arguments = 3;
    struct launcher_started started = start(5);
    waitpid((pid_t)started.pid, NULL, 0);
    snprintf(expected, sizeof expected,
             "args -n 5 --oversubscribe --mca mpi_yield_when_idle 1 --bind-to core "
             "--quiet %s "
             "--plan %s --attempt 0 --public-key /keys/public\n",
             worker, directory);
    char *text = wait_for("\n");
    ck_assert_str_eq(text, expected);
    free(text);
}
END_TEST

START_TEST(ranks_are_asked_to_stop_and_mpirun_waits_for_them)
{
    make_worker("#!/bin/sh\ntrap 'sleep 1; echo checkpoint; exit 75' TERM\n"
                "echo ready\nwhile :; do sleep 0.1; done\n");
    struct launcher_started started = start(1);
    int status;
    free(wait_for("ready"));
    ck_assert(is_locked());
    ck_assert_int_ge(launcher.ops->count(&launcher, directory, false), 2);
    ck_assert_int_ge(launcher.ops->count(&launcher, directory, true), 1);
    /* mpirun is no rank; the script's sleep comes and goes between two counts */
    bool are_fewer = false;
    for (int i = 0; i < 50 && !are_fewer; i++)
        are_fewer = launcher.ops->count(&launcher, directory, true) <
                    launcher.ops->count(&launcher, directory, false);
    ck_assert(are_fewer);
    launcher.ops->stop(&launcher, directory);
    sleep_ms(300);
    ck_assert(is_locked()); /* the rank is still writing its checkpoint */
    ck_assert_int_eq(waitpid((pid_t)started.pid, &status, 0), (pid_t)started.pid);
    ck_assert_int_eq(WEXITSTATUS(status), 75);
    free(wait_for("checkpoint"));
    ck_assert(!is_locked());
}
END_TEST

/* mpirun shot dead: its lock is free while a rank may still run; it is found and
 * killed. */
START_TEST(orphaned_ranks_are_found)
{
    make_worker("#!/bin/sh\ntrap '' TERM HUP\necho ready\n"
                "while :; do sleep 0.1; done\n");
    struct launcher_started started = start(2);
    free(wait_for("ready"));
    kill((pid_t)started.pid, SIGKILL);
    waitpid((pid_t)started.pid, NULL, 0);
    ck_assert(!is_locked());
    ck_assert_int_ge(launcher.ops->count(&launcher, directory, false), 1);
    for (int i = 0; i < 50 && launcher.ops->count(&launcher, directory, false) > 0;
         i++) {
        launcher.ops->kill(&launcher, directory);
        sleep_ms(20);
    }
    ck_assert_int_eq(launcher.ops->count(&launcher, directory, false), 0);
}
END_TEST

START_TEST(other_jobs_are_left_alone)
{
    char other[SPOOL_PATH_SIZE];
    ck_assert_int_eq(spool_job(&spool, 77, other, &first, &err), 0);
    make_worker("#!/bin/sh\necho ready\nwhile :; do sleep 0.1; done\n");
    struct launcher_started started = start(1);
    free(wait_for("ready"));
    /* "/7" is the beginning of "/77" and the other way round it is no match either */
    ck_assert_int_eq(launcher.ops->count(&launcher, other, false), 0);
    launcher.ops->kill(&launcher, other);
    sleep_ms(200);
    ck_assert_int_ge(launcher.ops->count(&launcher, directory, false), 2);
    ck_assert_int_eq(waitpid((pid_t)started.pid, NULL, WNOHANG), 0);
    launcher.ops->kill(&launcher, directory);
    waitpid((pid_t)started.pid, NULL, 0);
}
END_TEST

START_TEST(what_cannot_start_says_so)
{
    struct launcher_request request = {
        .directory = directory, .n_ranks = 1, .cores_per_rank = 1};
    struct launcher_started started = {0};
    ck_assert_int_eq(launcher.ops->start(&launcher, &request, lock, &started, &err),
                     -PPT_ELAUNCH);
    ck_assert_ptr_nonnull(strstr(err.text, worker));
    make_worker("#!/bin/sh\n");
    mpirun.mpirun = "/nonexistent/mpirun";
    ck_assert_int_eq(launcher.ops->start(&launcher, &request, lock, &started, &err),
                     -PPT_ELAUNCH);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/mpirun"));
    ck_assert_int_eq(started.pid, 0);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no zombie is left */
    close(lock);
}
END_TEST

/* On standard input of rank 0, whatever its bytes, and of no other; no argument has it.
 */
START_TEST(a_key_goes_to_rank_0)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    struct launcher_request request = {.directory = directory,
                                       .n_ranks = 2,
                                       .cores_per_rank = 1,
                                       .checkpoint_key = key};
    struct launcher_started started = {0};
    char expected[128] = "", hex[3];
    for (int i = 0; i < CRYPTO_KEY_SIZE; i++) {
        key[i] = (unsigned char)(i == 5 ? 0 : i == 6 ? '\n' : 255 - 7 * i);
        snprintf(hex, sizeof hex, "%02x", key[i]);
        strcat(expected, hex);
    }
    make_worker("#!/bin/sh\necho \"rank $OMPI_COMM_WORLD_RANK args $*\"\n"
                "echo \"rank $OMPI_COMM_WORLD_RANK got $(od -An -v -tx1 | tr -d ' \\n')"
                " end\"\n");
    ck_assert_int_eq(launcher.ops->start(&launcher, &request, lock, &started, &err), 0);
    close(lock);
    waitpid((pid_t)started.pid, NULL, 0);
    char *text = wait_for("rank 0 got"), line[160];
    snprintf(line, sizeof line, "rank 0 got %s end", expected);
    ck_assert_msg(strstr(text, line) != NULL, "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "rank 1 got  end"));
    ck_assert_ptr_nonnull(strstr(text, "--key-on-stdin"));
    free(text);
}
END_TEST

/* Of which plans for this host alone are made; never where that might be wrong. */
START_TEST(other_hosts_only_by_arguments)
{
    static const struct {
        const char argument[CONF_ARGUMENT_SIZE];
        bool is_here;
    } cases[] = {{"--bind-to", true},
                 {"core", true},
                 {"--host", false},
                 {"-host", false},
                 {"-H", false},
                 {"--hostfile", false},
                 {"--machinefile", false},
                 {"--default-hostfile", false},
                 {"--mca", false},
                 {"-gmca", false}};
    ck_assert(launcher.ops->is_here(&launcher));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char arguments[2][CONF_ARGUMENT_SIZE] = {"--report-bindings"};
        memcpy(arguments[1], cases[i].argument, CONF_ARGUMENT_SIZE);
        mpirun.arguments = arguments;
        mpirun.n_arguments = 2;
        ck_assert_msg(launcher.ops->is_here(&launcher) == cases[i].is_here, "%s",
                      cases[i].argument);
    }
    mpirun.n_arguments = 0;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("launch_mpirun");
    TCase *tc = tcase_create("launch_mpirun");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, ranks_get_a_clean_environment_and_the_plan);
    tcase_add_test(tc, the_site_may_say_more_to_mpirun);
    tcase_add_test(tc, other_hosts_only_by_arguments);
    tcase_add_test(tc, ranks_are_asked_to_stop_and_mpirun_waits_for_them);
    tcase_add_test(tc, orphaned_ranks_are_found);
    tcase_add_test(tc, other_jobs_are_left_alone);
    tcase_add_test(tc, what_cannot_start_says_so);
    tcase_add_test(tc, a_key_goes_to_rank_0);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
