/* Pilots before commands that answer as the test says: whom they serve, when more are
 * asked for, and that an attempt runs once at most whatever becomes of its pilot. The
 * pilot's own script runs with a false srun. A real cluster: tests/slurm/pilot.sh.
 */
#include <check.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crypto.h"
#include "scheduler/launch_pilot.h"
#include "scheduler/pilots.h"

static struct error err;
static char root[64], template[PATH_MAX], pilot_template[PATH_MAX];
static struct conf conf;
static struct spool spool;
static struct launch_sbatch sbatch;
static struct launch_pilot *pilot;
static struct launcher launcher;
static struct launcher_look seen;
static unsigned char secret[CRYPTO_KEY_SIZE];

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

static void open_launcher(void)
{
    sbatch = (struct launch_sbatch){.script = template,
                                    .worker = "/opt/ppt/ppt-worker",
                                    .public_key = "/opt/ppt/plan.pub",
                                    .secret_key = secret,
                                    .grace_s = conf.grace_s,
                                    .lease_s = 30};
    ck_assert_msg(
        launch_pilot_open(&sbatch, &conf, &spool, pilot_template, &pilot, &err) == 0,
        "%s", err.text);
    launcher = launch_pilot(pilot);
}

static void close_launcher(void)
{
    launch_pilot_free(pilot);
    launch_sbatch_free(&sbatch);
}

/* squeue lists what stands in a file; sbatch counts. */
static void set_up(void)
{
    char path[PATH_MAX];
    strcpy(root, "/tmp/check_pilot.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert_int_eq(
        shell(
            "mkdir %s/bin && cd %s/bin && touch %s/jobs %s/steps &&"
            " printf '#!/bin/sh\\ncase $* in *--steps*) cat %s/steps ;;"
            " *) cat %s/jobs ;; esac\\n' >squeue &&"
            " printf '#!/bin/sh\\necho \"$@\" >>%s/sbatch.calls\\n[ ! -e %s/refuse ] ||"
            " { echo no >&2; exit 1; }\\necho 4$(wc -l <%s/sbatch.calls)\\n' >sbatch &&"
            " printf '#!/bin/sh\\necho \"$@\" >>%s/scancel.calls\\n' >scancel &&"
            " printf '#!/bin/sh\\nexit 1\\n' >sacct && cp sacct scontrol &&"
            " chmod 755 *",
            root, root, root, root, root, root, root, root, root, root),
        0);
    snprintf(path, sizeof path, "%s/bin:/usr/bin:/bin", root);
    setenv("PATH", path, 1);
    snprintf(template, sizeof template, "%s/slurm/ppt-job.sbatch.in",
             getenv("PPT_SOURCE_DIR"));
    snprintf(pilot_template, sizeof pilot_template, "%s/slurm/ppt-pilot.sbatch.in",
             getenv("PPT_SOURCE_DIR"));
    snprintf(spool.root, sizeof spool.root, "%s", root);
    conf = conf_default();
    conf.grace_s = 10;
    conf.pilots = (struct conf_pilots){.n_nodes = 2,
                                       .n_cores = 2,
                                       .memory_bytes = (int64_t)1 << 30,
                                       .time_s = 600,
                                       .most = 2,
                                       .idle_s = 1000};
    open_launcher();
}

static void tear_down(void)
{
    close_launcher();
    shell("rm -rf %s", root);
}

static struct launcher_request request(int job_id, const char *login)
{
    static char directory[128];
    snprintf(directory, sizeof directory, "%s/%d", root, job_id);
    mkdir(directory, 0700);
    return (struct launcher_request){.directory = directory,
                                     .login = login,
                                     .account = "acme",
                                     .job_id = job_id,
                                     .attempt = 1,
                                     .n_ranks = 2,
                                     .cores_per_rank = 1,
                                     .memory_bytes = 1 << 20,
                                     .time_limit_s = 100};
}

static bool is_ready(struct launcher_request job)
{
    return launcher.ops->is_ready(&launcher, &job);
}

