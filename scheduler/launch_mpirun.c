#include "scheduler/launch_mpirun.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scheduler/spool.h"

/* The child's environment. 64 entries are more than the allow list can make. */
#define MAX_ENVIRONMENT 64
#define ENVIRON_BYTES (256u << 10)

struct environment {
    char *entries[MAX_ENVIRONMENT + 1];
    int n;
    bool has_failed;
};

static void add(struct environment *environment, const char *name, const char *value)
{
    char *entry = NULL;
    if (environment->n == MAX_ENVIRONMENT)
        return;
    if (asprintf(&entry, "%s=%s", name, value) < 0) {
        environment->has_failed = true;
        return;
    }
    environment->entries[environment->n++] = entry;
}

/* Passed on where they are set. What a job's user could set is not here: the scheduler
 * has its own environment, set by its operator. */
static const char *const allowed[] = {
    "PATH",        "HOME",        "USER",
    "LOGNAME",     "TMPDIR",      "LD_LIBRARY_PATH",
    "TZ",          "OPAL_PREFIX", "CUDA_VISIBLE_DEVICES",
    "ASAN_OPTIONS"};

static void environment_make(struct environment *environment,
                             const struct launcher_request *request)
{
    char n_threads[24];
    *environment = (struct environment){0};
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (getenv(allowed[i]) != NULL)
            add(environment, allowed[i], getenv(allowed[i]));
    snprintf(n_threads, sizeof n_threads, "%lld", (long long)request->cores_per_rank);
    add(environment, "LANG", "C.UTF-8");
    add(environment, "OMP_NUM_THREADS", n_threads);
    add(environment, "OPENBLAS_NUM_THREADS", n_threads);
    add(environment, LAUNCHER_MARK, request->directory);
    if (geteuid() == 0) { /* mpirun refuses root otherwise */
        add(environment, "OMPI_ALLOW_RUN_AS_ROOT", "1");
        add(environment, "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    }
}

static void environment_free(struct environment *environment)
{
    for (int i = 0; i < environment->n; i++)
        free(environment->entries[i]);
}

/* In the child, between fork and exec: async-signal-safe calls only. */
static void redirect(int input, int to_log, int lock)
{
    int in = input >= 0 ? input : open("/dev/null", O_RDONLY);
    if (in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(to_log, STDOUT_FILENO) < 0 ||
        dup2(to_log, STDERR_FILENO) < 0)
        _exit(127);
    close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
    fcntl(lock, F_SETFD, 0);
}

static void child(const struct launch_mpirun *mpirun, char *const *argv,
                  char *const *environment, const char *directory, int input,
                  int to_log, int lock, int to_parent)
{
    sigset_t none;
    sigemptyset(&none);
    for (int sig = 1; sig < SIGRTMIN; sig++)
        signal(sig, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    umask(077);
    redirect(input, to_log, lock);
    if (chdir(directory) == 0)
        execvpe(mpirun->mpirun, argv, environment);
    int code = errno;
    ssize_t n = write(to_parent, &code, sizeof code);
    _exit(n == sizeof code ? 127 : 126);
}

/* Field 22 of /proc/PID/stat; the name in field 2 may hold anything but ends with the
 * last ')'. 0 where the process has gone. */
static int64_t start_time_of(pid_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at == NULL ? 0 : strtoll(at + 1, NULL, 10);
}

/* 0 if exec succeeded, else its errno. */
static int exec_errno(int from_child)
{
    int code;
    ssize_t n;
    do
        n = read(from_child, &code, sizeof code);
    while (n < 0 && errno == EINTR);
    return n == sizeof code ? code : 0;
}

/* A pipe that holds the key and ends behind it; -1: there is none to hand over. mpirun
 * passes its standard input on to rank 0 alone. */
static int pipe_key(const struct launcher_request *request, int *ret_input,
                    struct error *err)
{
    int ends[2];
    *ret_input = -1;
    if (request->checkpoint_key == NULL)
        return 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_errno(err, PPT_ELAUNCH, "cannot start a job");
    ssize_t n = write(ends[1], request->checkpoint_key, CRYPTO_KEY_SIZE);
    close(ends[1]);
    if (n == CRYPTO_KEY_SIZE) {
        *ret_input = ends[0];
        return 0;
    }
    close(ends[0]);
    return error_set(err, PPT_ELAUNCH, "cannot hand a job its key");
}

static int fork_child(const struct launch_mpirun *mpirun, char *const *argv,
                      const struct launcher_request *request, int input, int to_log,
                      int lock, struct launcher_started *ret_started, struct error *err)
{
    int ends[2], rc = 0;
    struct environment environment;
    environment_make(&environment, request);
    if (environment.has_failed) {
        environment_free(&environment);
        return error_set(err, PPT_ENOMEM, "out of memory starting a job");
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        environment_free(&environment);
        return error_errno(err, PPT_ELAUNCH, "cannot start a job");
    }
    pid_t pid = fork();
    if (pid == 0)
        child(mpirun, argv, environment.entries, request->directory, input, to_log,
              lock, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        rc = error_errno(err, PPT_ELAUNCH, "cannot start a job");
    } else if ((errno = exec_errno(ends[0])) != 0) {
        rc = error_errno(err, PPT_ELAUNCH, "cannot start %s", mpirun->mpirun);
        error_hint(err, "set launcher.mpirun in the site's configuration");
        waitpid(pid, NULL, 0);
    } else {
        ret_started->pid = pid;
        ret_started->start_time = start_time_of(pid);
    }
    close(ends[0]);
    environment_free(&environment);
    return rc;
}

/* What the ranks are for, in mpirun's and the worker's words. */
struct purpose {
    const char *environment; /* NAME=VALUE of the ranks; NULL: none */
    const char *mode;        /* --plan or --pool; the directory follows */
    const char *max_jobs;    /* NULL: no such option */
    const char *attempt;     /* the same */
    bool has_key;            /* on standard input */
};

static bool has_argument(const struct launch_mpirun *mpirun, const char *argument)
{
    for (int i = 0; i < mpirun->n_arguments; i++)
        if (strcmp(mpirun->arguments[i], argument) == 0)
            return true;
    return false;
}

/* The scheduler counts cores itself, hence --oversubscribe. Unless the site says
 * otherwise, ranks may use any core, and one that waits for another lets go of its own:
 * that costs nothing on a core of its own and is worth a factor of ten beside other
 * work. */
static void make_arguments(const struct launch_mpirun *mpirun, const char *directory,
                           const struct purpose *purpose, const char *n_ranks,
                           const char *ret_argv[LAUNCH_MPIRUN_N_ARGUMENTS])
{
    int n = 0;
    ret_argv[n++] = "mpirun";
    ret_argv[n++] = "-n";
    ret_argv[n++] = n_ranks;
    ret_argv[n++] = "--oversubscribe";
    if (!has_argument(mpirun, "--bind-to")) {
        ret_argv[n++] = "--bind-to";
        ret_argv[n++] = "none";
    }
    if (!has_argument(mpirun, "mpi_yield_when_idle")) {
        ret_argv[n++] = "--mca";
        ret_argv[n++] = "mpi_yield_when_idle";
        ret_argv[n++] = "1";
    }
    for (int i = 0; i < mpirun->n_arguments && i < LAUNCH_MPIRUN_MAX_ARGUMENTS; i++)
        ret_argv[n++] = mpirun->arguments[i];
    if (purpose->environment != NULL) {
        ret_argv[n++] = "-x";
        ret_argv[n++] = purpose->environment;
    }
    ret_argv[n++] = mpirun->worker;
    ret_argv[n++] = purpose->mode;
    ret_argv[n++] = directory;
    if (purpose->max_jobs != NULL) {
        ret_argv[n++] = "--jobs";
        ret_argv[n++] = purpose->max_jobs;
    }
    if (purpose->attempt != NULL) {
        ret_argv[n++] = "--attempt";
        ret_argv[n++] = purpose->attempt;
    }
    if (purpose->has_key)
        ret_argv[n++] = "--key-on-stdin";
    ret_argv[n++] = "--public-key";
    ret_argv[n++] = mpirun->public_key;
    ret_argv[n] = NULL;
}

void launch_mpirun_arguments(const struct launch_mpirun *mpirun, const char *directory,
                             const char *n_ranks,
                             const char *ret_argv[LAUNCH_MPIRUN_N_ARGUMENTS])
{
    static const struct purpose plan = {.mode = "--plan"};
    make_arguments(mpirun, directory, &plan, n_ranks, ret_argv);
}

static int start_ranks(const struct launch_mpirun *mpirun,
                       const struct launcher_request *request,
                       const struct purpose *purpose, int lock,
                       struct launcher_started *ret_started, struct error *err)
{
    const char *argv[LAUNCH_MPIRUN_N_ARGUMENTS];
    char n_ranks[24], log_path[PATH_MAX];
    snprintf(n_ranks, sizeof n_ranks, "%lld", (long long)request->n_ranks);
    snprintf(log_path, sizeof log_path, "%s/log", request->directory);
    make_arguments(mpirun, request->directory, purpose, n_ranks, argv);
    if (access(mpirun->worker, X_OK) != 0) {
        error_errno(err, PPT_ELAUNCH, "cannot run %s", mpirun->worker);
        return error_hint(err, "set launcher.worker in the site's configuration");
    }
    int to_log =
        open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    int input = -1;
    if (to_log < 0)
        return error_errno(err, PPT_EIO, "cannot write %s", log_path);
    int rc = pipe_key(request, &input, err);
    if (rc == 0)
        rc = fork_child(mpirun, (char *const *)argv, request, input, to_log, lock,
                        ret_started, err);
    if (input >= 0)
        close(input);
    close(to_log);
    return rc;
}

static int start(struct launcher *launcher, const struct launcher_request *request,
                 int lock, struct launcher_started *ret_started, struct error *err)
{
    char attempt[24];
    snprintf(attempt, sizeof attempt, "%lld", (long long)request->attempt);
    const struct purpose purpose = {.mode = "--plan",
                                    .attempt = attempt,
                                    .has_key = request->checkpoint_key != NULL};
    return start_ranks(launcher->state, request, &purpose, lock, ret_started, err);
}

int launch_mpirun_world(const struct launch_mpirun *mpirun,
                        const struct launcher_request *request, int64_t max_jobs,
                        int lock, struct launcher_started *ret_started,
                        struct error *err)
{
    char environment[sizeof LAUNCHER_MARK + POOL_PATH_SIZE], number[24];
    struct purpose purpose = {
        .environment = environment, .mode = "--pool", .max_jobs = number};
    int len = snprintf(environment, sizeof environment, "%s=", LAUNCHER_MARK);
    memset(environment + len, '/', POOL_PATH_SIZE - 1);
    environment[len + POOL_PATH_SIZE - 1] = '\0';
    snprintf(number, sizeof number, "%lld", (long long)max_jobs);
    return start_ranks(mpirun, request, &purpose, lock, ret_started, err);
}

/* ---- the processes of a job, found by their environment ---- */

/* The environment a process was started with; false if it cannot be read. */
static bool read_environ(pid_t pid, char *text, size_t *ret_len)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/environ", (long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    *ret_len = fread(text, 1, ENVIRON_BYTES - 1, file);
    fclose(file);
    text[*ret_len] = '\0';
    return *ret_len > 0;
}

/* Has an entry that is, or starts with, `wanted`? */
static bool has_entry(const char *text, size_t len, const char *wanted, bool whole)
{
    size_t n = strlen(wanted);
    for (const char *at = text; at < text + len; at += strlen(at) + 1)
        if (strncmp(at, wanted, n) == 0 && (!whole || at[n] == '\0'))
            return true;
    return false;
}

/* Is it called so? Of a program's name the kernel keeps 15 bytes. */
static bool is_called(pid_t pid, const char *name)
{
    char path[64], text[32] = "";
    snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool is_read = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    text[strcspn(text, "\n")] = '\0';
    return is_read && strncmp(text, name, 15) == 0;
}

enum whom { EVERYBODY, RANKS };

/* Sends `sig` (0: only counts) to the job's processes, or those of them that are called
 * `name`, and returns their number. The
 * process is pinned by a pidfd before its environment is looked at, so that a reused
 * pid is never hit. */
static int signal_marked(const char *directory, int sig, enum whom whom,
                         const char *name)
{
    int n = 0;
    char *mark = NULL, *text = malloc(ENVIRON_BYTES);
    DIR *proc = opendir("/proc");
    if (text == NULL || proc == NULL ||
        asprintf(&mark, LAUNCHER_MARK "=%s", directory) < 0)
        abort(); /* never take "cannot look" for "nobody there" */
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        int fd = pidfd_open(pid, 0);
        size_t len;
        if (fd < 0)
            continue;
        if (read_environ(pid, text, &len) && has_entry(text, len, mark, true) &&
            (whom == EVERYBODY ||
             has_entry(text, len, "OMPI_COMM_WORLD_RANK=", false)) &&
            (name == NULL || is_called(pid, name)) &&
            (sig == 0 || pidfd_send_signal(fd, sig, NULL, 0) == 0))
            n++;
        close(fd);
    }
    closedir(proc);
    free(text);
    free(mark);
    return n;
}

static int look(struct launcher *launcher, const char *directory, int64_t attempt,
                struct launcher_look *ret_look, struct error *err)
{
    bool is_locked;
    (void)launcher;
    (void)attempt;
    int rc = spool_is_locked(directory, &is_locked, err);
    if (rc == 0)
        *ret_look = (struct launcher_look){
            .life = is_locked ? LAUNCHER_ALIVE : LAUNCHER_GONE, .ran_s = -1};
    return rc;
}

void launch_mpirun_world_remove(const char *directory)
{
    static const char *const files[] = {"lock", "log", "ranks"};
    char path[SPOOL_PATH_SIZE];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (spool_path(directory, files[i], path, NULL) == 0)
            unlink(path);
    rmdir(directory);
}

void launch_mpirun_signal(const struct launch_mpirun *mpirun, const char *directory,
                          int sig)
{
    const char *slash = strrchr(mpirun->mpirun, '/');
    signal_marked(directory, sig, EVERYBODY,
                  slash == NULL ? mpirun->mpirun : slash + 1);
}

static int count(struct launcher *launcher, const char *directory, bool only_ranks)
{
    (void)launcher;
    return signal_marked(directory, 0, only_ranks ? RANKS : EVERYBODY, NULL);
}

static void stop(struct launcher *launcher, const char *directory)
{
    (void)launcher;
    if (signal_marked(directory, SIGTERM, RANKS, NULL) == 0)
        signal_marked(directory, SIGTERM, EVERYBODY,
                      NULL); /* no ranks yet: mpirun itself */
}

static void kill_all(struct launcher *launcher, const char *directory)
{
    (void)launcher;
    signal_marked(directory, SIGKILL, EVERYBODY, NULL);
}

/* Unless the site's arguments may name other hosts. */
static bool is_here(struct launcher *launcher)
{
    const struct launch_mpirun *mpirun = launcher->state;
    return !conf_may_name_hosts(mpirun->n_arguments, mpirun->arguments);
}

static const struct launcher_ops mpirun_ops = {.name = "mpirun",
                                               .is_here = is_here,
                                               .start = start,
                                               .look = look,
                                               .count = count,
                                               .stop = stop,
                                               .kill = kill_all};

struct launcher launch_mpirun(struct launch_mpirun *mpirun)
{
    return (struct launcher){.ops = &mpirun_ops, .state = mpirun};
}
