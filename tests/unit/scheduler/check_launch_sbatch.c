/* The sbatch launcher before commands that answer as the test says: what it asks of
 * Slurm, what it makes of the answers, and that an attempt runs once at most. A real
 * cluster: tests/slurm.
 */
#include <check.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/pathsafe.h"
#include "jobs/token.h"
#include "scheduler/launch_sbatch.h"

static struct error err;
static char root[64], job[80], template[PATH_MAX];
static struct launch_sbatch sbatch;
static struct launcher launcher;
static struct launcher_look seen;
static struct spec_slurm wishes; /* of the next start */
static unsigned char secret[CRYPTO_KEY_SIZE], public_key[CRYPTO_KEY_SIZE];

__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
    char command[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* As if a second had passed. */
static void says_again(void)
{
    squeue_forget(&sbatch.squeue);
}

/* From now on `command` prints `answer` and ends with `status`. */
static void says(const char *command, int status, const char *answer)
{
    ck_assert_int_eq(shell("printf '%%s' '%s' >%s/%s.answer; echo %d >%s/%s.status",
                           answer, root, command, status, root, command),
                     0);
    says_again();
}

static void set_up(void)
{
    char path[PATH_MAX];
    strcpy(root, "/tmp/check_sbatch.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    snprintf(job, sizeof job, "%s/17", root);
    ck_assert_int_eq(mkdir(job, 0700), 0);
    ck_assert_int_eq(
        shell("mkdir %s/bin && cd %s/bin && for c in sbatch squeue scancel sacct "
              "scontrol; do"
              " printf '#!/bin/sh\\necho \"$@\" >>%s/%%s.calls\\ncat %s/%%s.answer\\n"
              "[ $(cat %s/%%s.status) = 0 ] || { echo no reply >&2; exit 1; }\\n'"
              " $c $c $c >$c; chmod 755 $c; done;"
              " printf '#!/bin/sh\\necho \"$@\" >>%s/srun.calls\\n' >srun;"
              " chmod 755 srun",
              root, root, root, root, root, root),
        0);
    snprintf(path, sizeof path, "%s/bin:/usr/bin:/bin", root);
    setenv("PATH", path, 1);
    snprintf(template, sizeof template, "%s/slurm/ppt-job.sbatch.in",
             getenv("PPT_SOURCE_DIR"));
    sbatch = (struct launch_sbatch){.script = template,
                                    .worker = "/opt/ppt/ppt-worker",
                                    .public_key = "/opt/ppt/plan.pub",
                                    .secret_key = secret,
                                    .grace_s = 60,
                                    .lease_s = 30};
    launcher = launch_sbatch(&sbatch);
    crypto_sign_keypair(secret, public_key);
    wishes = (struct spec_slurm){0};
    says("sbatch", 0, "41\n");
    says("squeue", 0, "");
    says("scancel", 0, "");
    says("sacct", 1, "");
    says("scontrol", 1, "");
}

static void tear_down(void)
{
    launch_sbatch_free(&sbatch);
    shell("rm -rf %s", root);
}

static int start(const char *directory, struct launcher_started *ret_started)
{
    struct launcher_request request = {.directory = directory,
                                       .job_id = 17,
                                       .attempt = 1,
                                       .n_ranks = 3,
                                       .cores_per_rank = 2,
                                       .memory_bytes = (600 << 20) + 1,
                                       .time_limit_s = 3601,
                                       .slurm = &wishes};
    return launcher.ops->start(&launcher, &request, -1, ret_started, &err);
}

static int look(void)
{
    return launcher.ops->look(&launcher, job, 1, &seen, &err);
}

/* squeue has one line: of the job or, with another directory, of a namesake. */
static void squeue_says(const char *state, const char *elapsed, const char *directory)
{
    char line[256];
    snprintf(line, sizeof line,
             "7|RUNNING|1:00|None|other|/\n41|%s|%s|Prolog|ppt-17-1|%s\n", state,
             elapsed, directory);
    says("squeue", 0, line);
}

START_TEST(script_asks_for_what_the_job_needs)
{
    static const char *const lines[] = {
        "#SBATCH --job-name=ppt-17-1", "#SBATCH --ntasks=3",
        "#SBATCH --cpus-per-task=2",   "#SBATCH --mem-per-cpu=101M",
        "#SBATCH --time=63",           "#SBATCH --no-requeue"};
    struct launcher_started started;
    ck_assert_msg(start(job, &started) == 0, "%s", err.text);
    ck_assert_int_eq(started.pid, 41);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        ck_assert_msg(shell("grep -qx -e '%s' %s/batch-1", lines[i], job) == 0, "%s",
                      lines[i]);
    ck_assert_int_eq(shell("grep -vE '^# |^srun|\"' %s/batch-1 | grep -q @", job), 1);
    ck_assert_int_eq(shell("bash -n %s/batch-1", job), 0);
    ck_assert_int_eq(
        shell("grep -qx -e '--parsable --comment=[^ ]* %s/batch-1' %s/sbatch.calls",
              job, root),
        0);
}
END_TEST

/* Where both name a partition, sbatch takes the last: the site's. */
START_TEST(wishes_before_the_sites_arguments)
{
    static const char site[][CONF_ARGUMENT_SIZE] = {"--partition=private"};
    struct launcher_started started;
    wishes = (struct spec_slurm){.partition = "fast",
                                 .qos = "high",
                                 .account = "lab",
                                 .reservation = "night",
                                 .n_nodes = 2,
                                 .time_margin_s = 120,
                                 .mail_types = 1 << 1 | 1 << 4,
                                 .mail_user = "a@b.org",
                                 .n_options = 2,
                                 .options = {"--constraint=x", "--exclusive"}};
    sbatch.arguments = site;
    sbatch.n_arguments = 1;
    ck_assert_msg(start(job, &started) == 0, "%s", err.text);
    ck_assert_int_eq(
        shell("grep -qx -e '--parsable --partition=fast --qos=high --account=lab "
              "--reservation=night --mail-user=a@b.org --nodes=2 "
              "--mail-type=END,TIME_LIMIT_90 --constraint=x --exclusive "
              "--partition=private --comment=ppt1:[^ ]* %s/batch-1' %s/sbatch.calls",
              job, root),
        0);
    ck_assert_int_eq(shell("grep -qx -e '#SBATCH --time=65' %s/batch-1", job), 0);
}
END_TEST

/* It fits the job that carries it, and not for long. */
START_TEST(a_token_as_its_comment)
{
    char path[PATH_MAX], *text;
    size_t len;
    struct launcher_started started;
    struct token token;
    int64_t now_s = time(NULL);
    ck_assert_int_eq(start(job, &started), 0);
    ck_assert_int_eq(shell("sed 's/.*--comment=//; s/ .*//' %s/sbatch.calls |"
                           " tr -d '\\n' >%s/token",
                           root, root),
                     0);
    snprintf(path, sizeof path, "%s/token", root);
    ck_assert_int_eq(pathsafe_read_file(path, 4096, &text, &len, &err), 0);
    ck_assert_msg(token_read(text, public_key, &token, &err) == 0, "%s", err.text);
    free(text);
    ck_assert_int_eq(token.job_id, 17);
    ck_assert_int_eq(token.attempt, 1);
    struct token_bearer bearer = {getuid(), "ppt-17-1", now_s + 60};
    ck_assert_int_eq(token_check(&token, &bearer, &err), 0);
    bearer.submitted_at_s = now_s + 3600;
    ck_assert_int_eq(token_check(&token, &bearer, &err), -PPT_ETRUST);
}
END_TEST

START_TEST(nothing_for_a_shell)
{
    static const char *const paths[] = {"/a b", "/$(id)", "/a;b", "/a'b", "/%j", ""};
    struct launcher_started started;
    sbatch.worker = paths[_i];
    ck_assert_int_eq(start(job, &started), -PPT_ELAUNCH);
    ck_assert_ptr_nonnull(strstr(err.text, "expected a path of letters"));
    ck_assert_int_ne(shell("test -e %s/sbatch.calls", root), 0);
}
END_TEST

START_TEST(template_with_an_unknown_name)
{
    char path[PATH_MAX];
    struct launcher_started started;
    snprintf(path, sizeof path, "%s/own.in", root);
    ck_assert_int_eq(shell("printf '@NAME@\\n@QOS@\\n' >%s", path), 0);
    sbatch.script = path;
    ck_assert_int_eq(start(job, &started), -PPT_ELAUNCH);
    ck_assert_ptr_nonnull(strstr(err.text, "no value named @QOS@"));
}
END_TEST

START_TEST(controller_away)
{
    struct launcher_started started;
    says("sbatch", 1, "");
    says("squeue", 1, "");
    ck_assert_int_eq(start(job, &started), -PPT_ESTATE);
    ck_assert_int_eq(look(), -PPT_EIO); /* not "gone" */
    says("squeue", 0, "");
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_NEVER);
    /* And should it have been accepted all the same, it does nothing. */
    ck_assert_int_eq(shell("bash %s/batch-1 2>/dev/null", job), 75);
    ck_assert_int_ne(shell("test -e %s/srun.calls", root), 0);
}
END_TEST

START_TEST(answer_lost)
{
    struct launcher_started started;
    says("sbatch", 1, "");
    squeue_says("PENDING", "0:00", job);
    ck_assert_int_eq(start(job, &started), 0);
    ck_assert_int_eq(started.pid, 41);
    ck_assert_int_eq(shell("[ $(wc -l <%s/sbatch.calls) = 1 ]", root), 0);
    squeue_says("FAILED", "0:00", job); /* what Slurm writes down when it refuses */
    ck_assert_int_eq(start(job, &started), -PPT_ELAUNCH);
    ck_assert_ptr_nonnull(strstr(err.text, "no reply"));
    squeue_says("PENDING", "0:00", "/elsewhere/17"); /* of another site */
    ck_assert_int_eq(start(job, &started), -PPT_ELAUNCH);
}
END_TEST

START_TEST(runs_once)
{
    struct launcher_started started;
    ck_assert_int_eq(start(job, &started), 0);
    ck_assert_int_eq(shell("bash %s/batch-1", job), 0);
    ck_assert_int_eq(shell("bash %s/batch-1 2>/dev/null", job), 75);
    ck_assert_int_eq(shell("[ $(wc -l <%s/srun.calls) = 1 ]", root), 0);
    ck_assert_int_eq(look(), 0); /* squeue has forgotten it */
    ck_assert_int_eq(seen.life, LAUNCHER_GONE);
    ck_assert_int_eq(shell("rm %s/ended-1", job), 0);
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_FORGOTTEN);
}
END_TEST

