#include "jobs/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/pathsafe.h"
#include "base/ydoc.h"

#define REPORT_MAX_BYTES (64u << 10)

static const char *const outcomes[REPORT_N] = {
    [REPORT_DONE] = "done",
    [REPORT_INTERRUPTED] = "interrupted",
    [REPORT_FAILED] = "failed",
};

const char *report_outcome_name(enum report_outcome outcome)
{
    return outcomes[outcome];
}

static void add_rank(struct json *json, const struct report_rank *rank)
{
    json_object(json, NULL);
    json_integer(json, "rank", rank->rank);
    json_string(json, "cpus", rank->cpus);
    if (rank->gpu >= 0)
        json_integer(json, "gpu", rank->gpu);
    json_close_object(json);
}

static void add_places(struct json *json, const struct report_places *places)
{
    if (places->n_hosts == 0)
        return;
    json_integer(json, "n_hosts", places->n_hosts);
    json_array(json, "hosts");
    for (int host = 0; host < places->n_hosts_listed; host++) {
        json_object(json, NULL);
        json_string(json, "name", places->hosts[host].name);
        json_integer(json, "n_ranks", places->hosts[host].n_ranks);
        json_array(json, "ranks");
        for (int i = 0; i < places->n_ranks_listed; i++)
            if (places->ranks[i].host == host)
                add_rank(json, &places->ranks[i]);
        json_close_array(json);
        json_close_object(json);
    }
    json_close_array(json);
}

/* Caller frees. */
static int to_json(const struct report *report, char **ret_text, struct error *err)
{
    struct json json = {0};
    json_object(&json, NULL);
    json_integer(&json, "job_id", report->job_id);
    json_integer(&json, "attempt", report->attempt);
    json_string(&json, "outcome", outcomes[report->outcome]);
    json_integer(&json, "error_code", report->error_code);
    json_string(&json, "error_text", report->error_text);
    if (report->cause[0] != '\0')
        json_string(&json, "cause", report->cause);
    json_array(&json, "used");
    for (int i = 0; i < PRICE_MAX_RELEASES; i++)
        json_integer(&json, NULL, report->used[i]);
    json_close_array(&json);
    json_integer(&json, "n_steps", report->n_steps);
    json_bool(&json, "has_test_accuracy", report->has_test_accuracy);
    json_number(&json, "test_accuracy", report->test_accuracy);
    json_number(&json, "wall_s", report->wall_s);
    json_number(&json, "expected_examples_per_s", report->expected_examples_per_s);
    json_bool(&json, "is_sealed", report->is_sealed);
    if (report->n_damaged_checkpoints > 0)
        json_integer(&json, "n_damaged_checkpoints", report->n_damaged_checkpoints);
    if (report->attack[0] != '\0')
        json_string(&json, "simulated_attack", report->attack);
    json_string(&json, "model", report->model);
    add_places(&json, &report->places);
    json_close_object(&json);
    return json_end(&json, ret_text, err);
}

static int put(const char *path, const struct report *report,
               int (*replace)(const char *, const void *, size_t, unsigned,
                              struct error *),
               struct error *err)
{
    char *text;
    int rc = to_json(report, &text, err);
    if (rc != 0)
        return rc;
    rc = replace(path, text, strlen(text), 0600, err);
    free(text);
    return rc;
}

int report_write(const char *path, const struct report *report, struct error *err)
{
    return put(path, report, pathsafe_replace, err);
}

int report_write_soon(const char *path, const struct report *report, struct error *err)
{
    return put(path, report, pathsafe_replace_fast, err);
}

static void read_used(struct ydoc_faults *faults, const struct ydoc_node *used,
                      struct report *report)
{
    if (used == NULL)
        return;
    if (used->kind != YDOC_SEQUENCE || used->n_children != PRICE_MAX_RELEASES) {
        ydoc_fault(faults, used, "expected a list of %d counts", PRICE_MAX_RELEASES);
        return;
    }
    for (const struct ydoc_node *n = used->first; n != NULL; n = n->next)
        ydoc_integer(faults, n, 0, INT64_MAX, &report->used[n->index]);
}

static void read_rank(struct ydoc_faults *faults, const struct ydoc_node *node,
                      struct report_places *places)
{
    struct report_rank rank = {.host = places->n_hosts_listed, .gpu = -1};
    if (places->n_ranks_listed == REPORT_MAX_RANKS) {
        ydoc_fault(faults, node, "more than %d ranks", REPORT_MAX_RANKS);
        return;
    }
    ydoc_integer(faults, ydoc_need(faults, node, "rank"), 0, INT32_MAX, &rank.rank);
    ydoc_integer(faults, ydoc_get(node, "gpu"), 0, INT32_MAX, &rank.gpu);
    ydoc_string(faults, ydoc_need(faults, node, "cpus"), sizeof rank.cpus, rank.cpus);
    places->ranks[places->n_ranks_listed++] = rank;
}