/* One round later: pilot `id` is in that state. */
static void pilot_is(int id, const char *state, const char *elapsed)
{
    shell("sed -i '/ppt-pilot-%d|/d' %s/jobs; [ -z '%s' ] ||"
          " echo '4%d|%s|%s|None|ppt-pilot-%d|%s/pilots/%d' >>%s/jobs",
          id, root, state, id, state, elapsed, id, root, id, root);
    squeue_forget(&sbatch.squeue);
    launcher.ops->tend(&launcher);
}

static void next_round(void)
{
    squeue_forget(&sbatch.squeue);
    launcher.ops->tend(&launcher);
}

static int64_t start(struct launcher_request job)
{
    struct launcher_started started = {0};
    ck_assert_msg(launcher.ops->start(&launcher, &job, -1, &started, &err) == 0, "%s",
                  err.text);
    return started.pid;
}

static enum launcher_life look(int job_id)
{
    struct launcher_request job = request(job_id, "alice");
    ck_assert_msg(launcher.ops->look(&launcher, job.directory, 1, &seen, &err) == 0,
                  "%s", err.text);
    return seen.life;
}

static int n_submitted(void)
{
    return shell("exit $(cat %s/sbatch.calls 2>/dev/null | wc -l)", root);
}

START_TEST(comes_and_takes_orders)
{
    ck_assert(!is_ready(request(1, "alice"))); /* asks for one */
    ck_assert_int_eq(n_submitted(), 1);
    ck_assert_int_eq(shell("grep -q -e '--comment=ppt1:1:1:.*ppt-pilot-1:' "
                           "%s/sbatch.calls && bash -n %s/pilots/1/batch && "
                           "grep -qx '#SBATCH --time=10' %s/pilots/1/batch",
                           root, root, root),
                     0);
    next_round();
    ck_assert(!is_ready(request(1, "alice"))); /* and waits for that one */
    ck_assert_int_eq(n_submitted(), 1);
    pilot_is(1, "RUNNING", "0:01");
    ck_assert(is_ready(request(1, "alice")));
    ck_assert_int_eq(start(request(1, "alice")), 41);
    ck_assert_int_eq(
        shell("[ \"$(cat %s/pilots/1/orders/1-1)\" = '1 2 1 1 0,0 %s/1' ]", root, root),
        0);
    ck_assert_int_eq(look(1), LAUNCHER_QUEUED);
    ck_assert_int_eq(seen.slurm.id, 41);
    ck_assert_int_eq(shell("mv %s/1/ticket-1 %s/1/taken-1", root, root), 0);
    ck_assert_int_eq(look(1), LAUNCHER_ALIVE);
    ck_assert_int_eq(shell("echo 0 >%s/1/ended-1", root), 0);
    ck_assert_int_eq(look(1), LAUNCHER_GONE);
}
END_TEST

/* Two more jobs than the first has room for: one more pilot, not two. Then no more. */
START_TEST(grows_as_the_queue_asks)
{
    for (int i = 1; i <= 4; i++)
        ck_assert(!is_ready(request(i, "alice")));
    ck_assert_int_eq(n_submitted(), 2);
    next_round();
    for (int i = 1; i <= 6; i++)
        ck_assert(!is_ready(request(i, "alice")));
    ck_assert_int_eq(n_submitted(), 2);
    pilot_is(1, "RUNNING", "0:01");
    pilot_is(2, "RUNNING", "0:01");
    for (int i = 1; i <= 4; i++) {
        ck_assert(is_ready(request(i, "alice")));
        ck_assert_int_eq(start(request(i, "alice")), i <= 2 ? 41 : 42);
    }
    ck_assert(!is_ready(request(5, "alice"))); /* her own end soon */
    ck_assert(is_ready(request(6, "bob")));    /* not for him: to sbatch */
    ck_assert_int_eq(start(request(6, "bob")), 43);
    ck_assert_int_eq(shell("test -e %s/6/order-1", root), 1);
    ck_assert_int_eq(shell("touch %s/1/ended-1", root), 0);
    ck_assert_int_eq(look(1), LAUNCHER_GONE);
    ck_assert(is_ready(request(5, "alice")));
    ck_assert_int_eq(start(request(5, "alice")), 41);
}
END_TEST