START_TEST(states)
{
    struct launcher_started started;
    ck_assert_int_eq(start(job, &started), 0);
    squeue_says("PENDING", "0:00", job);
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_QUEUED);
    ck_assert_int_eq(seen.slurm.id, 41);
    ck_assert_str_eq(seen.slurm.state, "PENDING");
    ck_assert_str_eq(seen.slurm.reason, "Prolog");
    squeue_says("RUNNING", "1-02:03:04", job);
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_ALIVE);
    ck_assert_int_eq(seen.ran_s, 93784);
    ck_assert(!seen.is_cancelled);
    squeue_says("CANCELLED", "0:00", job);
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_NEVER);
    ck_assert(seen.is_cancelled);
    ck_assert_int_eq(shell("touch %s/taken-1", job), 0);
    squeue_says("NODE_FAIL", "5:00", job);
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_GONE);
    ck_assert(!seen.is_cancelled);
}
END_TEST

/* It need not wait for squeue to say so, as long as nobody may have cancelled it. */
START_TEST(its_script_has_ended_well)
{
    static const char *const others[] = {"", "0", "75\n", "00\n", "0\n\n", "epilog\n"};
    ck_assert_int_eq(shell("touch %s/taken-1", job), 0);
    squeue_says("RUNNING", "0:01", job);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_int_eq(shell("printf '%s' >%s/ended-1", others[i], job), 0);
        ck_assert_int_eq(look(), 0);
        ck_assert_msg(seen.life == LAUNCHER_ALIVE, "case %zu", i);
        ck_assert_str_eq(seen.slurm.state, "RUNNING");
    }
    ck_assert_int_eq(shell("echo 0 >%s/ended-1", job), 0);
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_GONE);
    ck_assert(!seen.is_cancelled);
    ck_assert_int_eq(seen.slurm.id, 41);
    ck_assert_str_eq(seen.slurm.state, "COMPLETED");
    ck_assert_str_eq(seen.slurm.reason, "");
    ck_assert_int_eq(shell("mv %s/ended-1 %s/ended-2", job, job), 0);
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_ALIVE); /* another attempt's word */
}
END_TEST

