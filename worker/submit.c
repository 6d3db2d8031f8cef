#include "worker/submit.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/stop.h"

#define LOOK_MS 1000

/* Beside this program, or where a build tree has it. */
static int find_program(char ret_path[PATH_MAX + 32], struct error *err)
{
    char home[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", home, sizeof home - 1);
    if (len <= 0)
        return error_errno(err, PPT_EIO, "cannot find this program's folder");
    home[len] = '\0';
    *strrchr(home, '/') = '\0';
    snprintf(ret_path, PATH_MAX + 32, "%s/ppt-submit", home);
    if (access(ret_path, X_OK) != 0)
        snprintf(ret_path, PATH_MAX + 32, "%s/../scheduler/ppt-submit", home);
    if (access(ret_path, X_OK) != 0)
        return error_errno(err, PPT_ELAUNCH, "cannot run %s", ret_path);
    return 0;
}

/* By posix_spawn: MPI libraries warn of a fork. In a process group of its own: mpirun
 * ends a rank's group with it, and what has happened is still to be told then. */
static int spawn(char *const *argv, int input, pid_t *ret_pid, struct error *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    int status = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    if (status == 0)
        status = posix_spawn(ret_pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (status == 0)
        return 0;
    errno = status;
    return error_errno(err, PPT_ELAUNCH, "cannot run %s", argv[0]);
}

/* It has said itself what was wrong. */
static int reap(struct submission *submission, struct error *err)
{
    int status = 0;
    close(submission->end);
    while (waitpid(submission->pid, &status, 0) < 0 && errno == EINTR)
        ;
    submission->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (!WIFEXITED(status))
        return error_set(err, PPT_ECOMM, "ppt-submit was ended by signal %d",
                         WTERMSIG(status));
    error_set(err, (enum ppt_error)WEXITSTATUS(status), "%s", "");
    return -WEXITSTATUS(status);
}

int submit_begin(const char *spec, int n_ranks, struct submission *ret_submission,
                 struct error *err)
{
    struct submission submission = {0};
    char program[PATH_MAX + 32], ranks[24];
    char step[] = "--step", last[] = "--", *file = strdup(spec);
    char *const argv[] = {program, step, ranks, last, file, NULL};
    int ends[2];
    int rc = file == NULL ? error_set(err, PPT_ENOMEM, "out of memory") : 0;
    snprintf(ranks, sizeof ranks, "%d", n_ranks);
    if (rc == 0)
        rc = find_program(program, err);
    if (rc == 0)
        rc = step_pair(ends, err);
    if (rc == 0) {
        submission.end = ends[0];
        rc = spawn(argv, ends[1], &submission.pid, err);
        close(ends[1]);
    }
    free(file);
    if (rc == 0)
        *ret_submission = submission;
    return rc;
}

int submit_next(struct submission *submission, struct step_packet *ret_plan,
                bool *ret_is_there, struct error *err)
{
    bool was_told = false;
    int rc = 0;
    *ret_is_there = false;
    while (!*ret_is_there && rc == 0) {
        if (stop_requested && !was_told)
            was_told = kill(submission->pid, SIGTERM) == 0;
        rc = step_receive(submission->end, LOOK_MS, ret_plan, ret_is_there, NULL);
    }
    if (rc != 0)
        return reap(submission, err);
    stop_on_child();
    return 0;
}

void submit_tell_end(const struct submission *submission, int status, bool is_last)
{
    struct step_packet packet = {
        .kind = STEP_END, .status = status, .is_last = is_last};
    step_send(submission->end, &packet, NULL); /* gone: its status says so */
}

/* A shell that waits for two lines, the job's directory and a goodbye. Where its input
 * ends without, it says so in the job's log (scheduler/cause.h reads it there), and
 * ends the other ranks. */
int submit_guard(int rank)
{
    const char *job = getenv("SLURM_JOB_ID"), *step = getenv("SLURM_STEP_ID");
    char shell[] = "/bin/sh", option[] = "-c", name[64], words[320], host[256] = "";
    char command[] = "umask 077; IFS= read -r directory && read -r line && exit;"
                     " [ -z \"$directory\" ] || echo \"$1\" >>\"$directory/log\";"
                     " exec scancel --signal=" STEP_END_RANKS_NAME " \"$0\"";
    char *const argv[] = {shell, option, command, name, words, NULL};
    int ends[2];
    pid_t pid;
    if (job == NULL || step == NULL ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    snprintf(name, sizeof name, "%.24s.%.24s", job, step);
    gethostname(host, sizeof host - 1);
    snprintf(words, sizeof words, STEP_GONE, rank, host);
    int rc = spawn(argv, ends[0], &pid, NULL);
    close(ends[0]);
    if (rc == 0)
        return ends[1];
    close(ends[1]);
    return -1;
}

void submit_guard_tell(int guard, const char *directory)
{
    char line[PATH_MAX + 2];
    int n = snprintf(line, sizeof line, "%s\n", directory);
    if (guard >= 0 && n < (int)sizeof line)
        (void)!send(guard, line, (size_t)n, MSG_NOSIGNAL);
}

void submit_unguard(int guard)
{
    if (guard < 0)
        return;
    (void)!send(guard, "\n\n", 2, MSG_NOSIGNAL); /* it may be gone already */
    close(guard);
}