START_TEST(one_login_each_and_idle_ones_make_room)
{
    conf.pilots.most = 1;
    ck_assert(!is_ready(request(1, "alice")));
    pilot_is(1, "RUNNING", "0:01");
    ck_assert(!is_ready(request(2, "bob"))); /* hers has no jobs and is sent away */
    ck_assert_int_eq(shell("test -e %s/pilots/1/leave", root), 0);
    ck_assert(!is_ready(request(1, "alice"))); /* it takes none any more */
    pilot_is(1, "COMPLETED", "0:02");
    ck_assert_int_eq(shell("test -e %s/pilots/1", root), 1);
    ck_assert(!is_ready(request(2, "bob")));
    ck_assert_int_eq(n_submitted(), 2);
    pilot_is(2, "RUNNING", "0:01");
    ck_assert(!is_ready(request(1, "alice")));
    next_round();
}
END_TEST

/* A login with a pilot of its own waits for that rather than end another's that is
 * between two jobs. */
START_TEST(pilots_between_two_jobs_stay)
{
    ck_assert(!is_ready(request(1, "alice")));
    ck_assert(!is_ready(request(2, "bob")));
    pilot_is(1, "RUNNING", "0:01");
    pilot_is(2, "RUNNING", "0:01");
    for (int i = 3; i <= 4; i++)
        start(request(i, "bob"));
    ck_assert(!is_ready(request(5, "bob")));
    ck_assert_int_eq(shell("test -e %s/pilots/1/leave", root), 1);
    ck_assert(is_ready(request(6, "alice")));
    sleep(2);
    ck_assert(!is_ready(request(5, "bob")));
    ck_assert_int_eq(shell("test -e %s/pilots/1/leave", root), 0);
}
END_TEST

START_TEST(what_does_not_fit_goes_to_sbatch)
{
    struct launcher_request job = request(1, "alice");
    struct spec_slurm wishes = {.partition = "fast"};
    job.n_ranks = 5;
    ck_assert(is_ready(job));
    job = request(1, "alice");
    job.cores_per_rank = 3; /* more than a node has */
    ck_assert(is_ready(job));
    job = request(1, "alice");
    job.memory_bytes = (int64_t)3 << 30;
    ck_assert(is_ready(job));
    job = request(1, "alice");
    job.time_limit_s = 600 - 10 - 59;
    ck_assert(is_ready(job));
    job.time_limit_s--;
    ck_assert(!is_ready(job));
    pilot_is(1, "RUNNING", "0:00");
    job.has_wishes = true;
    ck_assert(is_ready(job));
    job.has_wishes = false;
    job.slurm = &wishes;
    ck_assert_int_eq(start(job), 42);
    ck_assert_int_eq(
        shell("test -e %s/1/batch-1 && ! test -e %s/1/order-1", root, root), 0);
    job = request(2, "alice");
    strcpy(conf.pool.except[conf.pool.n_except++], "acme");
    ck_assert(is_ready(job));
    ck_assert_int_eq(start(job), 43);
}
END_TEST

/* Its time must be enough for the job's. */
START_TEST(not_near_its_end)
{
    conf.pilots.most = 1;
    ck_assert(!is_ready(request(1, "alice")));
    pilot_is(1, "RUNNING", "5:00");
    ck_assert(is_ready(request(1, "alice"))); /* 300 s are left, it needs 170 */
    pilot_is(1, "RUNNING", "7:20");
    ck_assert(!is_ready(request(1, "alice")));
    ck_assert_int_eq(shell("test -e %s/pilots/1/leave", root), 0);
}
END_TEST

/* Whatever ends the pilot: what was not taken never will be, what was is over, and that
 * the pilot was cancelled does not cancel the job. */