START_TEST(reasons_for_people)
{
    says("squeue", 0, "");
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.slurm.id, 0);
    shell("printf '41|RUNNING|1:00|None|ppt-17-1|%s\n' >%s/squeue.answer", job, root);
    says_again();
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.slurm.id, 41);
    ck_assert_str_eq(seen.slurm.reason, "");
    shell("printf '41|RUNNING|1:00|a\\033[1mb\\377|ppt-17-1|%s\n' >%s/squeue.answer",
          job, root);
    says_again();
    ck_assert_int_eq(look(), 0);
    ck_assert_str_eq(seen.slurm.reason, "a?[1mb?");
}
END_TEST

/* And no reason, however long, hides a job. */
START_TEST(ended_before_it_began)
{
    struct launcher_started started;
    char line[1024], reason[300];
    memset(reason, 'n', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    ck_assert_int_eq(start(job, &started), 0);
    snprintf(line, sizeof line, "41|PENDING|0:00|%s|ppt-17-1|%s\n", reason, job);
    says("squeue", 0, line);
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_QUEUED);
    ck_assert_str_eq(seen.early, "");
    ck_assert_uint_eq(strlen(seen.slurm.reason), sizeof seen.slurm.reason - 1);
    squeue_says("FAILED", "0:00", job);
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_NEVER);
    ck_assert_str_eq(seen.early, "FAILED, Prolog");
    says("squeue", 0, ""); /* forgotten: nobody says that Slurm ended it */
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_NEVER);
    ck_assert_str_eq(seen.early, "");
}
END_TEST