static void read_host(struct ydoc_faults *faults, const struct ydoc_node *node,
                      struct report_places *places)
{
    struct report_host *host = &places->hosts[places->n_hosts_listed];
    const struct ydoc_node *ranks = ydoc_need(faults, node, "ranks");
    if (places->n_hosts_listed == REPORT_MAX_HOSTS) {
        ydoc_fault(faults, node, "more than %d hosts", REPORT_MAX_HOSTS);
        return;
    }
    ydoc_string(faults, ydoc_need(faults, node, "name"), sizeof host->name, host->name);
    ydoc_integer(faults, ydoc_need(faults, node, "n_ranks"), 1, INT32_MAX,
                 &host->n_ranks);
    for (const struct ydoc_node *n = ranks == NULL ? NULL : ranks->first; n != NULL;
         n = n->next)
        read_rank(faults, n, places);
    places->n_hosts_listed++;
}

/* A report of an earlier version has none. */
static void read_places(struct ydoc_faults *faults, const struct ydoc_node *root,
                        struct report_places *places)
{
    const struct ydoc_node *hosts = ydoc_get(root, "hosts");
    ydoc_integer(faults, ydoc_get(root, "n_hosts"), 0, INT32_MAX, &places->n_hosts);
    for (const struct ydoc_node *n = hosts == NULL ? NULL : hosts->first; n != NULL;
         n = n->next)
        read_host(faults, n, places);
}

static int parse(const char *text, size_t len, const char *path,
                 struct report *ret_report, struct error *err)
{
    const struct ydoc_range positive = {0, 1e300, false, false};
    struct ydoc_faults faults = {.path = path};
    struct report report = {0};
    int64_t error_code = 0;
    int outcome = 0;
    struct ydoc *doc = ydoc_parse(text, len, NULL, &faults);
    const struct ydoc_node *root = ydoc_root(doc);
    ydoc_integer(&faults, ydoc_need(&faults, root, "job_id"), 1, INT64_MAX,
                 &report.job_id);
    ydoc_integer(&faults, ydoc_need(&faults, root, "attempt"), 1, INT64_MAX,
                 &report.attempt);
    ydoc_word(&faults, ydoc_need(&faults, root, "outcome"), outcomes, REPORT_N,
              &outcome);
    ydoc_integer(&faults, ydoc_need(&faults, root, "error_code"), 0, 255, &error_code);
    ydoc_string(&faults, ydoc_need(&faults, root, "error_text"),
                sizeof report.error_text, report.error_text);
    ydoc_string(&faults, ydoc_get(root, "cause"), sizeof report.cause, report.cause);
    read_used(&faults, ydoc_need(&faults, root, "used"), &report);
    ydoc_integer(&faults, ydoc_need(&faults, root, "n_steps"), 0, INT64_MAX,
                 &report.n_steps);
    ydoc_bool(&faults, ydoc_need(&faults, root, "has_test_accuracy"),
              &report.has_test_accuracy);
    ydoc_number(&faults, ydoc_need(&faults, root, "test_accuracy"),
                (struct ydoc_range){0, 1, false, false}, &report.test_accuracy);
    ydoc_number(&faults, ydoc_need(&faults, root, "wall_s"), positive, &report.wall_s);
    ydoc_number(&faults, ydoc_need(&faults, root, "expected_examples_per_s"), positive,
                &report.expected_examples_per_s);
    ydoc_bool(&faults, ydoc_need(&faults, root, "is_sealed"), &report.is_sealed);
    ydoc_integer(&faults, ydoc_get(root, "n_damaged_checkpoints"), 0, INT32_MAX,
                 &report.n_damaged_checkpoints);
    ydoc_string(&faults, ydoc_get(root, "simulated_attack"), sizeof report.attack,
                report.attack);
    ydoc_string(&faults, ydoc_need(&faults, root, "model"), sizeof report.model,
                report.model);
    read_places(&faults, root, &report.places);
    ydoc_free(doc);
    int rc = ydoc_faults_end(&faults, "report", err);
    if (rc != 0)
        return rc;
    report.outcome = (enum report_outcome)outcome;
    report.error_code = (int)error_code;
    *ret_report = report;
    return 0;
}

int report_read(const char *path, struct report *ret_report, struct error *err)
{
    char *text;
    size_t len;
    int rc = pathsafe_read_file(path, REPORT_MAX_BYTES, &text, &len, err);
    if (rc != 0)
        return rc;
    rc = parse(text, len, path, ret_report, err);
    free(text);
    return rc;
}
