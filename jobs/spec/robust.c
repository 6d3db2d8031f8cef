#include "jobs/spec/robust.h"

#include <math.h>

#include "jobs/spec/federation.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])
/* So that the distances of all pairs stay below 200 MB. */
#define MOST_PAIRED 2048

static const char *const rule_names[RULE_N] = {
    [RULE_KRUM] = "krum",
    [RULE_MULTI_KRUM] = "multi_krum",
    [RULE_MEDIAN] = "median",
    [RULE_TRIMMED_MEAN] = "trimmed_mean",
    [RULE_BULYAN] = "bulyan",
    [RULE_GEOMETRIC_MEDIAN] = "geometric_median",
    [RULE_CENTERED_CLIPPING] = "centered_clipping",
    [RULE_NORM_BOUND] = "norm_bound",
};

static const char *const before_names[BEFORE_N] = {
    [BEFORE_NOTHING] = "nothing",
    [BEFORE_NEAREST] = "nearest",
    [BEFORE_BUCKETS] = "buckets",
};

const char *spec_rule_name(enum spec_rule rule)
{
    return rule_names[rule];
}

int64_t spec_rule_least(enum spec_rule rule, int64_t n_byzantine)
{
    switch (rule) {
    case RULE_KRUM:
    case RULE_MULTI_KRUM:
        return 2 * n_byzantine + 3;
    case RULE_BULYAN:
        return 4 * n_byzantine + 3;
    default:
        return 2 * n_byzantine + 1;
    }
}

bool spec_rule_counts(enum spec_rule rule)
{
    return rule == RULE_KRUM || rule == RULE_MULTI_KRUM || rule == RULE_TRIMMED_MEAN ||
           rule == RULE_BULYAN;
}

static const char *rule_word(int i)
{
    return rule_names[i];
}

static const char *before_word(int i)
{
    return before_names[i];
}

static bool has_buckets(const void *base)
{
    const struct spec_robust *robust = base;
    return robust->before == BEFORE_BUCKETS || robust->before == BEFORE_N;
}

static bool has_norm(const void *base)
{
    const struct spec_robust *robust = base;
    return robust->rule == RULE_CENTERED_CLIPPING || robust->rule == RULE_NORM_BOUND ||
           robust->rule == RULE_N;
}

static bool has_iterations(const void *base)
{
    const struct spec_robust *robust = base;
    return robust->rule == RULE_CENTERED_CLIPPING ||
           robust->rule == RULE_GEOMETRIC_MEDIAN || robust->rule == RULE_N;
}

static bool has_smoothing(const void *base)
{
    const struct spec_robust *robust = base;
    return robust->rule == RULE_GEOMETRIC_MEDIAN || robust->rule == RULE_N;
}

static const struct field robust_fields[] = {
    {.key = "rule",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_robust, rule),
     .is_required = true,
     .word = rule_word,
     .n_words = RULE_N},
    {.key = "byzantine",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_robust, byzantine),
     .is_required = true,
     .n_least = 0,
     .n_most = 1 << 18},
    {.key = "before",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_robust, before),
     .word = before_word,
     .n_words = BEFORE_N,
     .n_default = BEFORE_NOTHING},
    {.key = "bucket",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_robust, bucket),
     .n_least = 2,
     .n_most = 1000,
     .n_default = 2,
     .applies = has_buckets,
     .only_with = "before: buckets"},
    {.key = "clip_norm",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_robust, clip_norm),
     .range = {1e-6, 1e6, false, false},
     .hides_zero = true,
     .applies = has_norm,
     .only_with = "rule: centered_clipping or norm_bound"},
    {.key = "iterations",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_robust, iterations),
     .n_least = 1,
     .n_most = 100,
     .n_default = 3,
     .applies = has_iterations,
     .only_with = "rule: centered_clipping or geometric_median"},
    {.key = "smoothing",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_robust, smoothing),
     .range = {1e-12, 1e6, false, false},
     .number_default = 1e-6,
     .applies = has_smoothing,
     .only_with = "rule: geometric_median"},
};
const struct field_section field_robust = {"federation.robust", robust_fields,
                                           COUNT(robust_fields)};

void robust_read(struct ydoc_faults *faults, const struct ydoc_node *node, void *base)
{
    struct spec_robust *robust = &((struct spec_federation *)base)->robust;
    if (node == NULL)
        return;
    field_read(faults, node, &field_robust, robust);
    robust->is_on = true;
}

void robust_write(struct json *json, const struct field *field, const void *base)
{
    const struct spec_robust *robust = &((const struct spec_federation *)base)->robust;
    if (!robust->is_on)
        return;
    json_object(json, field->key);
    field_write(json, &field_robust, robust);
    json_close_object(json);
}