START_TEST(pilot_ends_under_its_jobs)
{
    ck_assert(!is_ready(request(1, "alice")));
    pilot_is(1, "RUNNING", "0:01");
    start(request(1, "alice"));
    start(request(2, "alice"));
    ck_assert_int_eq(shell("mv %s/1/ticket-1 %s/1/taken-1", root, root), 0);
    pilot_is(1, "COMPLETING", "0:02");
    ck_assert_int_eq(look(1), LAUNCHER_ALIVE);
    ck_assert_int_eq(look(2), LAUNCHER_QUEUED);
    pilot_is(1, "CANCELLED", "0:03");
    ck_assert_int_eq(shell("test -e %s/pilots/1", root), 0); /* they are not settled */
    ck_assert_int_eq(look(1), LAUNCHER_GONE);
    ck_assert(!seen.is_cancelled && seen.early[0] == '\0');
    ck_assert_int_eq(look(2), LAUNCHER_NEVER);
    ck_assert(!seen.is_cancelled && seen.early[0] == '\0');
    ck_assert_int_eq(shell("test -e %s/2/ticket-1", root), 1);
    next_round();
    ck_assert_int_eq(shell("test -e %s/pilots/1", root), 1);
    ck_assert_int_eq(look(1), LAUNCHER_GONE); /* asked again after a crash: the same */
    ck_assert_int_eq(look(2), LAUNCHER_NEVER);
}
END_TEST

START_TEST(slurm_has_forgotten_it)
{
    ck_assert(!is_ready(request(1, "alice")));
    pilot_is(1, "RUNNING", "0:01");
    start(request(1, "alice"));
    ck_assert_int_eq(shell("mv %s/1/ticket-1 %s/1/taken-1", root, root), 0);
    pilot_is(1, "", "");
    ck_assert_int_eq(look(1), LAUNCHER_FORGOTTEN);
    ck_assert_int_eq(shell("mkdir %s/away; mv %s/bin/squeue %s/away", root, root, root),
                     0);
    next_round();
    ck_assert_int_eq(
        launcher.ops->look(&launcher, request(1, "alice").directory, 1, &seen, &err),
        -PPT_EIO); /* not "gone" */
    ck_assert_int_eq(shell("echo 0 >%s/1/ended-1", root), 0);
    ck_assert_int_eq(look(1), LAUNCHER_GONE); /* for which nobody need be asked */
}
END_TEST

/* Nothing is remembered that the spool does not say. */
START_TEST(next_scheduler_finds_all)
{
    conf.pilots.most = 1;
    ck_assert(!is_ready(request(1, "alice")));
    pilot_is(1, "RUNNING", "0:01");
    start(request(1, "alice"));
    ck_assert_int_eq(shell("mv %s/1/ticket-1 %s/1/taken-1", root, root), 0);
    close_launcher();
    open_launcher();
    next_round();
    ck_assert_int_eq(look(1), LAUNCHER_ALIVE);
    ck_assert(is_ready(request(2, "alice")));
    ck_assert_int_eq(start(request(2, "alice")), 41);
    ck_assert_int_eq(shell("grep -q '^1 2 1 1 1,1 ' %s/pilots/1/orders/2-1", root), 0);
    ck_assert(!is_ready(request(3, "alice"))); /* it is full */
    pilot_is(1, "TIMEOUT", "10:00");
    ck_assert_int_eq(look(1), LAUNCHER_GONE);
    ck_assert_int_eq(look(2), LAUNCHER_NEVER);
    next_round();
    close_launcher();
    open_launcher();
    ck_assert(!is_ready(request(3, "alice"))); /* numbers are not used twice */
    ck_assert_int_eq(shell("test -e %s/pilots/2/batch", root), 0);
}
END_TEST

/* The scheduler died when the ticket was there and the order was not. */
START_TEST(next_scheduler_sends_the_order)
{
    ck_assert(!is_ready(request(1, "alice")));
    pilot_is(1, "RUNNING", "0:01");
    start(request(1, "alice"));
    close_launcher();
    ck_assert_int_eq(shell("rm %s/pilots/1/orders/1-1", root), 0);
    open_launcher();
    next_round();
    ck_assert_int_eq(look(1), LAUNCHER_QUEUED);
    ck_assert_int_eq(shell("cmp %s/1/order-1 %s/pilots/1/orders/1-1", root, root), 0);
}
END_TEST

