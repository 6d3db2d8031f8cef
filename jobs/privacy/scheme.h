/* Whole trainings as people write them, and the plain releases that bound them:
 * tree:noise_multiplier=4,steps=1000
 *
 *   balls-in-bins      noise_multiplier, bins, epochs      balls_in_bins.h
 *   shuffled-batches   noise_multiplier, epochs            fixed_order_shuffled
 *   tree               noise_multiplier, steps, ...        fixed_order_tree
 *   banded             noise_multiplier, steps, bands, ... fixed_order_toeplitz
 *   banded-sampled     noise_multiplier, steps, bands, ... fixed_order_sampled
 *   schedule           noise_multiplier (the first epoch's), ...  schedule.h
 *   adaptive-clipping  noise_multiplier, count_noise, ...  split.h
 *
 * Guarantee: the releases cost at least what the training does, under add_remove and
 * with noise multipliers over the add/remove sensitivity. Balls in bins are releases of
 * random-allocation, an epoch each; balls_in_bins.h prices them tighter where they
 * stand alone.
 */
#ifndef PPT_JOBS_PRIVACY_SCHEME_H
#define PPT_JOBS_PRIVACY_SCHEME_H

#include <stdbool.h>

#include "base/error.h"
#include "jobs/privacy/balls_in_bins.h"
#include "jobs/privacy/renyi.h"

enum scheme_kind {
    SCHEME_BALLS_IN_BINS,
    SCHEME_SHUFFLED_BATCHES,
    SCHEME_TREE,
    SCHEME_BANDED,
    SCHEME_BANDED_SAMPLED,
    SCHEME_SCHEDULE,
    SCHEME_ADAPTIVE_CLIPPING,
    SCHEME_N_KINDS
};

#define SCHEME_MAX_BANDS 1024
#define SCHEME_MAX_KEYS 5
#define SCHEME_NOISE 0 /* values[0]: every scheme's noise_multiplier */

struct scheme {
    enum scheme_kind kind;
    bool is_unknown;                /* noise_multiplier=? */
    double values[SCHEME_MAX_KEYS]; /* in the order of scheme_keys; NAN: not given */
};

struct scheme_key {
    const char *name;
    double low, high;
    double otherwise; /* NAN: it must be given */
    bool is_whole;
    const char *help;
};

/* "balls-in-bins", ... scheme_from_text looks at what stands before ':'; -1 for what
 * is no scheme. */
const char *scheme_name(enum scheme_kind kind);
int scheme_from_text(const char *text);

/* Their number is *ret_n <= SCHEME_MAX_KEYS. */
const struct scheme_key *scheme_keys(enum scheme_kind kind, int *ret_n);

/* Values are read, not checked for range; defaults are filled in. Errors: PPT_EUSAGE
 * (name, key, number); the hint lists what there is. */
int scheme_parse(const char *text, struct scheme *ret_scheme, struct error *err);

/* The first value that is neither given nor ?, or NULL. */
const struct scheme_key *scheme_missing(const struct scheme *scheme);

/* At most `room` releases. Errors: PPT_ERANGE (a value, or room), PPT_ENOMEM. */
int scheme_releases(const struct scheme *scheme, struct renyi_release *ret_releases,
                    int room, int *ret_n, struct error *err);

/* What balls_in_bins.h takes. Requires SCHEME_BALLS_IN_BINS. Errors: PPT_ERANGE. */
int scheme_balls_in_bins(const struct scheme *scheme, struct balls_in_bins *ret_plan,
                         struct error *err);

#endif
