/* ppt-submit --after: which jobs to wait for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/queue.h"
#include "scheduler/submit.h"

/* The next of "12,s13" into ret_word, moves *p on; false at the end. */
static bool next_word(const char **p, char ret_word[32])
{
    size_t len = strcspn(*p, ",");
    if (**p == '\0')
        return false;
    snprintf(ret_word, 32, "%.*s", len > 31 ? 31 : (int)len, *p);
    *p += len;
    if (**p == ',')
        *p += (*p)[1] != '\0'; /* a comma at the end stays, as a word that is none */
    return true;
}

int submit_after_check(const struct submit *request, struct error *err)
{
    const char *p = request->after;
    char word[32];
    int64_t id;
    bool is_sweep;
    if (p == NULL)
        return 0;
    if (request->is_here)
        return error_set(err, PPT_EUSAGE,
                         "--here runs a job now, so not --after others");
    do {
        if (!next_word(&p, word) || client_id(word, &id, &is_sweep, NULL) != 0)
            return error_set(
                err, PPT_EUSAGE,
                "--after is \"%.100s\", expected numbers of jobs or sweeps "
                "such as 12,s13",
                request->after);
    } while (*p != '\0');
    return 0;
}

struct ids {
    char *text;
    size_t size;
    FILE *to;
    int n;
};

static int add_id(struct ids *ids, int64_t id, struct error *err)
{
    if (ids->n == QUEUE_MAX_AFTER)
        return error_set(err, PPT_EUSAGE, "--after names more than %d jobs",
                         QUEUE_MAX_AFTER);
    fprintf(ids->to, "%s%lld", ids->n++ > 0 ? "," : "", (long long)id);
    return 0;
}

static int add_sweep(struct ids *ids, struct submit *request, int64_t id,
                     struct error *err)
{
    struct queue_jobs jobs = {0};
    int rc = 0;
    if (request->client.db == NULL)
        rc = client_connect(&request->client, "ppt-submit", err);
    if (rc == 0)
        rc = client_sweep(&request->client, id, &jobs, err);
    for (int i = 0; rc == 0 && i < jobs.n; i++)
        rc = add_id(ids, jobs.jobs[i].id, err);
    queue_jobs_free(&jobs);
    return rc;
}

int submit_after(struct submit *request, struct error *err)
{
    const char *p = request->after;
    struct ids ids = {0};
    char word[32];
    int rc = 0;
    if (p == NULL)
        return 0;
    ids.to = open_memstream(&ids.text, &ids.size);
    if (ids.to == NULL)
        return error_set(err, PPT_ENOMEM, "out of memory");
    while (rc == 0 && next_word(&p, word)) {
        int64_t id;
        bool is_sweep;
        rc = client_id(word, &id, &is_sweep, err);
        if (rc == 0)
            rc = is_sweep ? add_sweep(&ids, request, id, err) : add_id(&ids, id, err);
    }
    if (fclose(ids.to) != 0 && rc == 0)
        rc = error_set(err, PPT_ENOMEM, "out of memory");
    if (rc == 0)
        request->after_ids = ids.text;
    else
        free(ids.text);
    return rc;
}