/* An order that may or may not be there cannot be settled at nothing and run. */
START_TEST(unsent_orders_can_begin_no_more)
{
    struct launcher_started started;
    struct launcher_request job = request(1, "alice");
    ck_assert(!is_ready(job));
    pilot_is(1, "RUNNING", "0:01");
    ck_assert_int_eq(shell("cd %s/pilots/1 && mv orders kept && touch orders", root),
                     0);
    ck_assert_int_eq(launcher.ops->start(&launcher, &job, -1, &started, &err),
                     -PPT_EIO);
    ck_assert_int_eq(shell("test -e %s/1/ticket-1", root), 1);
    ck_assert_int_eq(shell("test -e %s/1/order-1", root), 0);
}
END_TEST

/* Those that ended while no scheduler was there are no failures. */
START_TEST(ends_that_nobody_saw)
{
    conf.pilots.most = 4;
    for (int i = 1; i <= 4; i++) {
        struct launcher_request job = request(i, i == 1   ? "alice"
                                                 : i == 2 ? "bob"
                                                 : i == 3 ? "carol"
                                                          : "dave");
        ck_assert(!is_ready(job));
        pilot_is(i, "RUNNING", "0:01");
    }
    close_launcher();
    for (int i = 1; i <= 4; i++)
        shell("sed -i 's/RUNNING/COMPLETED/' %s/jobs", root);
    open_launcher();
    next_round();
    ck_assert(!is_ready(request(5, "alice"))); /* asks for one again */
    ck_assert_int_eq(n_submitted(), 5);
}
END_TEST

START_TEST(refused_ones_are_not_asked_for_for_ever)
{
    ck_assert_int_eq(shell("touch %s/refuse", root), 0);
    ck_assert(!is_ready(request(1, "alice")));
    ck_assert(!is_ready(request(1, "alice")));
    ck_assert(is_ready(request(1, "alice"))); /* from now on to sbatch, for a while */
    ck_assert(is_ready(request(2, "alice")));
    ck_assert_int_eq(n_submitted(), 3);
    ck_assert_int_eq(shell("rm %s/refuse", root), 0);
    ck_assert_int_eq(start(request(1, "alice")), 44);
}
END_TEST

START_TEST(ends_one_job_alone)
{
    ck_assert(!is_ready(request(1, "alice")));
    pilot_is(1, "RUNNING", "0:01");
    start(request(1, "alice"));
    start(request(2, "alice"));
    ck_assert_int_eq(shell("mv %s/1/ticket-1 %s/1/taken-1; printf '%s' >%s/steps", root,
                           root,
                           "41.0|ppt-9-1\\n99.3|ppt-1-1\\n41.12|ppt-1-1\\n"
                           "41.13|ppt-1-11\\n41.batch|batch\\n",
                           root),
                     0);
    launcher.ops->stop(&launcher, request(1, "alice").directory);
    launcher.ops->kill(&launcher, request(1, "alice").directory);
    launcher.ops->stop(&launcher, request(2, "alice").directory); /* not taken */
    ck_assert_int_eq(shell("printf -- '--signal=TERM 41.12\\n--signal=KILL 41.12\\n' |"
                           " diff - %s/scancel.calls",
                           root),
                     0);
    ck_assert_int_eq(look(1), LAUNCHER_ALIVE);
    ck_assert_int_eq(look(2), LAUNCHER_NEVER);
}
END_TEST

