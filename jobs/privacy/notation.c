#include "jobs/privacy/notation.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/opt.h"
#include "jobs/privacy/calibrate.h"
#include "jobs/privacy/scheme.h"

#define MAX_TEXT 512

static int unknown_name(const char *name, struct error *err)
{
    char list[512] = "";
    size_t used = 0;
    for (int i = 0; i < MECHANISM_N_KINDS; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                 i == 0 ? "" : ", ",
                                 mechanism_name((enum mechanism_kind)i));
    for (int i = 0; i < SCHEME_N_KINDS; i++) /* whole trainings (scheme.h) */
        used += (size_t)snprintf(list + used, sizeof list - used, ", %s",
                                 scheme_name((enum scheme_kind)i));
    int rc = error_set(err, PPT_EUSAGE, "unknown mechanism '%s'", name);
    error_hint(err, "there are %s", list);
    return rc;
}

static int unknown_key(const struct mechanism *m, const char *key, struct error *err)
{
    int n;
    const struct mechanism_parameter *rows = mechanism_parameters(m->kind, &n);
    char list[256] = "";
    size_t used = 0;
    for (int i = 0; i < n; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s, ", rows[i].name);
    int rc = error_set(err, PPT_EUSAGE, "%s has no parameter '%s'",
                       mechanism_name(m->kind), key);
    error_hint(err, "it has %ssample_rate, sampling, relation and count", list);
    return rc;
}

static int set_number(struct notation *n, const struct mechanism_parameter *p,
                      const char *value, struct error *err)
{
    bool is_unknown = strcmp(value, "?") == 0;
    if (is_unknown && (n->unknown != NULL || n->is_count_unknown))
        return error_set(err, PPT_EUSAGE, "more than one value is ?");
    if (is_unknown && p->privacy == 0)
        return error_set(err, PPT_EUSAGE, "%s cannot be looked for", p->name);
    if (is_unknown) {
        n->unknown = p;
        return 0;
    }
    int rc = opt_number(value, mechanism_value(&n->release.mechanism, p), err);
    if (rc != 0)
        error_prefix(err, "%s", p->name);
    return rc;
}

static int set_count(struct notation *n, const char *value, struct error *err)
{
    double count;
    n->has_count = true;
    if (strcmp(value, "?") == 0) {
        n->is_count_unknown = true;
        return n->unknown == NULL
                   ? 0
                   : error_set(err, PPT_EUSAGE, "more than one value is ?");
    }
    int rc = opt_number(value, &count, err);
    if (rc == 0 && (count != floor(count) || fabs(count) > 0x1p62))
        rc = error_set(err, PPT_EUSAGE, "'%s' is not a whole number", value);
    if (rc != 0)
        error_prefix(err, "count");
    else
        n->release.count = (int64_t)count;
    return rc;
}

/* A word among few. */
static int set_word(int found, const char *key, const char *value, const char *list,
                    struct error *err)
{
    if (found >= 0)
        return 0;
    int rc = error_set(err, PPT_EUSAGE, "unknown %s '%s'", key, value);
    error_hint(err, "there are %s", list);
    return rc;
}

static int set(struct notation *n, const char *key, const char *value,
               bool *ret_has_relation, struct error *err)
{
    struct mechanism *m = &n->release.mechanism;
    int n_rows;
    const struct mechanism_parameter *rows = mechanism_parameters(m->kind, &n_rows);
    for (int i = 0; i < n_rows; i++)
        if (strcmp(rows[i].name, key) == 0)
            return set_number(n, &rows[i], value, err);
    if (strcmp(key, "sample_rate") == 0) {
        n->has_rate = true;
        return set_number(n, &calibrate_sample_rate, value, err);
    }
    if (strcmp(key, "count") == 0)
        return set_count(n, value, err);
    if (strcmp(key, "sampling") == 0) {
        int found = mechanism_sampling_from_name(value);
        m->sampling = (enum mechanism_sampling)found;
        return set_word(found, key, value, "none, poisson and without_replacement",
                        err);
    }
    if (strcmp(key, "relation") == 0) {
        int found = relation_from_name(value);
        m->relation = (enum privacy_relation)found;
        *ret_has_relation = true;
        return set_word(found, key, value, "add_remove and replace_one", err);
    }
    return unknown_key(m, key, err);
}

static int parse(char *text, struct notation *n, struct error *err)
{
    bool has_relation = false;
    char *keys = strchr(text, ':');
    if (keys != NULL)
        *keys++ = '\0';
    int kind = mechanism_from_name(text), rc = 0;
    if (kind < 0)
        return unknown_name(text, err);
    struct mechanism *m = &n->release.mechanism;
    *m = mechanism_default((enum mechanism_kind)kind);
    for (char *rest = keys, *pair; rc == 0 && (pair = strsep(&rest, ",")) != NULL;) {
        char *value = strchr(pair, '=');
        if (value == NULL) {
            rc = error_set(err, PPT_EUSAGE, "'%s' is not KEY=VALUE", pair);
        } else {
            *value++ = '\0';
            rc = set(n, pair, value, &has_relation, err);
        }
    }
    if (m->kind != MECHANISM_GAUSSIAN && n->has_rate && m->sampling == SAMPLING_NONE)
        m->sampling = SAMPLING_POISSON;
    if (!has_relation && m->sampling == SAMPLING_WITHOUT_REPLACEMENT)
        m->relation = RELATION_REPLACE_ONE;
    return rc;
}

int notation_parse(const char *text, struct notation *ret_notation, struct error *err)
{
    char copy[MAX_TEXT];
    struct notation n = {.release.count = 1};
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return error_set(err, PPT_EUSAGE, "a mechanism is longer than %d letters",
                         MAX_TEXT - 1);
    int rc = parse(copy, &n, err);
    if (rc == 0)
        *ret_notation = n;
    return rc;
}

const struct mechanism_parameter *notation_missing(const struct notation *notation)
{
    struct mechanism m = notation->release.mechanism;
    int n;
    const struct mechanism_parameter *rows = mechanism_parameters(m.kind, &n);
    for (int i = 0; i < n; i++)
        if (isnan(*mechanism_value(&m, &rows[i])) && notation->unknown != &rows[i])
            return &rows[i];
    return NULL;
}
