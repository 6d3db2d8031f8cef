#include "jobs/spec/sweep.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pathsafe.h"
#include "base/ydoc.h"
#include "jobs/spec/spec_tree.h"

struct axis {
    const struct ydoc_node *values; /* its key is the field's path */
    const struct ydoc_node *place;  /* where the field stands in the tree */
};

struct sweep {
    struct ydoc *doc;
    char *path;
    bool has_policy, is_sweep, is_together;
    struct spec_policy policy;
    int n_axes, n_jobs;
    int64_t max_running;          /* 0: all */
    char account[SPEC_PATH_SIZE]; /* in place of the file's; "": that one */
    struct axis axes[SWEEP_MAX_FIELDS];
};

void sweep_free(struct sweep *sweep)
{
    if (sweep == NULL)
        return;
    ydoc_free(sweep->doc);
    free(sweep->path);
    free(sweep);
}

/* ---- the section ---- */

/* What all jobs of a sweep have in common: one budget pays, one listing shows them. */
static bool is_common(const char *path)
{
    static const char *const common[] = {"name",    "account",      "kind",
                                         "dataset", "dataset.name", "sweep"};
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (strcmp(path, common[i]) == 0)
            return true;
    return false;
}

/* Each value is a job that is paid for: one that stands twice is a slip. */
static void check_values(struct ydoc_faults *faults, const struct ydoc_node *values)
{
    if (values->kind != YDOC_SEQUENCE || values->n_children == 0) {
        ydoc_fault(faults, values, "expected a list of values, such as [0.1, 0.5]");
        return;
    }
    for (const struct ydoc_node *n = values->first; n != NULL; n = n->next) {
        if (n->kind != YDOC_SCALAR) {
            ydoc_fault(faults, n, "expected a single value, found a %s",
                       n->kind == YDOC_SEQUENCE ? "list" : "mapping");
            continue;
        }
        for (const struct ydoc_node *m = values->first; m != n; m = m->next)
            if (m->kind == YDOC_SCALAR && strcmp(m->text, n->text) == 0) {
                ydoc_fault(faults, n, "expected each value once, found \"%.40s\" again",
                           n->text);
                break;
            }
    }
}

static void read_axis(struct ydoc_faults *faults, struct sweep *sweep,
                      const struct ydoc_node *values)
{
    if (is_common(values->key)) {
        ydoc_fault(faults, values,
                   "expected a field in which the jobs of a sweep may "
                   "differ");
        return;
    }
    int n_before = faults->n;
    check_values(faults, values);
    const struct ydoc_node *place = ydoc_place(sweep->doc, faults, values);
    if (faults->n > n_before)
        return;
    if (sweep->n_axes < SWEEP_MAX_FIELDS)
        sweep->axes[sweep->n_axes] = (struct axis){values, place};
    sweep->n_axes++;
}

static void read_section(struct ydoc_faults *faults, struct sweep *sweep,
                         const struct ydoc_node *section)
{
    static const char *const words[] = {"each", "together"};
    int word = 0, n_before = faults->n;
    long long n_jobs = 1;
    if (section->kind != YDOC_MAPPING) {
        ydoc_fault(faults, section, "expected fields with their lists of values");
        return;
    }
    const struct ydoc_node *admission = ydoc_take(section, "admission");
    if (admission != NULL)
        ydoc_word(faults, admission, words, 2, &word);
    sweep->is_together = word == 1;
    const struct ydoc_node *max_running = ydoc_take(section, "max_running");
    if (max_running != NULL)
        ydoc_integer(faults, max_running, 1, SWEEP_MAX_JOBS, &sweep->max_running);
    for (const struct ydoc_node *n = section->first; n != NULL; n = n->next)
        read_axis(faults, sweep, n);
    if (section->n_children == 0)
        ydoc_fault(faults, section, "expected at least one field");
    if (sweep->n_axes > SWEEP_MAX_FIELDS)
        ydoc_fault(faults, section, "expected at most %d fields, found %d",
                   SWEEP_MAX_FIELDS, sweep->n_axes);
    if (faults->n > n_before)
        return;
    int a = 0;
    for (; a < sweep->n_axes && n_jobs <= SWEEP_MAX_JOBS; a++)
        n_jobs *= sweep->axes[a].values->n_children;
    if (n_jobs > SWEEP_MAX_JOBS)
        ydoc_fault(faults, section, "expected at most %d jobs, found a grid of %lld%s",
                   SWEEP_MAX_JOBS, n_jobs, a < sweep->n_axes ? " or more" : "");
    sweep->n_jobs = (int)n_jobs;
}

/* ---- its jobs ---- */

/* The value of an axis in the job of that number. */
static const struct ydoc_node *value_of(const struct sweep *sweep, int axis, int number)
{
    int index = number - 1;
    for (int a = sweep->n_axes - 1; a > axis; a--)
        index /= sweep->axes[a].values->n_children;
    index %= sweep->axes[axis].values->n_children;
    const struct ydoc_node *value = sweep->axes[axis].values->first;
    while (index-- > 0)
        value = value->next;
    return value;
}