/* A job in a world: that world's step is signalled, and takes no other job after it. */
START_TEST(ends_one_world_alone)
{
    ck_assert(!is_ready(request(1, "alice")));
    pilot_is(1, "RUNNING", "0:01");
    start(request(1, "alice"));
    start(request(2, "alice"));
    ck_assert_int_eq(
        shell("cd %s && mv 1/ticket-1 1/taken-1 && mv 2/ticket-1 2/taken-1 &&"
              " mkdir -p pilots/1/worlds/3 pilots/1/worlds/4 && touch"
              " pilots/1/worlds/3/busy-11-1 pilots/1/worlds/4/busy-1-1 &&"
              " printf '41.3|ppt-world-3\n41.4|ppt-world-4\n41.5|ppt-2-1\n' >steps",
              root),
        0);
    launcher.ops->stop(&launcher, request(1, "alice").directory);
    launcher.ops->kill(&launcher, request(1, "alice").directory);
    ck_assert_int_eq(shell("cd %s/pilots/1/worlds && [ -e 4/closed-1-1 ] &&"
                           " ! [ -e 4/busy-1-1 ] && [ -e 3/busy-11-1 ]",
                           root),
                     0);
    /* It has ended, and its world has another job by now. */
    ck_assert_int_eq(shell("mv %s/pilots/1/worlds/4/closed-1-1 "
                           "%s/pilots/1/worlds/4/busy-7-1",
                           root, root),
                     0);
    launcher.ops->kill(&launcher, request(1, "alice").directory);
    launcher.ops->stop(&launcher, request(2, "alice").directory); /* a step */
    ck_assert_int_eq(shell("printf -- '--signal=TERM 41.4\n--signal=KILL 41.4\n"
                           "--signal=TERM 41.5\n' | diff - %s/scancel.calls",
                           root),
                     0);
    pilot_is(1, "FAILED", "0:02");
    ck_assert_int_eq(look(1), LAUNCHER_GONE);
    ck_assert_int_eq(look(2), LAUNCHER_GONE);
    next_round();
    ck_assert_int_eq(shell("test -e %s/pilots/1", root), 1); /* worlds and all */
}
END_TEST

/* Runs the real script; it is told to leave when it has taken what is there. */
static int run_script(void)
{
    ck_assert_int_eq(
        shell("cd %s/bin && printf '#!/bin/sh\\necho n0; echo n1\\n' >scontrol &&"
              " printf '#!/bin/sh\\necho \"$@\" >>%s/srun.calls\\n"
              "cat \"$SLURM_HOSTFILE\" >>%s/srun.hosts\\nsleep 0.3\\n"
              "[ ! -e crash ] || kill -KILL $$\\nexit 7\\n' >srun && chmod 755 srun",
              root, root, root),
        0);
    return shell("cd %s/pilots/1; rm -f leave; (while [ \"$(ls orders)\" ]; do"
                 " sleep 0.05; done; touch leave) & timeout 20 bash %s/pilots/1/batch",
                 root, root);
}

/* Each job gets a step of its own. */
static void without_worlds(void)
{
    conf.pool.max_jobs = 1;
    close_launcher();
    open_launcher();
}

START_TEST(script_runs_each_order_once)
{
    without_worlds();
    ck_assert(!is_ready(request(1, "alice")));
    pilot_is(1, "RUNNING", "0:01");
    start(request(1, "alice"));
    struct launcher_request job = request(2, "alice");
    start(job);
    launcher.ops->stop(&launcher, request(1, "alice").directory); /* taken back */
    ck_assert_int_eq(run_script(), 0);
    ck_assert_int_eq(
        shell("[ $(wc -l <%s/srun.calls) = 1 ] && grep -q -e "
              "'--job-name=ppt-2-1 .*--ntasks=2 .*--cpus-per-task=1 "
              "--mem-per-cpu=1M .*/opt/ppt/ppt-worker --plan %s/2 ' "
              "%s/srun.calls && printf 'n1\\nn1\\n' | diff - %s/srun.hosts",
              root, root, root, root),
        0);
    ck_assert_int_eq(
        shell("[ $(cat %s/2/ended-1) = 7 ] && ! test -e %s/1/ended-1", root, root), 0);
    ck_assert_int_eq(look(2), LAUNCHER_GONE);
    ck_assert_int_eq(look(1), LAUNCHER_NEVER);
    /* The same order once more: its ticket has gone. */
    ck_assert_int_eq(shell("cp %s/2/order-1 %s/pilots/1/orders/2-1", root, root), 0);
    ck_assert_int_eq(run_script(), 0);
    ck_assert_int_eq(shell("[ $(wc -l <%s/srun.calls) = 1 ]", root), 0);
    ck_assert_int_eq(
        shell("rm -r %s/pilots/1/orders && bash %s/pilots/1/batch", root, root),
        75); /* given up before it began */
}
END_TEST

/* An srun that was killed says nothing about its ranks: word is left only when Slurm
 * has no step of it any more. */
