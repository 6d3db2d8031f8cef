#include "scheduler/squeue.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How old an answer may be; how soon it is asked again when there was none. */
#define LISTING_MS 1000
#define FAILURE_MS 3000

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Slurm hands its client's environment on to the job, so it is a short allow list. */
static const char *const allowed[] = {
    "PATH",       "HOME", "USER",        "LOGNAME",     "LD_LIBRARY_PATH",
    "SLURM_CONF", "TZ",   "OPAL_PREFIX", "ASAN_OPTIONS"};
#define N_ALLOWED (sizeof allowed / sizeof *allowed)

int squeue_command(const char *const *argv, int64_t timeout_ms,
                   struct command_result *ret_result, struct error *err)
{
    char *environment[N_ALLOWED + 2] = {0};
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < N_ALLOWED; i++) {
        const char *value = getenv(allowed[i]);
        if (value != NULL &&
            asprintf(&environment[n++], "%s=%s", allowed[i], value) < 0) {
            environment[--n] = NULL;
            rc = error_set(err, PPT_ENOMEM, "out of memory running %s", argv[0]);
        }
    }
    environment[n] = "LANG=C.UTF-8";
    if (rc == 0)
        rc = command_run(argv, environment, timeout_ms, ret_result, err);
    for (size_t i = 0; i < n; i++)
        free(environment[i]);
    return rc;
}

void squeue_forget(struct squeue *squeue)
{
    free(squeue->listing);
    squeue->listing = NULL;
    squeue->has_failed = false;
}

void squeue_failed(struct squeue *squeue, const char *why)
{
    squeue_forget(squeue);
    squeue->has_failed = true;
    squeue->asked_at_ms = now_ms();
    snprintf(squeue->failure, sizeof squeue->failure, "%.500s", why);
}

bool squeue_is_answered(const struct squeue *squeue)
{
    return !squeue->has_failed || now_ms() - squeue->asked_at_ms >= FAILURE_MS;
}

int squeue_ask(struct squeue *squeue, struct error *err)
{
    static const char *const argv[] = {"squeue",       "--noheader",
                                       "--me",         "--states=all",
                                       "--local",      "--format=%A|%T|%M|%r|%j|%Z",
                                       (const char *)0};
    struct command_result result = {0};
    struct error why = {0};
    int64_t age_ms = now_ms() - squeue->asked_at_ms;
    if (squeue->listing != NULL && age_ms < LISTING_MS)
        return 0;
    if (squeue_is_answered(squeue)) {
        squeue_forget(squeue);
        int rc = squeue_command(argv, squeue->timeout_ms, &result, &why);
        squeue->asked_at_ms = now_ms();
        if (rc == 0 && result.status == 0 && !result.has_timed_out) {
            squeue->listing = result.output;
            return 0;
        }
        squeue_failed(squeue, rc != 0                ? why.text
                              : result.has_timed_out ? "squeue did not answer"
                                                     : result.errors);
        command_result_free(&result);
    }
    return error_set(err, PPT_EIO, "cannot ask Slurm about its jobs: %s",
                     squeue->failure);
}

/* Seconds of [[D-]H:]M:S; -1 if it is none (INVALID, for a job that has not begun). */
static int64_t parse_elapsed(const char *text)
{
    int64_t days = 0, total = 0;
    const char *dash = strchr(text, '-');
    if (dash != NULL) {
        days = strtoll(text, NULL, 10);
        text = dash + 1;
    }
    for (const char *at = text; *at != '\0'; at++)
        if (!isdigit((unsigned char)*at) && *at != ':')
            return -1;
    for (const char *at = text; at != NULL; at = strchr(at, ':')) {
        at += *at == ':';
        total = total * 60 + strtoll(at, NULL, 10);
    }
    return days * 86400 + total;
}

bool squeue_next(const char **at, const char *directory, struct squeue_job *ret_job)
{
    char elapsed[32];
    while (**at != '\0') {
        const char *line = *at;
        size_t len = strcspn(line, "\n");
        int n_head = 0, n_name = 0;
        long long id;
        *at = line + len + (line[len] != '\0');
        int n = sscanf(line, "%lld|%23[^|\n]|%31[^|\n]|%n", &id, ret_job->state,
                       elapsed, &n_head);
        if (n != 3 || n_head == 0 || (size_t)n_head > len)
            continue;
        const char *reason = line + n_head, *name = strchr(reason, '|');
        if (name == NULL ||
            sscanf(name, "|%63[^|\n]|%n", ret_job->name, &n_name) != 1 || n_name == 0 ||
            name + n_name > line + len)
            continue; /* another user's program with a longer name than ours */
        /* Reasons may list nodes at any length. */
        snprintf(ret_job->reason, sizeof ret_job->reason, "%.*s", (int)(name - reason),
                 reason);
        n_head = (int)(name - line) + n_name;
        ret_job->id = id;
        ret_job->ran_s = parse_elapsed(elapsed);
        ret_job->is_here = strlen(directory) == len - (size_t)n_head &&
                           strncmp(line + n_head, directory, len - (size_t)n_head) == 0;
        return true;
    }
    return false;
}

bool squeue_has_ended(const struct squeue_job *job)
{
    static const char *const ends[] = {
        "COMPLETED", "CANCELLED", "FAILED",        "TIMEOUT",  "NODE_FAIL",
        "PREEMPTED", "BOOT_FAIL", "OUT_OF_MEMORY", "DEADLINE", "REVOKED"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(job->state, ends[i]) == 0)
            return true;
    return false;
}

bool squeue_is_pending(const struct squeue_job *job)
{
    static const char *const waits[] = {"PENDING", "REQUEUED", "REQUEUE_HOLD",
                                        "SPECIAL_EXIT", "CONFIGURING"};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        if (strcmp(job->state, waits[i]) == 0)
            return true;
    return false;
}

bool squeue_find(const struct squeue *squeue, const char *directory, const char *name,
                 struct squeue_job *ret_job)
{
    const char *listing = squeue->listing, *at = listing;
    struct squeue_job entry;
    bool is_found = false;
    /* Thousands of lines are searched for each of thousands of jobs: only those that
     * have the name in them are read. */
    while ((at = strstr(at, name)) != NULL) {
        while (at > listing && at[-1] != '\n')
            at--;
        if (!squeue_next(&at, directory, &entry))
            break;
        if (!entry.is_here || strcmp(entry.name, name) != 0)
            continue;
        if (!is_found || (squeue_has_ended(ret_job) && !squeue_has_ended(&entry)))
            *ret_job = entry;
        is_found = true;
    }
    return is_found;
}

struct slurm_job squeue_shown(const struct squeue_job *entry)
{
    struct slurm_job shown = {.id = entry->id};
    snprintf(shown.state, sizeof shown.state, "%s", entry->state);
    if (strcmp(entry->reason, "None") != 0)
        snprintf(shown.reason, sizeof shown.reason, "%s", entry->reason);
    for (char *at = shown.reason; *at != '\0'; at++)
        if (!isprint((unsigned char)*at))
            *at = '?';
    return shown;
}
