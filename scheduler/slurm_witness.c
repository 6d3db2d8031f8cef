#include "scheduler/slurm_witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "scheduler/squeue.h"

#define ANSWER_MS 2000
#define SILENCE_MS 30000
/* Of the file's end, where the newest jobs are. */
#define TAIL_BYTES (4l << 20)

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* "CANCELLED by 1000" as one word, in the form of squeue's. */
static bool take_state(const char *text, struct slurm_testimony *testimony)
{
    struct squeue_job job = {0};
    size_t len = strcspn(text, " |\n");
    snprintf(job.state, sizeof job.state, "%.*s", (int)len, text);
    if (!squeue_has_ended(&job))
        return false;
    memcpy(testimony->slurm.state, job.state, sizeof job.state);
    return true;
}

/* ---- accounting ---- */

/* Where the accounting is off, sacct says so and fails. */
static void ask_sacct(struct slurm_witness *witness)
{
    char user[16];
    const char *const argv[] = {"sacct",
                                "--noheader",
                                "--parsable2",
                                "--allocations",
                                "--duplicates",
                                "--uid",
                                user,
                                "--starttime=now-2days",
                                "--format=JobIDRaw,State,JobName,WorkDir",
                                NULL};
    struct command_result result = {0};
    if (now_ms() < witness->accounts_next_ms)
        return;
    snprintf(user, sizeof user, "%u", geteuid());
    free(witness->accounts);
    witness->accounts = NULL;
    int rc = squeue_command(argv, witness->timeout_ms, &result, NULL);
    bool is_answer = rc == 0 && result.status == 0 && !result.has_timed_out;
    witness->accounts_next_ms = now_ms() + (is_answer ? ANSWER_MS : SILENCE_MS);
    if (is_answer)
        witness->accounts = result.output;
    else
        command_result_free(&result);
}

static bool in_accounts(const char *accounts, const char *directory, const char *name,
                        struct slurm_testimony *ret_testimony)
{
    char end[2048];
    int len = snprintf(end, sizeof end, "|%s|%s", name, directory);
    bool is_found = false;
    if (len >= (int)sizeof end)
        return false;
    for (const char *line = accounts; *line != '\0';) {
        struct slurm_testimony testimony = {0};
        size_t n = strcspn(line, "\n");
        const char *state = memchr(line, '|', n), *rest = NULL;
        if (state != NULL)
            rest = memchr(state + 1, '|', n - (size_t)(state + 1 - line));
        if (rest != NULL && n - (size_t)(rest - line) == (size_t)len &&
            strncmp(rest, end, (size_t)len) == 0) {
            testimony.slurm.id = strtoll(line, NULL, 10);
            if (!take_state(state + 1, &testimony)) /* one of them may run */
                return false;
            testimony.is_cancelled = strcmp(testimony.slurm.state, "CANCELLED") == 0;
            *ret_testimony = testimony; /* the last */
            is_found = true;
        }
        line += n + (line[n] != '\0');
    }
    return is_found;
}

/* ---- the file of completed jobs ---- */

/* The value of "Key   = value" in what scontrol says. Caller frees; NULL: none. */
static char *config_value(const char *config, const char *key)
{
    size_t len = strlen(key);
    for (const char *line = config; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        const char *sign = memchr(line, '=', n);
        if (sign != NULL && strncmp(line, key, len) == 0 && line[len] == ' ')
            return strndup(sign + 2, n - (size_t)(sign + 2 - line));
        line += n + (line[n] != '\0');
    }
    return NULL;
}

static void find_file(struct slurm_witness *witness)
{
    static const char *const argv[] = {"scontrol", "show", "config", NULL};
    struct command_result result = {0};
    if (now_ms() < witness->path_next_ms)
        return;
    free(witness->completions);
    witness->completions = NULL;
    int rc = squeue_command(argv, witness->timeout_ms, &result, NULL);
    if (rc == 0 && result.status == 0 && !result.has_timed_out) {
        char *type = config_value(result.output, "JobCompType");
        if (type != NULL && strcmp(type, "jobcomp/filetxt") == 0)
            witness->completions = config_value(result.output, "JobCompLoc");
        free(type);
    }
    command_result_free(&result);
    witness->path_next_ms = now_ms() + SILENCE_MS;
}

/* The last whole lines. Caller frees; NULL: cannot be read. */
static char *read_tail(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    if (file == NULL)
        return NULL;
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    long from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    if (size >= 0 && fseek(file, from, SEEK_SET) == 0 &&
        (text = malloc((size_t)(size - from) + 1)) != NULL)
        text[fread(text, 1, (size_t)(size - from), file)] = '\0';
    fclose(file);
    return text;
}

/* JobId=7 UserId=ppt(990) GroupId=ppt(990) Name=ppt-3-1 JobState=FAILED ... */
static bool in_completions(const char *text, const char *directory, const char *name,
                           struct slurm_testimony *ret_testimony)
{
    char label[80], place[2048];
    bool is_found = false;
    snprintf(label, sizeof label, " Name=%s JobState=", name);
    if (snprintf(place, sizeof place, " WorkDir=%s ", directory) >= (int)sizeof place)
        return false;
    for (const char *at = text; *at != '\0';) {
        struct slurm_testimony testimony = {0};
        size_t n = strcspn(at, "\n");
        char *line = strndup(at, n);
        long long id;
        unsigned user;
        const char *state;
        if (line != NULL &&
            sscanf(line, "JobId=%lld UserId=%*[^ (](%u)", &id, &user) == 2 &&
            user == geteuid() && (state = strstr(line, label)) != NULL &&
            strstr(line, place) != NULL &&
            take_state(state + strlen(label), &testimony)) {
            testimony.slurm.id = id;
            testimony.is_cancelled = strcmp(testimony.slurm.state, "CANCELLED") == 0;
            testimony.is_hearsay = true;
            *ret_testimony = testimony;
            is_found = true;
        }
        free(line);
        at += n + (at[n] != '\0');
    }
    return is_found;
}

bool slurm_witness_ask(struct slurm_witness *witness, const char *directory,
                       const char *name, struct slurm_testimony *ret_testimony)
{
    bool is_found = false;
    ask_sacct(witness);
    if (witness->accounts != NULL &&
        in_accounts(witness->accounts, directory, name, ret_testimony))
        return true;
    find_file(witness);
    char *text = witness->completions == NULL ? NULL : read_tail(witness->completions);
    if (text != NULL)
        is_found = in_completions(text, directory, name, ret_testimony);
    free(text);
    return is_found;
}

void slurm_witness_free(struct slurm_witness *witness)
{
    free(witness->accounts);
    free(witness->completions);
    witness->accounts = witness->completions = NULL;
}