START_TEST(script_waits_for_a_step_that_has_lost_its_srun)
{
    without_worlds();
    ck_assert(!is_ready(request(1, "alice")));
    pilot_is(1, "RUNNING", "0:01");
    start(request(1, "alice"));
    ck_assert_int_eq(shell("touch %s/1/crash; echo '41.7|ppt-1-1' >%s/steps;"
                           " printf '#!/bin/sh\\necho \"$@\" >>%s/scancel.calls; "
                           "test ! -e %s/1/ended-1 && : >%s/steps\\n' >%s/bin/scancel",
                           root, root, root, root, root, root),
                     0);
    ck_assert_int_eq(run_script(), 0);
    ck_assert_int_eq(shell("grep -qx -e '--signal=KILL 41.7' %s/scancel.calls && "
                           "[ $(cat %s/1/ended-1) = 137 ]",
                           root, root),
                     0);
}
END_TEST

/* The real script with worlds that false_srun.sh imitates, and jobs that take 0.1 s. */
static void make_worlds(void)
{
    setenv("TEST_ROOT", root, 1);
    ck_assert_int_eq(
        shell("cd %s/bin && printf '#!/bin/sh\\necho n0; echo n1\\n' >scontrol &&"
              " install %s/tests/unit/scheduler/false_srun.sh srun",
              root, getenv("PPT_SOURCE_DIR")),
        0);
    ck_assert(!is_ready(request(1, "alice")));
    pilot_is(1, "RUNNING", "0:01");
    ck_assert_int_eq(shell("cd %s && for i in 1 2 3 4 5 6; do mkdir -p $i;"
                           " echo 0.1 >$i/takes; done",
                           root),
                     0);
}

/* The script in the background, until `end_script`. */
static void begin_script(void)
{
    ck_assert_int_eq(shell("cd %s && { timeout 20 bash pilots/1/batch >script.out 2>&1;"
                           " echo $? >script.end; } &",
                           root),
                     0);
}

static void end_script(void)
{
    ck_assert_int_eq(shell("cd %s && touch pilots/1/leave && for i in $(seq 200); do"
                           " [ ! -e script.end ] || break; sleep 0.05; done;"
                           " cat script.out; [ x$(cat script.end) = x0 ]",
                           root),
                     0);
}

static void wait_end(int job_id)
{
    ck_assert_int_eq(shell("cd %s && for i in $(seq 200); do [ ! -e %d/ended-1 ] ||"
                           " exit 0; sleep 0.02; done; exit 1",
                           root, job_id),
                     0);
    ck_assert_int_eq(look(job_id), LAUNCHER_GONE);
}

static int64_t start_shape(int job_id, int n_ranks)
{
    struct launcher_request job = request(job_id, "alice");
    job.n_ranks = n_ranks;
    return start(job);
}

START_TEST(script_gives_jobs_of_one_shape_to_one_world)
{
    make_worlds();
    begin_script();
    for (int i = 1; i <= 3; i++) {
        start_shape(i, 2);
        wait_end(i);
    }
    ck_assert_int_eq(
        shell(
            "cd %s && [ $(wc -l <srun.calls) = 1 ] && [ $(wc -l <worlds.jobs) = 3 ] &&"
            " [ $(cut -d' ' -f1 worlds.jobs | uniq | wc -l) = 1 ] && grep -q -e "
            "'--job-name=ppt-world-1 .*--ntasks=2 .*--mem-per-cpu=1M .*ppt-worker "
            "--pool "
            ".*/pilots/1/worlds/1 --orders --jobs 1000 --public-key' srun.calls",
            root),
        0);
    /* Another shape on its node: the idle world makes room, and only then. */
    ck_assert_int_eq(shell("[ -d %s/pilots/1/worlds/1 ]", root), 0);
    start_shape(4, 1);
    wait_end(4);
    ck_assert_int_eq(shell("cd %s && ! [ -d pilots/1/worlds/1 ] &&"
                           " [ $(wc -l <srun.calls) = 2 ]",
                           root),
                     0);
    /* Over two nodes: a step of its own. */
    start_shape(5, 4);
    wait_end(5);
    ck_assert_int_eq(shell("cd %s && [ $(cat 5/ended-1) = 7 ] && tail -n 1 srun.calls |"
                           " grep -q -e '--job-name=ppt-5-1 .*--plan %s/5'",
                           root, root),
                     0);
    end_script();
    ck_assert_int_eq(shell("rmdir %s/pilots/1/worlds", root), 0);
}
END_TEST

