#include "scheduler/known.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SPECS 16
#define MAX_COSTS 64
#define MAX_JOBS 4096

struct known {
    struct admission_job specs[MAX_SPECS];
    int64_t n_specs; /* ever; the same below */
    struct cost costs[MAX_COSTS];
    int64_t n_costs;
    struct {
        int64_t id, cost; /* number of its cost, ever */
    } jobs[MAX_JOBS];     /* at their id's remainder */
};

struct known *known_create(void)
{
    return calloc(1, sizeof(struct known));
}

static int count(int64_t n_ever, int most)
{
    return n_ever < most ? (int)n_ever : most;
}

void known_free(struct known *known)
{
    if (known == NULL)
        return;
    for (int i = 0; i < count(known->n_specs, MAX_SPECS); i++)
        admission_job_free(&known->specs[i]);
    free(known);
}

static const struct admission_job *find_spec(const struct known *known,
                                             const char *spec_sha256)
{
    for (int i = 0; i < count(known->n_specs, MAX_SPECS); i++)
        if (strcmp(known->specs[i].spec.sha256, spec_sha256) == 0)
            return &known->specs[i];
    return NULL;
}

/* With a manifest text of its own. */
static bool copy(const struct admission_job *from, struct admission_job *ret_to)
{
    char *manifest = strdup(from->dataset.manifest);
    if (manifest == NULL)
        return false;
    *ret_to = *from;
    ret_to->dataset.manifest = manifest;
    return true;
}

bool known_spec(const struct known *known, const char *spec_sha256,
                struct admission_job *ret_job)
{
    const struct admission_job *found =
        known == NULL ? NULL : find_spec(known, spec_sha256);
    return found != NULL && copy(found, ret_job);
}

void known_add_spec(struct known *known, const struct admission_job *job)
{
    if (known == NULL || find_spec(known, job->spec.sha256) != NULL)
        return;
    struct admission_job *place = &known->specs[known->n_specs % MAX_SPECS];
    struct admission_job old = *place;
    if (!copy(job, place))
        return;
    admission_job_free(&old);
    known->n_specs++;
}

bool known_reserved(const struct known *known, int64_t job_id, struct cost *ret_cost)
{
    if (known == NULL || job_id < 1 || known->jobs[job_id % MAX_JOBS].id != job_id)
        return false;
    int64_t number = known->jobs[job_id % MAX_JOBS].cost;
    if (number < known->n_costs - MAX_COSTS)
        return false;
    *ret_cost = known->costs[number % MAX_COSTS];
    return true;
}

void known_add_reserved(struct known *known, const int64_t *job_ids, int n,
                        const struct cost *cost)
{
    if (known == NULL)
        return;
    int64_t number = known->n_costs - 1;
    if (number < 0 || !cost_equal(&known->costs[number % MAX_COSTS], cost)) {
        number = known->n_costs++;
        known->costs[number % MAX_COSTS] = *cost;
    }
    for (int i = 0; i < n; i++) {
        known->jobs[job_ids[i] % MAX_JOBS].id = job_ids[i];
        known->jobs[job_ids[i] % MAX_JOBS].cost = number;
    }
}
