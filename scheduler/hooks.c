#include "scheduler/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define N_VARIABLES 11

/* All that a program gets; strings are its own. */
struct waiting {
    int64_t job_id;
    char *state;
    char *environment[N_VARIABLES + 1];
    struct waiting *next;
};

struct running {
    pid_t pid; /* and its process group; 0: free */
    int64_t job_id, until_ms;
    bool is_killed;
};

struct hooks {
    const struct conf_hooks *conf;
    struct waiting *first, **end;
    int n_waiting;
    int64_t n_dropped;
    struct running running[HOOKS_MAX_RUNNING];
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the program ---- */

static int check_owner(const char *path, const struct stat *about, struct error *err)
{
    bool is_ours = about->st_uid == 0 || about->st_uid == geteuid();
    if (is_ours && (about->st_mode & (S_IWGRP | S_IWOTH)) == 0)
        return 0;
    error_set(err, PPT_EPERM, "%s can be changed by others than its owner%s", path,
              is_ours ? "" : ", who is not this user or root");
    return error_hint(err, "it runs with the scheduler's rights: chmod go-w, chown");
}

int hooks_check(const char *program, struct error *err)
{
    char folder[PATH_MAX];
    struct stat about;
    snprintf(folder, sizeof folder, "%s", program);
    char *slash = strrchr(folder, '/');
    if (program[0] != '/' || slash == NULL)
        return error_set(err, PPT_ELAUNCH, "%s is no absolute path", program);
    slash[slash == folder] = '\0';
    if (stat(program, &about) != 0)
        return error_errno(err, PPT_ELAUNCH, "cannot run %s", program);
    if (!S_ISREG(about.st_mode) || access(program, X_OK) != 0)
        return error_set(err, PPT_ELAUNCH, "%s is no program", program);
    int rc = check_owner(program, &about, err);
    if (rc == 0 && stat(folder, &about) != 0)
        rc = error_errno(err, PPT_ELAUNCH, "cannot look at %s", folder);
    return rc != 0 ? rc : check_owner(folder, &about, err);
}

/* ---- what waits ---- */

static void waiting_free(struct waiting *waiting)
{
    for (int i = 0; i < N_VARIABLES; i++)
        free(waiting->environment[i]);
    free(waiting->state);
    free(waiting);
}

static bool add(struct waiting *waiting, const char *name, const char *value)
{
    int i = 0;
    char *text = NULL;
    while (waiting->environment[i] != NULL)
        i++;
    if (i == N_VARIABLES || asprintf(&text, "%s=%s", name, value) < 0)
        return false;
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    waiting->environment[i] = text;
    return true;
}

static struct waiting *waiting_new(const struct hook_event *event)
{
    char id[24], code[16], epsilon[32];
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (waiting == NULL)
        return NULL;
    snprintf(id, sizeof id, "%lld", (long long)event->job_id);
    snprintf(code, sizeof code, "%d", event->error_code);
    snprintf(epsilon, sizeof epsilon, "%.6g", event->epsilon_spent);
    waiting->job_id = event->job_id;
    waiting->state = strdup(event->state);
    if (waiting->state != NULL &&
        add(waiting, "PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin") &&
        add(waiting, "LANG", "C.UTF-8") && add(waiting, "PPT_JOB_ID", id) &&
        add(waiting, "PPT_JOB_STATE", event->state) &&
        add(waiting, "PPT_JOB_NAME", event->name) &&
        add(waiting, "PPT_JOB_ACCOUNT", event->account) &&
        add(waiting, "PPT_JOB_USER", event->login) &&
        add(waiting, "PPT_JOB_REASON", event->reason) &&
        add(waiting, "PPT_JOB_EXIT_CODE", code) &&
        add(waiting, "PPT_JOB_EPSILON", epsilon) &&
        add(waiting, "PPT_JOB_MAIL", event->mail))
        return waiting;
    waiting_free(waiting);
    return NULL;
}

bool hooks_are_set(const struct hooks *hooks)
{
    return hooks != NULL && hooks->conf->end[0] != '\0';
}

void hooks_run(struct hooks *hooks, const struct hook_event *event)
{
    if (!hooks_are_set(hooks))
        return;
    struct waiting *waiting =
        hooks->n_waiting < HOOKS_MAX_WAITING ? waiting_new(event) : NULL;
    if (waiting == NULL) {
        if (hooks->n_dropped++ == 0)
            log_warning("hooks.end falls behind: job %lld and perhaps others are not "
                        "told to it",
                        (long long)event->job_id);
        return;
    }
    *hooks->end = waiting;
    hooks->end = &waiting->next;
    hooks->n_waiting++;
}

/* ---- what runs ---- */

/* Nothing of ours is inherited. 0 or an errno, that of exec too. */
static int spawn(const char *program, char *const *argv, char *const *environment,
                 pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    if (posix_spawn_file_actions_init(&files) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
                                              POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    int rc = posix_spawn_file_actions_addchdir_np(&files, "/");
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null",
                                              O_RDONLY, 0);
    for (int fd = STDOUT_FILENO; rc == 0 && fd <= STDERR_FILENO; fd++)
        rc = posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_WRONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    if (rc == 0)
        rc = posix_spawn(ret_pid, program, &files, &attributes, argv, environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return rc;
}

static void start(struct hooks *hooks, struct running *place,
                  const struct waiting *waiting)
{
    char id[24], program[CONF_PATH_SIZE];
    char *const argv[] = {program, id, waiting->state, NULL};
    struct error err = {0};
    pid_t pid = 0;
    snprintf(id, sizeof id, "%lld", (long long)waiting->job_id);
    snprintf(program, sizeof program, "%s", hooks->conf->end);
    int rc = hooks_check(program, &err);
    int code = rc == 0 ? spawn(program, argv, waiting->environment, &pid) : 0;
    if (code != 0)
        rc = error_set(&err, PPT_ELAUNCH, "cannot run %s: %s", program, strerror(code));
    if (rc != 0) {
        log_warning("hooks.end, job %lld: %s", (long long)waiting->job_id, err.text);
        return;
    }
    *place = (struct running){.pid = pid,
                              .job_id = waiting->job_id,
                              .until_ms = now_ms() + hooks->conf->time_limit_s * 1000};
}

/* A leader that has ended leaves its group to those that it has started. */
static void look_after(struct hooks *hooks, struct running *place)
{
    int status = 0;
    pid_t pid = waitpid(place->pid, &status, WNOHANG);
    if (pid == 0 && now_ms() >= place->until_ms && !place->is_killed) {
        log_warning("hooks.end, job %lld: killed after %lld s",
                    (long long)place->job_id, (long long)hooks->conf->time_limit_s);
        kill(-place->pid, SIGKILL);
        place->is_killed = true;
    }
    if (pid == 0)
        return;
    if (pid > 0 && status != 0 && !place->is_killed)
        log_warning("hooks.end, job %lld: ended with %s %d", (long long)place->job_id,
                    WIFEXITED(status) ? "status" : "signal",
                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    place->pid = 0;
}

void hooks_tend(struct hooks *hooks)
{
    if (hooks == NULL)
        return;
    for (int i = 0; i < HOOKS_MAX_RUNNING; i++) {
        struct running *place = &hooks->running[i];
        if (place->pid != 0)
            look_after(hooks, place);
        if (place->pid != 0 || hooks->first == NULL)
            continue;
        struct waiting *waiting = hooks->first;
        hooks->first = waiting->next;
        if (hooks->first == NULL)
            hooks->end = &hooks->first;
        hooks->n_waiting--;
        start(hooks, place, waiting);
        waiting_free(waiting);
    }
    if (hooks->n_dropped > 0 && hooks->n_waiting == 0) {
        log_warning("hooks.end was not told of %lld jobs", (long long)hooks->n_dropped);
        hooks->n_dropped = 0;
    }
}

int hooks_count(const struct hooks *hooks)
{
    int n = hooks->n_waiting;
    for (int i = 0; i < HOOKS_MAX_RUNNING; i++)
        n += hooks->running[i].pid != 0;
    return n;
}

int hooks_open(const struct conf_hooks *conf, struct hooks **ret_hooks,
               struct error *err)
{
    struct error why = {0};
    struct hooks *hooks = calloc(1, sizeof *hooks);
    if (hooks == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for hooks");
    hooks->conf = conf;
    hooks->end = &hooks->first;
    if (conf->end[0] != '\0' && hooks_check(conf->end, &why) != 0)
        log_warning("hooks.end: %s", why.text);
    *ret_hooks = hooks;
    return 0;
}

void hooks_free(struct hooks *hooks)
{
    if (hooks == NULL)
        return;
    if (hooks->n_waiting > 0)
        log_warning("hooks.end was not told of %d jobs", hooks->n_waiting);
    while (hooks->first != NULL) {
        struct waiting *waiting = hooks->first;
        hooks->first = waiting->next;
        waiting_free(waiting);
    }
    free(hooks);
}
