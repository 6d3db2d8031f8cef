#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/pathsafe.h"
#include "scheduler/launch_mpirun.h"
#include "scheduler/launcher.h"
#include "scheduler/submit.h"

/* ---- what can be known before ---- */

/* A program as execvp would find it. */
int submit_find_program(const char *name, struct error *err)
{
    char path[PATH_MAX];
    const char *at = getenv("PATH");
    if (strchr(name, '/') != NULL && access(name, X_OK) == 0)
        return 0;
    while (strchr(name, '/') == NULL && at != NULL && *at != '\0') {
        size_t len = strcspn(at, ":");
        snprintf(path, sizeof path, "%.*s/%s", (int)len, at, name);
        if (access(path, X_OK) == 0)
            return 0;
        at += len + (at[len] == ':');
    }
    return error_set(err, PPT_ELAUNCH, "there is no program %s", name);
}

/* srun inside a step would wait for ever for the tasks that the step holds. */
static int check_slurm(const struct submit_ranks *ranks, struct error *err)
{
    const char *n_tasks = getenv("SLURM_NTASKS");
    if (getenv("SLURM_STEP_ID") != NULL) {
        error_set(err, PPT_ELAUNCH, "this is a step of a Slurm job already");
        return error_hint(err,
                          "in a batch script write ppt-submit --here without srun");
    }
    if (n_tasks != NULL && atoll(n_tasks) < ranks->n_ranks) {
        error_set(err, PPT_ELAUNCH,
                  "the job is for %lld ranks and this allocation has %s tasks",
                  (long long)ranks->n_ranks, n_tasks);
        return error_hint(err, "ask for --ntasks=%lld", (long long)ranks->n_ranks);
    }
    return submit_find_program("srun", err);
}

int submit_ranks_check(struct submit_ranks *ranks, struct error *err)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    if (ranks->n_step_ranks != 0)
        return submit_step_check(ranks, err);
    int rc = client_program(ranks->conf.worker, "worker", ranks->worker,
                            sizeof ranks->worker, err);
    ranks->is_slurm = getenv("SLURM_JOB_ID") != NULL;
    if (rc == 0)
        rc = pathsafe_read_public(ranks->conf.public_key, key, sizeof key, err);
    if (rc != 0)
        return rc;
    return ranks->is_slurm ? check_slurm(ranks, err)
                           : submit_find_program(ranks->conf.mpirun, err);
}

/* ---- the processes ---- */

struct words {
    char n_ranks[24], n_cores[24], option[64], mark[PATH_MAX + 32];
};

static void mpirun_arguments(const struct submit_ranks *ranks, const char *directory,
                             struct words *words,
                             const char *ret_argv[LAUNCH_MPIRUN_N_ARGUMENTS])
{
    struct launch_mpirun mpirun = {.mpirun = ranks->conf.mpirun,
                                   .worker = ranks->worker,
                                   .public_key = ranks->conf.public_key};
    if (ranks->conf.launcher == CONF_MPIRUN) { /* else they are sbatch's */
        mpirun.n_arguments = ranks->conf.n_arguments;
        mpirun.arguments = ranks->conf.arguments;
    }
    launch_mpirun_arguments(&mpirun, directory, words->n_ranks, ret_argv);
}

static void srun_arguments(const struct submit_ranks *ranks, const char *directory,
                           struct words *words,
                           const char *ret_argv[LAUNCH_MPIRUN_N_ARGUMENTS])
{
    snprintf(words->option, sizeof words->option, "--cpus-per-task=%s", words->n_cores);
    const char *const argv[] = {"srun",
                                "--mpi=pmix",
                                "--ntasks",
                                words->n_ranks,
                                words->option,
                                "--kill-on-bad-exit=1",
                                ranks->worker,
                                "--plan",
                                directory,
                                "--public-key",
                                ranks->conf.public_key,
                                NULL};
    memcpy(ret_argv, argv, sizeof argv);
}