/* A minute later, for all that asks. */
static void look_later(void)
{
    sbatch.witness.accounts_next_ms = sbatch.witness.path_next_ms = 0;
    says_again();
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_FORGOTTEN);
}

/* squeue has forgotten it; an epilog left word of its end, which says nothing of who
 * ended it. */
START_TEST(cancelled_all_the_same)
{
    char line[512];
    ck_assert_int_eq(shell("touch %s/taken-1 && echo epilog >%s/ended-1", job, job), 0);
    snprintf(line, sizeof line, "41|CANCELLED by 1000|ppt-17-1|%s\n", job);
    says("sacct", 0, line);
    says_again();
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_GONE);
    ck_assert(seen.is_cancelled && !seen.is_hearsay);
}
END_TEST

/* Its attempt is a step of a pilot that a scheduler with other settings has left. */
START_TEST(not_ours_to_look_at)
{
    ck_assert_int_eq(shell("touch %s/taken-1 %s/order-1", job, job), 0);
    ck_assert_int_eq(look(), -PPT_ELAUNCH);
    ck_assert_int_eq(shell("rm %s/order-1", job), 0);
    ck_assert_int_eq(look(), 0);
}
END_TEST

/* squeue has forgotten it and it left no word. */
START_TEST(accounting_remembers)
{
    static const struct {
        const char *state, *name, *place;
        bool is_witnessed, is_cancelled;
    } said[] = {{"FAILED", "ppt-17-1", "", true, false},
                {"CANCELLED by 1000", "ppt-17-1", "", true, true},
                {"RUNNING", "ppt-17-1", "", false, false},
                {"FAILED", "x|ppt-17-1", "", false, false},
                {"FAILED", "ppt-17-10", "", false, false},
                {"FAILED", "ppt-17-1", "/elsewhere", false, false}};
    char line[512];
    ck_assert_int_eq(shell("touch %s/taken-1", job), 0);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        snprintf(line, sizeof line, "7|COMPLETED|other|/\n41|%s|%s|%s%s\n",
                 said[i].state, said[i].name, said[i].place, job);
        says("sacct", 0, line);
        look_later();
        ck_assert_msg(seen.is_witnessed == said[i].is_witnessed, "case %zu", i);
        ck_assert_int_eq(seen.is_cancelled, said[i].is_cancelled);
        ck_assert(!seen.is_hearsay);
        ck_assert_int_eq(seen.slurm.id, said[i].is_witnessed ? 41 : 0);
    }
    says("sacct", 1, ""); /* the accounting is off */
    look_later();
    ck_assert(!seen.is_witnessed);
    ck_assert_int_eq(shell("rm %s/sacct.calls", root), 0);
    ck_assert_int_eq(look(), 0); /* and is not asked again at once */
    ck_assert_int_ne(shell("test -e %s/sacct.calls", root), 0);
}
END_TEST

