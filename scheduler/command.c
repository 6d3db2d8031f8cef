#include "scheduler/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct child {
    pid_t pid;
    int pidfd, out, err; /* -1: closed */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Between fork and exec: async-signal-safe calls only. */
static void become(const char *const *argv, char *const *environment, int out, int err)
{
    sigset_t none;
    sigemptyset(&none);
    for (int sig = 1; sig < SIGRTMIN; sig++)
        signal(sig, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(err, STDERR_FILENO) < 0)
        _exit(127);
    close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
    execvpe(argv[0], (char *const *)argv, environment);
    _exit(127);
}

static int start(const char *const *argv, char *const *environment,
                 struct child *ret_child, struct error *err)
{
    int out[2], errors[2];
    if (pipe2(out, O_CLOEXEC | O_NONBLOCK) != 0)
        return error_errno(err, PPT_EIO, "cannot run %s", argv[0]);
    if (pipe2(errors, O_CLOEXEC | O_NONBLOCK) != 0) {
        close(out[0]);
        close(out[1]);
        return error_errno(err, PPT_EIO, "cannot run %s", argv[0]);
    }
    for (int i = 0; i < 2; i++) { /* the child's ends block, as programs expect */
        int end = i == 0 ? out[1] : errors[1];
        fcntl(end, F_SETFL, fcntl(end, F_GETFL) & ~O_NONBLOCK);
    }
    pid_t pid = fork();
    if (pid == 0)
        become(argv, environment, out[1], errors[1]);
    close(out[1]);
    close(errors[1]);
    int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
    if (pidfd < 0) {
        int rc = error_errno(err, PPT_ELAUNCH, "cannot run %s", argv[0]);
        if (pid > 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
        close(out[0]);
        close(errors[0]);
        return rc;
    }
    setpgid(pid, pid); /* whoever comes first */
    *ret_child = (struct child){pid, pidfd, out[0], errors[0]};
    return 0;
}

/* Takes what is there; closes at the end. False: too much. */
static bool drain(int *fd, FILE *to, size_t *n_bytes)
{
    char text[4096];
    ssize_t n;
    while (*fd >= 0) {
        n = read(*fd, text, sizeof text);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0) {
            close(*fd);
            *fd = -1;
            return true;
        }
        *n_bytes += (size_t)n;
        if (*n_bytes > COMMAND_MAX_BYTES)
            return false;
        fwrite(text, 1, (size_t)n, to);
    }
    return true;
}

/* Until it has ended or time is up; kills it in the second case. */
static bool follow(struct child *child, int64_t timeout_ms, FILE *out, FILE *errors,
                   struct command_result *result)
{
    int64_t end_ms = now_ms() + timeout_ms;
    size_t n_out = 0, n_errors = 0;
    bool has_ended = false, fits = true;
    while (!has_ended && fits) {
        struct pollfd wait_for[] = {{child->pidfd, POLLIN, 0},
                                    {child->out, POLLIN, 0},
                                    {child->err, POLLIN, 0}};
        int64_t left_ms = end_ms - now_ms();
        if (left_ms <= 0)
            break;
        poll(wait_for, 3, left_ms > 1000 ? 1000 : (int)left_ms);
        has_ended = (wait_for[0].revents & POLLIN) != 0;
        fits = drain(&child->out, out, &n_out) && drain(&child->err, errors, &n_errors);
    }
    result->has_timed_out = !has_ended && fits;
    if (!has_ended)
        kill(-child->pid, SIGKILL);
    int status = 0;
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    result->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return fits;
}

/* For a message: one line, cut where it has to be. */
static void keep_line(const char *text, char *ret_line, size_t size)
{
    snprintf(ret_line, size, "%.*s", (int)size - 1, text);
    for (char *at = ret_line; *at != '\0'; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
    for (size_t n = strlen(ret_line); n > 0 && ret_line[n - 1] == ' '; n--)
        ret_line[n - 1] = '\0';
}

int command_run(const char *const *argv, char *const *environment, int64_t timeout_ms,
                struct command_result *ret_result, struct error *err)
{
    struct command_result result = {0};
    struct child child = {-1, -1, -1, -1};
    char *errors_text = NULL;
    size_t len, errors_len;
    FILE *out = open_memstream(&result.output, &len);
    FILE *errors = open_memstream(&errors_text, &errors_len);
    int rc = 0;
    bool fits = true;
    if (out == NULL || errors == NULL)
        rc = error_set(err, PPT_ENOMEM, "out of memory running %s", argv[0]);
    if (rc == 0)
        rc = start(argv, environment, &child, err);
    if (rc == 0)
        fits = follow(&child, timeout_ms, out, errors, &result);
    for (int i = 0; i < 3; i++) {
        int fd = i == 0 ? child.pidfd : i == 1 ? child.out : child.err;
        if (fd >= 0)
            close(fd);
    }
    if ((out != NULL && fclose(out) != 0) || (errors != NULL && fclose(errors) != 0))
        rc = rc != 0 ? rc : error_set(err, PPT_ENOMEM, "out of memory");
    if (rc == 0 && !fits)
        rc = error_set(err, PPT_EIO, "%s wrote more than %u bytes", argv[0],
                       COMMAND_MAX_BYTES);
    if (rc == 0)
        keep_line(errors_text, result.errors, sizeof result.errors);
    free(errors_text);
    if (rc != 0)
        command_result_free(&result);
    else
        *ret_result = result;
    return rc;
}

void command_result_free(struct command_result *result)
{
    free(result->output);
    result->output = NULL;
}