/* What the rest of the job must be. */
static void check_around(struct ydoc_faults *faults, const struct ydoc_node *node,
                         const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    if (spec->privacy.is_private) {
        ydoc_fault_at(
            faults, node, "robust",
            "expected no such section, or privacy: none: no bound is shown on "
            "how far one user moves what a robust rule makes of the updates");
        return;
    }
    if (federation->aggregation == AGGREGATION_SECAGG && federation->secagg.group == 0)
        ydoc_fault_at(faults, node, "robust",
                      "expected no such section, aggregation: clear or secagg.group: a "
                      "robust rule looks at each update, and secagg hides them");
    if (!spec_selection_is_exact(federation->selection))
        ydoc_fault_at(faults, node, "selection",
                      "expected fixed with robust: its rules count on how many updates "
                      "there are");
    if (federation->weighting == WEIGHTING_EXAMPLES)
        ydoc_fault_at(
            faults, node, "weighting",
            "expected equal with robust: how many records a client has is its "
            "own word");
}

/* Groups that are summed are what the rule sees: the more clients are in one, the fewer
 * groups are without a false client. */
static void check_groups(struct ydoc_faults *faults, const struct ydoc_node *node,
                         const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    const struct spec_robust *robust = &federation->robust;
    const struct spec_secagg *secagg = &federation->secagg;
    const struct ydoc_node *own = ydoc_get(node, "secagg");
    int64_t n = federation->cohort, g = secagg->group, f = robust->byzantine;
    if (g == 0 || n == 0)
        return;
    if (!robust->is_on) {
        ydoc_fault_at(faults, own, "group", "expected only with robust");
        return;
    }
    if (g > n)
        ydoc_fault_at(faults, own, "group", "expected at most the cohort, %lld",
                      (long long)n);
    if (g < secagg->min_clients)
        ydoc_fault_at(faults, own, "group",
                      "expected at least min_clients, %lld: a client is hidden among "
                      "its group only, and no sum of fewer may be seen",
                      (long long)secagg->min_clients);
    if (secagg->max_norm > 256)
        ydoc_fault_at(faults, own, "max_norm", "expected at most 256 with group");
    if (robust->before != BEFORE_NOTHING && robust->before != BEFORE_N)
        ydoc_fault_at(faults, ydoc_get(node, "robust"), "before",
                      "expected nothing with secagg.group: groups are means already");
    double clean = pow(1.0 - (double)f / (double)n, (double)g);
    if (robust->rule != RULE_N && !spec_rule_counts(robust->rule) && f <= n &&
        clean <= 0.5)
        ydoc_fault_at(faults, own, "group",
                      "expected fewer, or fewer byzantine: of groups of %lld only %.0f "
                      "percent are without one of %lld false clients of %lld, and a "
                      "rule needs more than half",
                      (long long)g, 100.0 * clean, (long long)f, (long long)n);
}

/* How many updates are left to the rule, and are they enough? */
static void check_numbers(struct ydoc_faults *faults, const struct ydoc_node *own,
                          const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    const struct spec_robust *robust = &federation->robust;
    int64_t n = federation->cohort, f = robust->byzantine;
    if (n == 0 || robust->rule == RULE_N || robust->before == BEFORE_N)
        return;
    bool is_paired = robust->rule == RULE_KRUM || robust->rule == RULE_MULTI_KRUM ||
                     robust->rule == RULE_BULYAN || robust->before == BEFORE_NEAREST;
    if (is_paired && n > MOST_PAIRED)
        ydoc_fault_at(faults, own, "rule",
                      "expected a rule without distances between all pairs of updates: "
                      "the cohort is %lld, and they are kept of %d at most",
                      (long long)n, MOST_PAIRED);
    if (robust->before == BEFORE_BUCKETS && robust->bucket > 0)
        n = (n + robust->bucket - 1) / robust->bucket;
    if (federation->secagg.group > 0 && !spec_rule_counts(robust->rule))
        return;
    n = federation->secagg.group > 0 ? n / federation->secagg.group : n;
    int64_t least = spec_rule_least(robust->rule, f);
    if (n < least)
        ydoc_fault_at(faults, own, "byzantine",
                      "expected fewer, or more updates: rule %s needs %lld where %lld "
                      "may be false, and gets %lld",
                      spec_rule_name(robust->rule), (long long)least, (long long)f,
                      (long long)n);
}

void robust_check(struct ydoc_faults *faults, const struct ydoc_node *node,
                  const struct spec *spec)
{
    const struct spec_robust *robust = &spec->federation.robust;
    const struct ydoc_node *own = ydoc_get(node, "robust");
    check_groups(faults, node, spec);
    if (!robust->is_on)
        return;
    check_around(faults, node, spec);
    check_numbers(faults, own, spec);
    bool has_norm =
        robust->rule == RULE_CENTERED_CLIPPING || robust->rule == RULE_NORM_BOUND;
    if (has_norm && ydoc_get(own, "clip_norm") == NULL)
        ydoc_fault_at(faults, own, "clip_norm",
                      "expected how far from the center an update may be (L2): rule %s "
                      "has no default for it",
                      spec_rule_name(robust->rule));
}