/* Written by slurmctld, with names that users have chosen: that somebody cancelled it
 * is not believed. */
START_TEST(file_of_completed_jobs_remembers)
{
    static const struct {
        const char *user, *name, *state;
        bool is_witnessed;
    } said[] = {{"", "ppt-17-1", "NODE_FAIL", true},
                {"", "ppt-17-1", "CANCELLED", true},
                {"", "ppt-17-1", "RUNNING", false},
                {"", "ppt-17-10", "FAILED", false},
                {"9", "ppt-17-1", "FAILED", false}};
    char config[256];
    ck_assert_int_eq(shell("touch %s/taken-1", job), 0);
    snprintf(config, sizeof config,
             "JobCompHost             = localhost\nJobCompLoc              = %s/done\n"
             "JobCompType             = jobcomp/filetxt\n",
             root);
    says("scontrol", 0, config);
    look_later(); /* there is no such file yet */
    ck_assert(!seen.is_witnessed);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        ck_assert_int_eq(shell("echo 'JobId=41 UserId=me(%s%u) GroupId=me(1) Name=%s "
                               "JobState=%s Partition=main TimeLimit=1 WorkDir=%s "
                               "ReservationName= ' >%s/done",
                               said[i].user, geteuid(), said[i].name, said[i].state,
                               job, root),
                         0);
        look_later();
        ck_assert_msg(seen.is_witnessed == said[i].is_witnessed, "case %zu", i);
        ck_assert_int_eq(seen.is_cancelled, strcmp(said[i].state, "CANCELLED") == 0);
        ck_assert_int_eq(seen.is_hearsay, said[i].is_witnessed);
    }
}
END_TEST

START_TEST(ends)
{
    squeue_says("RUNNING", "1:00", job);
    launcher.ops->stop(&launcher, job);
    squeue_says("PENDING", "0:00", job);
    launcher.ops->stop(&launcher, job);
    squeue_says("RUNNING", "1:00", job);
    launcher.ops->kill(&launcher, job);
    squeue_says("COMPLETING", "1:00", job);
    launcher.ops->kill(&launcher, job);
    squeue_says("RUNNING", "1:00", "/elsewhere/17");
    launcher.ops->kill(&launcher, job);
    ck_assert_int_eq(shell("printf -- '--signal=TERM 41\\n41\\n41\\n' |"
                           " diff - %s/scancel.calls",
                           root),
                     0);
}
END_TEST

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* From now on `command` prints its answer and does not end, nor does what it started.
 */
