#include "scheduler/cause.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "jobs/step.h"
#include "scheduler/spool.h"

#define TAIL_BYTES (64u << 10) /* the launchers' words come last */
#define MARK "ppt: attempt %lld begins\n"
#define LINE_SIZE 512

struct words {
    char launcher[LINE_SIZE]; /* the first rank that ended */
    bool is_status; /* not by a signal: then the worker has said why, or nobody */
    char worker[LINE_SIZE];
    long failed_rank; /* mpirun names it in a line and its status in the next; -1 */
};

/* srun: "srun: error: n2: task 1: Killed", "srun: error: n1: tasks 0,2-3: Exited with
 * exit code 13". It ends the others with SIGTERM, and says so of them too. */
static void read_srun(const char *line, struct words *words)
{
    char node[64], tasks[8], ranks[64], how[128];
    if (words->launcher[0] != '\0' ||
        sscanf(line, "srun: error: %63[^: ]: %7[a-z] %63[0-9,-]: %127[^\n]", node,
               tasks, ranks, how) != 4 ||
        strncmp(tasks, "task", 4) != 0 || strncmp(how, "Terminated", 10) == 0)
        return;
    snprintf(words->launcher, sizeof words->launcher, "rank %s on node %s: %s", ranks,
             node, how);
    words->is_status = strncmp(how, "Exited", 6) == 0;
}

/* Open MPI's mpirun. */
static void read_mpirun(const char *line, struct words *words)
{
    long rank;
    int status;
    char node[64], name[32];
    if (words->launcher[0] != '\0')
        return;
    if (sscanf(line,
               "mpirun noticed that process rank %ld with PID %*d on node %63s exited "
               "on signal %d (%31[^)])",
               &rank, node, &status, name) == 4)
        snprintf(words->launcher, sizeof words->launcher,
                 "rank %ld on node %s: signal %d (%s)", rank, node, status, name);
    else if (sscanf(line, " Process name: [[%*d,%*d],%ld]", &rank) == 1)
        words->failed_rank = rank;
    else if (words->failed_rank >= 0 && sscanf(line, " Exit code: %d", &status) == 1) {
        snprintf(words->launcher, sizeof words->launcher, "rank %ld: exit status %d",
                 words->failed_rank, status);
        words->is_status = true;
    }
}

/* A rank of a user's own step, in the words of who watched it. */
static void read_step(const char *line, struct words *words)
{
    int rank;
    char node[64];
    if (words->launcher[0] == '\0' && sscanf(line, STEP_GONE_SCAN, &rank, node) == 2)
        snprintf(words->launcher, sizeof words->launcher,
                 "rank %d on node %s: gone without a word", rank, node);
}

static void read_worker(const char *line, struct words *words)
{
    static const char start[] = "ppt-worker: error: ";
    const char *at = strstr(line, start);
    if (at != NULL && words->worker[0] == '\0')
        snprintf(words->worker, sizeof words->worker, "%s", at + sizeof start - 1);
}

/* Where the log begins to speak of the attempt; NULL: it does not. */
static const char *skip_to(const char *text, int64_t attempt)
{
    char mark[64];
    const char *found = NULL;
    if (attempt <= 1)
        return text;
    snprintf(mark, sizeof mark, MARK, (long long)attempt);
    for (const char *at = text; (at = strstr(at, mark)) != NULL; at += strlen(mark))
        found = at + strlen(mark);
    return found;
}

bool cause_in(const char *text, int64_t attempt, char ret_cause[CAUSE_SIZE])
{
    struct words words = {.failed_rank = -1};
    const char *at = skip_to(text, attempt);
    while (at != NULL && *at != '\0') {
        char line[LINE_SIZE];
        size_t len = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s",
                 len < sizeof line ? (int)len : LINE_SIZE - 1, at);
        for (char *c = line; *c != '\0'; c++)
            if (!isprint((unsigned char)*c))
                *c = '?';
        read_srun(line, &words);
        read_mpirun(line, &words);
        read_step(line, &words);
        read_worker(line, &words);
        at += len + (at[len] == '\n');
    }
    /* After a signal what other ranks say is that one of them has gone. */
    bool has_worker =
        words.worker[0] != '\0' && (words.launcher[0] == '\0' || words.is_status);
    if (words.launcher[0] == '\0' && !has_worker)
        return false;
    snprintf(ret_cause, CAUSE_SIZE, "%.180s%s%.190s", words.launcher,
             words.launcher[0] != '\0' && has_worker ? ": " : "",
             has_worker ? words.worker : "");
    return true;
}

static int open_log(const char *directory, int flags)
{
    char path[SPOOL_PATH_SIZE];
    return spool_path(directory, "log", path, NULL) != 0
               ? -1
               : open(path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
}

void cause_mark(const char *directory, int64_t attempt)
{
    int fd = attempt > 1 ? open_log(directory, O_WRONLY | O_APPEND) : -1;
    if (fd < 0)
        return;
    dprintf(fd, MARK, (long long)attempt);
    close(fd);
}

void cause_append(const char *directory, const char *text)
{
    int fd = open_log(directory, O_WRONLY | O_APPEND);
    if (fd < 0)
        return;
    dprintf(fd, "%s", text);
    close(fd);
}

static size_t read_tail(int fd, char *ret_text, size_t size)
{
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t)size - 1 ? end - ((off_t)size - 1) : 0;
    ssize_t n = pread(fd, ret_text, size - 1, from);
    ret_text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

size_t cause_read_tail(const char *path, char *ret_text, size_t size)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    ret_text[0] = '\0';
    if (fd < 0)
        return 0;
    size_t n = read_tail(fd, ret_text, size);
    close(fd);
    return n;
}

bool cause_find(const char *directory, int64_t attempt, char ret_cause[CAUSE_SIZE])
{
    int fd = open_log(directory, O_RDONLY);
    char *text = malloc(TAIL_BYTES + 1);
    bool is_found = false;
    if (fd >= 0 && text != NULL) {
        read_tail(fd, text, TAIL_BYTES + 1);
        is_found = cause_in(text, attempt, ret_cause);
    }
    if (fd >= 0)
        close(fd);
    free(text);
    return is_found;
}
