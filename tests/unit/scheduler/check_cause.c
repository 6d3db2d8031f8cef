/* What launchers say about a rank that died. The texts are Slurm 22.05's and Open MPI
 * 4.1's own. */
#include "scheduler/cause.h"

#include <check.h>
#include <stdlib.h>

static char cause[CAUSE_SIZE];

static const struct {
    const char *text, *cause;
} cases[] = {
    {"srun: error: n2: task 1: Killed\n"
     "srun: launch/slurm: _step_signal: Terminating StepId=1.0\n"
     "slurmstepd-n1: error: *** STEP 1.0 ON n1 CANCELLED AT 2026-11-26T11:31:38 ***\n"
     "srun: error: n1: task 0: Terminated\n",
     "rank 1 on node n2: Killed"},
    {"srun: error: n1: task 0: Terminated\nppt-worker: error: a rank has gone\n"
     "srun: error: n2: tasks 2-3: Segmentation fault (core dumped)\n",
     "rank 2-3 on node n2: Segmentation fault (core dumped)"},
    {"2026 ppt-worker: error: plan.sig: the signature\x1b is wrong\n"
     "ppt-worker: error: another\n"
     "srun: error: n2: tasks 0,2-3: Exited with exit code 13\n",
     "rank 0,2-3 on node n2: Exited with exit code 13: plan.sig: the signature? is "
     "wrong"},
    {"mpirun noticed that process rank 1 with PID 0 on node vm exited on signal 9 "
     "(Killed).\n",
     "rank 1 on node vm: signal 9 (Killed)"},
    {"mpirun detected that one or more processes exited\n\n"
     "  Process name: [[26777,1],5]\n  Exit code:    13\n----\n",
     "rank 5: exit status 13"},
    {"ppt-worker: error: out of memory\n", "out of memory"},
    {"ppt: rank 3 on node n2 has gone\nppt: rank 1 on node n1 has gone\n",
     "rank 3 on node n2: gone without a word"},
};

START_TEST(launchers_words)
{
    ck_assert(cause_in(cases[_i].text, 1, cause));
    ck_assert_str_eq(cause, cases[_i].cause);
}
END_TEST

START_TEST(what_tells_nothing)
{
    ck_assert(!cause_in("", 1, cause));
    ck_assert(!cause_in("ppt-worker: step 3/9\nsrun: error: n1: task 0: Terminated\n"
                        "srun: error: Unable to create step\n  Exit code:    13\n",
                        1, cause));
    ck_assert(!cause_find("/nonexistent", 1, cause));
}
END_TEST

START_TEST(an_earlier_attempt_is_another_matter)
{
    const char *text = "srun: error: n2: task 1: Killed\nppt: attempt 2 begins\n"
                       "srun: error: n3: task 7: Killed\nppt: attempt 3 begins\n";
    ck_assert(cause_in(text, 2, cause));
    ck_assert_str_eq(cause, "rank 7 on node n3: Killed");
    ck_assert(!cause_in(text, 3, cause));
    ck_assert(!cause_in(text, 4, cause));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cause");
    TCase *tests = tcase_create("tests");
    tcase_add_loop_test(tests, launchers_words, 0,
                        (int)(sizeof cases / sizeof cases[0]));
    tcase_add_test(tests, what_tells_nothing);
    tcase_add_test(tests, an_earlier_attempt_is_another_matter);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