static void hangs(const char *command)
{
    ck_assert_int_eq(shell("printf '#!/bin/sh\\ncat %s/%s.answer\\nsleep 60\\n'"
                           " >%s/bin/%s",
                           root, command, root, command),
                     0);
    says_again();
}

/* No call may last longer than what is left of a lease, a third of which may be over.
 */
START_TEST(a_controller_that_hangs_does_not_cost_the_lease)
{
    struct launcher_started started;
    struct launch_sbatch *state = launcher.state;
    state->lease_s = 6;
    launcher = launch_sbatch(state);
    hangs("sbatch");
    hangs("squeue");
    hangs("scancel");
    int64_t began_ms = now_ms();
    ck_assert_int_eq(start(job, &started), -PPT_ESTATE);
    ck_assert_int_lt(now_ms() - began_ms, 4000);
    /* nor is it asked again at once, for this job or another */
    began_ms = now_ms();
    ck_assert(!launcher.ops->is_ready(&launcher, NULL));
    ck_assert_int_eq(look(), -PPT_EIO);
    launcher.ops->kill(&launcher, job);
    ck_assert_int_lt(now_ms() - began_ms, 100);
    ck_assert_int_eq(shell("test -e %s/taken-1", job), 1);

    /* squeue is alive again, scancel is not */
    began_ms = now_ms();
    ck_assert_int_eq(
        shell("printf '#!/bin/sh\\ncat %s/squeue.answer\\n' >%s/bin/squeue", root,
              root),
        0);
    squeue_says("RUNNING", "1:00", job);
    ck_assert(launcher.ops->is_ready(&launcher, NULL));
    ck_assert_int_eq(look(), 0);
    ck_assert_int_eq(seen.life, LAUNCHER_ALIVE);
    launcher.ops->stop(&launcher, job);
    launcher.ops->kill(&launcher, job);
    ck_assert_int_lt(now_ms() - began_ms, 4000);
    ck_assert(!launcher.ops->is_ready(&launcher, NULL));
}
END_TEST

/* One that has taken the job and then hangs: known by its name, and not made twice. */
START_TEST(sbatch_hangs_after_it_has_answered)
{
    struct launcher_started started;
    ((struct launch_sbatch *)launcher.state)->lease_s = 3;
    hangs("sbatch");
    squeue_says("RUNNING", "0:01", job);
    ck_assert_int_eq(start(job, &started), 0);
    ck_assert_int_eq(started.pid, 41);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("launch_sbatch");
    TCase *tests = tcase_create("launch_sbatch");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, script_asks_for_what_the_job_needs);
    tcase_add_test(tests, wishes_before_the_sites_arguments);
    tcase_add_test(tests, a_token_as_its_comment);
    tcase_add_loop_test(tests, nothing_for_a_shell, 0, 6);
    tcase_add_test(tests, template_with_an_unknown_name);
    tcase_add_test(tests, controller_away);
    tcase_add_test(tests, answer_lost);
    tcase_add_test(tests, runs_once);
    tcase_add_test(tests, states);
    tcase_add_test(tests, its_script_has_ended_well);
    tcase_add_test(tests, reasons_for_people);
    tcase_add_test(tests, ended_before_it_began);
    tcase_add_test(tests, cancelled_all_the_same);
    tcase_add_test(tests, not_ours_to_look_at);
    tcase_add_test(tests, accounting_remembers);
    tcase_add_test(tests, file_of_completed_jobs_remembers);
    tcase_add_test(tests, ends);
    tcase_add_test(tests, a_controller_that_hangs_does_not_cost_the_lease);
    tcase_add_test(tests, sbatch_hangs_after_it_has_answered);
    tcase_set_timeout(tests, 30);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed > 0;
}
