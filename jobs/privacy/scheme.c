#include "jobs/privacy/scheme.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/opt.h"
#include "jobs/privacy/fixed_order.h"
#include "jobs/privacy/rdp.h"
#include "jobs/privacy/schedule.h"
#include "jobs/privacy/split.h"

#define MAX_TEXT 512
#define NOISE                                                                          \
    {                                                                                  \
        "noise_multiplier", RDP_MIN_NOISE, RDP_MAX_NOISE, NAN, false,                  \
            "standard deviation over L2 sensitivity"                                   \
    }
#define STEPS                                                                          \
    {                                                                                  \
        "steps", 1, FIXED_ORDER_MAX_STEPS, NAN, true, "of the whole training"          \
    }
#define TIMES                                                                          \
    {                                                                                  \
        "participations", 1, FIXED_ORDER_MAX_STEPS, 1, true, "of one record, at most"  \
    }
#define APART                                                                          \
    {                                                                                  \
        "separation", 1, FIXED_ORDER_MAX_STEPS, 1, true,                               \
            "steps between two of a record's, at least"                                \
    }
#define RATE                                                                           \
    {                                                                                  \
        "sample_rate", RDP_MIN_RATE, 1, NAN, false,                                    \
            "batch size over number of records"                                        \
    }
#define BANDS                                                                          \
    {                                                                                  \
        "bands", 1, SCHEME_MAX_BANDS, NAN, true, "of the square root factorisation"    \
    }

static const struct scheme_key balls_in_bins[] = {
    {"noise_multiplier", 0.2, 1000, NAN, false, "of each step, over the sensitivity"},
    {"bins", 1, 1e6, NAN, true, "steps an epoch"},
    {"epochs", 1, 1e4, 1, true, "each with a fresh deal"},
};
static const struct scheme_key shuffled_batches[] = {
    NOISE,
    {"epochs", 1, FIXED_ORDER_MAX_STEPS, 1, true, "each with one step a record"},
};
static const struct scheme_key tree[] = {NOISE, STEPS, TIMES, APART};
static const struct scheme_key banded[] = {NOISE, STEPS, BANDS, TIMES, APART};
static const struct scheme_key banded_sampled[] = {NOISE, STEPS, BANDS, RATE};
static const struct scheme_key schedule[] = {
    NOISE,
    RATE,
    {"epochs", 1, PLD_MAX_RELEASES, NAN, true, "each with noise of its own"},
    {"steps_per_epoch", 1, 1e8, NAN, true, "of each epoch"},
    {"decay", 0.5, 1, 1, false, "of the noise, from epoch to epoch"},
};
static const struct scheme_key adaptive_clipping[] = {
    NOISE,
    {"count_noise", 1e-3, 1e9, NAN, false, "of the count of unclipped gradients"},
    RATE,
    {"count", 1, 1e10, 1, true, "steps"},
};

#define ROW(name, keys)                                                                \
    {                                                                                  \
        name, keys, (int)(sizeof(keys) / sizeof *(keys))                               \
    }
static const struct {
    const char *name;
    const struct scheme_key *keys;
    int n;
} kinds[SCHEME_N_KINDS] = {
    [SCHEME_BALLS_IN_BINS] = ROW("balls-in-bins", balls_in_bins),
    [SCHEME_SHUFFLED_BATCHES] = ROW("shuffled-batches", shuffled_batches),
    [SCHEME_TREE] = ROW("tree", tree),
    [SCHEME_BANDED] = ROW("banded", banded),
    [SCHEME_BANDED_SAMPLED] = ROW("banded-sampled", banded_sampled),
    [SCHEME_SCHEDULE] = ROW("schedule", schedule),
    [SCHEME_ADAPTIVE_CLIPPING] = ROW("adaptive-clipping", adaptive_clipping),
};

const char *scheme_name(enum scheme_kind kind)
{
    return kinds[kind].name;
}

int scheme_from_text(const char *text)
{
    size_t len = strcspn(text, ":");
    for (int i = 0; i < SCHEME_N_KINDS; i++)
        if (strlen(kinds[i].name) == len && strncmp(kinds[i].name, text, len) == 0)
            return i;
    return -1;
}

const struct scheme_key *scheme_keys(enum scheme_kind kind, int *ret_n)
{
    *ret_n = kinds[kind].n;
    return kinds[kind].keys;
}

static int unknown_key(const struct scheme *scheme, const char *key, struct error *err)
{
    char list[256] = "";
    size_t used = 0;
    int n;
    const struct scheme_key *keys = scheme_keys(scheme->kind, &n);
    for (int i = 0; i < n; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                 i == 0 ? "" : ", ", keys[i].name);
    int rc = error_set(err, PPT_EUSAGE, "%s has no parameter '%s'",
                       scheme_name(scheme->kind), key);
    error_hint(err, "it has %s", list);
    return rc;
}