static void read_job(struct sweep *sweep, int number, struct ydoc_faults *faults,
                     struct spec *ret_spec)
{
    for (int a = 0; a < sweep->n_axes; a++)
        ydoc_say(sweep->axes[a].place, value_of(sweep, a, number));
    spec_from_tree(faults, ydoc_root(sweep->doc),
                   sweep->has_policy ? &sweep->policy : NULL, ret_spec);
}

/* Once the list is full, further jobs would only be counted. */
static void check_jobs(struct ydoc_faults *faults, struct sweep *sweep)
{
    struct spec spec;
    for (int i = 1; i <= sweep->n_jobs && faults->n < YDOC_MAX_FAULTS; i++) {
        struct ydoc_faults own = {.path = faults->path};
        read_job(sweep, i, &own, &spec);
        ydoc_faults_merge(faults, &own);
    }
}

int sweep_parse(const char *text, size_t len, const char *path,
                const struct spec_policy *policy, struct sweep **ret_sweep,
                struct error *err)
{
    struct ydoc_limits limits = {.max_bytes = SPEC_MAX_BYTES};
    struct ydoc_faults faults = {.path = path};
    struct sweep *sweep = calloc(1, sizeof *sweep);
    if (sweep == NULL || (sweep->path = strdup(path)) == NULL) {
        sweep_free(sweep);
        return error_set(err, PPT_ENOMEM, "%s: not enough memory to read it", path);
    }
    if (policy != NULL)
        sweep->policy = *policy;
    sweep->has_policy = policy != NULL;
    sweep->n_jobs = 1;
    sweep->doc = ydoc_parse(text, len, &limits, &faults);
    const struct ydoc_node *section = ydoc_take(ydoc_root(sweep->doc), "sweep");
    int n_before = faults.n;
    sweep->is_sweep = section != NULL;
    if (section != NULL)
        read_section(&faults, sweep, section);
    if (faults.n == n_before)
        check_jobs(&faults, sweep);
    int rc = spec_tree_end(&faults, err);
    if (rc == 0)
        *ret_sweep = sweep;
    else
        sweep_free(sweep);
    return rc;
}

int sweep_read(const char *path, const struct spec_policy *policy,
               struct sweep **ret_sweep, struct error *err)
{
    char *text;
    size_t len;
    int rc = pathsafe_read_file(path, SPEC_MAX_BYTES, &text, &len, err);
    if (rc != 0)
        return rc;
    rc = sweep_parse(text, len, path, policy, ret_sweep, err);
    free(text);
    return rc;
}

bool sweep_is_sweep(const struct sweep *sweep)
{
    return sweep->is_sweep;
}

int sweep_n_jobs(const struct sweep *sweep)
{
    return sweep->n_jobs;
}

bool sweep_is_together(const struct sweep *sweep)
{
    return sweep->is_together;
}

int64_t sweep_max_running(const struct sweep *sweep)
{
    return sweep->max_running;
}

int sweep_job(struct sweep *sweep, int number, struct spec *ret_spec, struct error *err)
{
    assert(number >= 1 && number <= sweep->n_jobs);
    struct ydoc_faults faults = {.path = sweep->path};
    struct spec spec;
    read_job(sweep, number, &faults, &spec);
    int rc = spec_tree_end(&faults, err); /* none: all were read before */
    if (rc == 0)
        rc = spec_name(&spec, err);
    if (rc == 0 && sweep->account[0] != '\0')
        rc = spec_set_account(&spec, sweep->account, err);
    if (rc == 0)
        *ret_spec = spec;
    return rc;
}

int sweep_set_account(struct sweep *sweep, const char *account, bool *ret_is_other,
                      struct error *err)
{
    struct spec spec;
    int rc = sweep_job(sweep, 1, &spec, err);
    bool is_other = rc == 0 && strcmp(spec.account, account) != 0;
    if (rc == 0)
        rc = spec_set_account(&spec, account, err);
    if (rc != 0)
        return rc;
    snprintf(sweep->account, sizeof sweep->account, "%s", account);
    *ret_is_other = is_other;
    return 0;
}

void sweep_words(const struct sweep *sweep, int number,
                 char ret_words[SWEEP_WORDS_SIZE])
{
    size_t used = 0;
    ret_words[0] = '\0';
    for (int a = 0; a < sweep->n_axes; a++) {
        const struct ydoc_node *value = value_of(sweep, a, number);
        int len = snprintf(ret_words + used, SWEEP_WORDS_SIZE - used, "%s%s=%s",
                           a > 0 ? " " : "", sweep->axes[a].values->key,
                           ydoc_is_null(value) ? "null" : value->text);
        used += (size_t)len;
        if (used >= SWEEP_WORDS_SIZE)
            break;
    }
    if (used >= SWEEP_WORDS_SIZE)
        memcpy(ret_words + SWEEP_WORDS_SIZE - 4, "...", 4);
}