/* As the scheduler does for its own ranks. */
static void set_environment(const struct words *words, const char *directory)
{
    setenv("OMP_NUM_THREADS", words->n_cores, 1);
    setenv("OPENBLAS_NUM_THREADS", words->n_cores, 1);
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 1);
    setenv("SLURM_PMIX_FENCE", "ring", 1); /* see slurm/ppt-job.sbatch.in */
    setenv(LAUNCHER_MARK, directory, 1);
    if (geteuid() == 0) { /* mpirun refuses root otherwise */
        setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
        setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    }
}

/* The job's id alone belongs on this program's stdout. */
static void child(const char *program, const char *const *argv, int log, pid_t parent)
{
    int out = log >= 0 ? log : STDERR_FILENO;
    int null = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    for (int sig = 1; sig < SIGRTMIN; sig++)
        signal(sig, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
        _exit(PPT_ELAUNCH);
    execvp(program, (char *const *)argv);
    _exit(PPT_ELAUNCH);
}

/* The plan is paid for: a log that cannot be made does not stop it. */
static void open_log(struct submit_ranks *ranks, const char *directory)
{
    char path[PATH_MAX + 48];
    snprintf(path, sizeof path, "%s/log", directory);
    ranks->log = open(path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (ranks->log < 0)
        log_warning("cannot write %s: %s", path, strerror(errno));
}

static void show_log(struct submit_ranks *ranks)
{
    char chunk[8192];
    ssize_t n;
    while (ranks->log >= 0 &&
           (n = pread(ranks->log, chunk, sizeof chunk, ranks->log_shown)) > 0) {
        ranks->log_shown += n;
        fwrite(chunk, 1, (size_t)n, stderr);
    }
}

int submit_ranks_start(struct submit_ranks *ranks, const char *directory,
                       struct error *err)
{
    const char *argv[LAUNCH_MPIRUN_N_ARGUMENTS];
    struct words words;
    pid_t parent = getpid();
    if (ranks->n_step_ranks != 0)
        return submit_step_start(ranks, directory, err);
    snprintf(words.n_ranks, sizeof words.n_ranks, "%lld", (long long)ranks->n_ranks);
    snprintf(words.n_cores, sizeof words.n_cores, "%lld",
             (long long)ranks->cores_per_rank);
    (ranks->is_slurm ? srun_arguments : mpirun_arguments)(ranks, directory, &words,
                                                          argv);
    set_environment(&words, directory);
    open_log(ranks, directory);
    pid_t pid = fork();
    if (pid == 0)
        child(ranks->is_slurm ? "srun" : ranks->conf.mpirun, argv, ranks->log, parent);
    if (pid < 0)
        return error_errno(err, PPT_ELAUNCH, "cannot start the ranks");
    setpgid(pid, pid);
    ranks->pid = pid;
    return 0;
}

bool submit_ranks_have_ended(struct submit_ranks *ranks)
{
    int status;
    if (ranks->n_step_ranks != 0)
        return submit_step_has_ended(ranks);
    if (ranks->pid == 0)
        return true;
    bool has_ended = waitpid(ranks->pid, &status, WNOHANG) == ranks->pid;
    show_log(ranks);
    if (!has_ended)
        return false;
    ranks->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    ranks->pid = 0;
    if (ranks->log >= 0)
        close(ranks->log);
    ranks->log = -1;
    return true;
}

/* Both mpirun and srun pass this one on. */
void submit_ranks_stop(const struct submit_ranks *ranks)
{
    if (ranks->n_step_ranks != 0)
        submit_step_signal(ranks, SIGUSR1);
    else if (ranks->pid > 0)
        kill(ranks->pid, SIGUSR1);
}

/* On SIGTERM both end their ranks, on other nodes too, and leave. A step's other ranks
 * end with rank 0 under mpirun, and by submit_step_end_all under Slurm. */
void submit_ranks_kill(const struct submit_ranks *ranks)
{
    if (ranks->n_step_ranks != 0)
        submit_step_signal(ranks, SIGKILL);
    else if (ranks->pid > 0)
        kill(ranks->pid, SIGTERM);
}