static int set(struct scheme *scheme, const char *key, const char *value,
               struct error *err)
{
    int n;
    const struct scheme_key *keys = scheme_keys(scheme->kind, &n);
    for (int i = 0; i < n; i++) {
        if (strcmp(keys[i].name, key) != 0)
            continue;
        bool is_unknown = strcmp(value, "?") == 0;
        if (is_unknown && i != SCHEME_NOISE)
            return error_set(err, PPT_EUSAGE, "%s of %s cannot be looked for", key,
                             scheme_name(scheme->kind));
        if (i == SCHEME_NOISE)
            scheme->is_unknown = is_unknown;
        int rc = is_unknown ? 0 : opt_number(value, &scheme->values[i], err);
        if (rc != 0)
            error_prefix(err, "%s", key);
        return rc;
    }
    return unknown_key(scheme, key, err);
}

int scheme_parse(const char *text, struct scheme *ret_scheme, struct error *err)
{
    char copy[MAX_TEXT];
    int kind = scheme_from_text(text), n, rc = 0;
    if (kind < 0 || snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return error_set(err, PPT_EUSAGE, "unknown or too long: '%.80s'", text);
    struct scheme scheme = {.kind = (enum scheme_kind)kind};
    const struct scheme_key *keys = scheme_keys(scheme.kind, &n);
    for (int i = 0; i < n; i++)
        scheme.values[i] = keys[i].otherwise;
    char *rest = strchr(copy, ':');
    if (rest != NULL)
        rest++;
    for (char *pair; rc == 0 && (pair = strsep(&rest, ",")) != NULL;) {
        char *value = strchr(pair, '=');
        if (value == NULL)
            return error_set(err, PPT_EUSAGE, "'%s' is not KEY=VALUE", pair);
        *value++ = '\0';
        rc = set(&scheme, pair, value, err);
    }
    if (rc == 0)
        *ret_scheme = scheme;
    return rc;
}

const struct scheme_key *scheme_missing(const struct scheme *scheme)
{
    int n;
    const struct scheme_key *keys = scheme_keys(scheme->kind, &n);
    for (int i = 0; i < n; i++)
        if (isnan(scheme->values[i]) && !(i == SCHEME_NOISE && scheme->is_unknown))
            return &keys[i];
    return NULL;
}

static int check(const struct scheme *scheme, struct error *err)
{
    int n;
    const struct scheme_key *keys = scheme_keys(scheme->kind, &n);
    for (int i = 0; i < n; i++) {
        double v = scheme->values[i];
        if (!(v >= keys[i].low && v <= keys[i].high) ||
            (keys[i].is_whole && v != floor(v)))
            return error_set(
                err, PPT_ERANGE, "%s of %s is %.20g, expected a %snumber in [%g, %g]",
                keys[i].name, scheme_name(scheme->kind), v,
                keys[i].is_whole ? "whole " : "", keys[i].low, keys[i].high);
    }
    return 0;
}

/* The factor's column: the coefficients of (1 - x)^-1/2, whose square is the prefix
 * sum. Each is right to a relative 2 n_bands units; returns its norm, rounded up. */
static double column(int n_bands, double ret_coefficients[SCHEME_MAX_BANDS])
{
    double c = 1, square = 0;
    for (int k = 0; k < n_bands; k++) {
        if (k > 0)
            c *= (2 * k - 1) / (2.0 * k);
        ret_coefficients[k] = c;
        square += c * c;
    }
    return sqrt(square) * (1 + 0x1p-50 * (n_bands + 4));
}

/* One Gaussian that moves by `sensitivity`; division and product round down. */
static int one_gaussian(const struct scheme *scheme, double sensitivity,
                        struct renyi_release *ret_release)
{
    *ret_release = (struct renyi_release){
        .mechanism = mechanism_default(MECHANISM_GAUSSIAN), .count = 1};
    ret_release->mechanism.noise_multiplier =
        scheme->values[SCHEME_NOISE] / sensitivity * (1 - 0x1p-50);
    return 0;
}

static int fixed(const struct scheme *scheme, struct renyi_release *ret_release,
                 struct error *err)
{
    const double *v = scheme->values;
    bool is_tree = scheme->kind == SCHEME_TREE;
    struct participation p = {(int64_t)v[1], (int64_t)v[is_tree ? 2 : 3],
                              (int64_t)v[is_tree ? 3 : 4]};
    double sensitivity, coefficients[SCHEME_MAX_BANDS];
    int rc;
    if (is_tree) {
        rc = fixed_order_tree(&p, &sensitivity, err);
    } else {
        int n_bands = (int)v[2];
        column(n_bands, coefficients);
        /* the factor that is used is the exact one: cover the coefficients' rounding */
        for (int i = 0; i < n_bands; i++)
            coefficients[i] *= 1 + 0x1p-50 * (n_bands + 4);
        /* one participation leaves nothing to be apart from */
        if (p.n_participations == 1)
            p.min_separation = p.n_steps;
        rc = fixed_order_toeplitz(coefficients, n_bands, &p, &sensitivity, err);
    }
    return rc != 0 ? rc : one_gaussian(scheme, sensitivity, ret_release);
}

static struct renyi_release sampled(double noise, double rate, int64_t count)
{
    struct renyi_release release = {
        .mechanism = mechanism_default(MECHANISM_SUBSAMPLED_GAUSSIAN), .count = count};
    release.mechanism.noise_multiplier = noise;
    release.mechanism.sample_rate = rate;
    return release;
}

static int several(const struct scheme *scheme, struct renyi_release *ret_releases,
                   int room, int *ret_n, struct error *err)
{
    const double *v = scheme->values;
    struct pld_release releases[PLD_MAX_RELEASES];
    double coefficients[SCHEME_MAX_BANDS];
    int n = 1, rc;
    if (scheme->kind == SCHEME_SCHEDULE) {
        struct schedule s = {.n_epochs = (int)v[2],
                             .steps_per_epoch = (int64_t)v[3],
                             .sample_rate = v[1],
                             .decay = v[4]};
        rc = schedule_releases(&s, v[SCHEME_NOISE], releases, &n, err);
    } else {
        double norm = column((int)v[2], coefficients);
        rc = fixed_order_sampled(v[SCHEME_NOISE], norm, (int64_t)v[2], v[3],
                                 (int64_t)v[1], &releases[0], err);
    }
    if (rc == 0 && n > room)
        rc = error_set(err, PPT_ERANGE, "more than %d releases in all",
                       RENYI_MAX_RELEASES);
    for (int i = 0; rc == 0 && i < n; i++)
        ret_releases[i] =
            sampled(releases[i].scale, releases[i].rate, releases[i].count);
    if (rc == 0)
        *ret_n = n;
    return rc;
}

int scheme_releases(const struct scheme *scheme, struct renyi_release *ret_releases,
                    int room, int *ret_n, struct error *err)
{
    const double *v = scheme->values;
    double unused;
    int rc = check(scheme, err);
    if (rc == 0 && room < 1)
        rc = error_set(err, PPT_ERANGE, "more than %d releases in all",
                       RENYI_MAX_RELEASES);
    if (rc != 0)
        return rc;
    *ret_n = 1;
    switch (scheme->kind) {
    case SCHEME_BALLS_IN_BINS:
        *ret_releases = (struct renyi_release){
            mechanism_default(MECHANISM_RANDOM_ALLOCATION), (int64_t)v[2]};
        ret_releases->mechanism.noise_multiplier = v[SCHEME_NOISE];
        ret_releases->mechanism.bins = v[1];
        return 0;
    case SCHEME_SHUFFLED_BATCHES: /* sqrt(epochs) is epochs times the sensitivity 1 */
        rc = one_gaussian(scheme, 1, ret_releases);
        ret_releases->count = (int64_t)v[1];
        return rc;
    case SCHEME_TREE:
    case SCHEME_BANDED:
        return fixed(scheme, ret_releases, err);
    case SCHEME_BANDED_SAMPLED:
    case SCHEME_SCHEDULE:
        return several(scheme, ret_releases, room, ret_n, err);
    default: /* refused where the count's noise leaves the gradients none */
        rc = split_gradient_noise(v[SCHEME_NOISE], v[1], &unused, err);
        if (rc == 0)
            *ret_releases = sampled(v[SCHEME_NOISE], v[2], (int64_t)v[3]);
        return rc;
    }
}

int scheme_balls_in_bins(const struct scheme *scheme, struct balls_in_bins *ret_plan,
                         struct error *err)
{
    assert(scheme->kind == SCHEME_BALLS_IN_BINS);
    int rc = check(scheme, err);
    if (rc == 0)
        *ret_plan = (struct balls_in_bins){.noise_multiplier = scheme->values[0],
                                           .n_bins = (int64_t)scheme->values[1],
                                           .n_epochs = (int64_t)scheme->values[2]};
    return rc;
}