START_TEST(script_tells_of_jobs_whose_world_dies)
{
    make_worlds();
    ck_assert_int_eq(shell("touch %s/1/dies; echo 1 >%s/2/takes", root, root), 0);
    begin_script();
    start_shape(1, 1);
    start_shape(2, 1);
    wait_end(1);
    ck_assert_int_eq(shell("cd %s && [ $(cat 1/ended-1) = 9 ] && ! [ -e 2/ended-1 ] &&"
                           " grep -q 'words of a world' 1/log",
                           root),
                     0);
    wait_end(2); /* the other has not noticed */
    ck_assert_int_eq(shell("[ $(cat %s/2/ended-1) = 0 ]", root), 0);
    end_script();
}
END_TEST

/* It dies before it takes the ticket: nothing has begun, and a step runs the job. */
START_TEST(script_runs_jobs_whose_world_does_not_come_up)
{
    make_worlds();
    ck_assert_int_eq(shell("touch %s/1/deaf", root), 0);
    begin_script();
    start_shape(1, 2);
    wait_end(1);
    ck_assert_int_eq(shell("cd %s && [ $(cat 1/ended-1) = 7 ] && tail -n 1 srun.calls |"
                           " grep -q -e --plan",
                           root),
                     0);
    end_script();
}
END_TEST

/* Given up before a world took it, closed while it ran: the world is idle again, or
 * gone.
 */
START_TEST(script_and_scheduler_meet_at_a_world)
{
    make_worlds();
    ck_assert_int_eq(shell("echo 0.5 >%s/2/takes", root), 0);
    begin_script();
    start_shape(1, 2);
    wait_end(1);
    start_shape(2, 2);
    ck_assert_int_eq(
        shell("cd %s && for i in $(seq 100); do [ ! -e 2/taken-1 ] || exit 0;"
              " sleep 0.02; done; exit 1",
              root),
        0);
    ck_assert_int_eq(shell("echo '41.4|ppt-world-1' >%s/steps", root), 0);
    launcher.ops->stop(&launcher, request(2, "alice").directory);
    ck_assert_int_eq(shell("grep -qx -e '--signal=TERM 41.4' %s/scancel.calls", root),
                     0);
    wait_end(2);
    start_shape(3, 2);
    wait_end(3);
    ck_assert_int_eq(
        shell("[ $(cut -d' ' -f1 %s/worlds.jobs | uniq | wc -l) = 2 ]", root), 0);
    end_script();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("launch_pilot");
    TCase *tests = tcase_create("launch_pilot");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, comes_and_takes_orders);
    tcase_add_test(tests, grows_as_the_queue_asks);
    tcase_add_test(tests, one_login_each_and_idle_ones_make_room);
    tcase_add_test(tests, pilots_between_two_jobs_stay);
    tcase_add_test(tests, what_does_not_fit_goes_to_sbatch);
    tcase_add_test(tests, not_near_its_end);
    tcase_add_test(tests, pilot_ends_under_its_jobs);
    tcase_add_test(tests, slurm_has_forgotten_it);
    tcase_add_test(tests, next_scheduler_finds_all);
    tcase_add_test(tests, next_scheduler_sends_the_order);
    tcase_add_test(tests, unsent_orders_can_begin_no_more);
    tcase_add_test(tests, ends_that_nobody_saw);
    tcase_add_test(tests, refused_ones_are_not_asked_for_for_ever);
    tcase_add_test(tests, ends_one_job_alone);
    tcase_add_test(tests, script_runs_each_order_once);
    tcase_add_test(tests, script_waits_for_a_step_that_has_lost_its_srun);
    tcase_add_test(tests, ends_one_world_alone);
    tcase_add_test(tests, script_gives_jobs_of_one_shape_to_one_world);
    tcase_add_test(tests, script_tells_of_jobs_whose_world_dies);
    tcase_add_test(tests, script_runs_jobs_whose_world_does_not_come_up);
    tcase_add_test(tests, script_and_scheduler_meet_at_a_world);
    tcase_set_timeout(tests, 30);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed > 0;
}
