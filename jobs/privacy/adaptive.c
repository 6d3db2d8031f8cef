#include "jobs/privacy/adaptive.h"

#include <math.h>
#include <stdbool.h>

#include "jobs/privacy/mechanism.h"

/* a <= b at every order. */
static bool is_within(const struct cost *a, const struct cost *b)
{
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (b->rho[i] != COST_INFINITE && a->rho[i] > b->rho[i])
            return false;
    return a->delta <= b->delta;
}

int adaptive_menu_gaussian(const double *noise_multipliers, int n, double sample_rate,
                           int64_t steps_per_epoch, enum privacy_unit unit,
                           struct adaptive_menu *ret_menu, struct error *err)
{
    if (n < 1 || n > ADAPTIVE_MAX_ENTRIES || steps_per_epoch < 1)
        return error_set(err, PPT_ERANGE,
                         "expected 1 to %d noise multipliers and at least one step an "
                         "epoch, got %d and %lld",
                         ADAPTIVE_MAX_ENTRIES, n, (long long)steps_per_epoch);
    struct adaptive_menu menu = {.n = n};
    int rc = 0;
    for (int i = 0; rc == 0 && i < n; i++) {
        struct mechanism m = mechanism_default(MECHANISM_SUBSAMPLED_GAUSSIAN);
        struct curve curve;
        m.noise_multiplier = noise_multipliers[i];
        m.sample_rate = sample_rate;
        if (i > 0 && !(noise_multipliers[i] <= noise_multipliers[i - 1]))
            return error_set(err, PPT_ERANGE,
                             "noise multiplier %g comes after %g, expected the most "
                             "noise first",
                             noise_multipliers[i], noise_multipliers[i - 1]);
        rc = mechanism_curve(&m, unit, &curve, err);
        if (rc == 0)
            rc = cost_from_curve(&curve, steps_per_epoch, &menu.epochs[i], err);
        /* curves are bounds, each with its own slack: the dearer entry covers both */
        for (int k = 0; rc == 0 && i > 0 && k < COST_N_ORDERS; k++)
            if (menu.epochs[i].rho[k] < menu.epochs[i - 1].rho[k])
                menu.epochs[i].rho[k] = menu.epochs[i - 1].rho[k];
    }
    if (rc == 0)
        *ret_menu = menu;
    return rc;
}

int adaptive_wish(const struct adaptive_menu *menu, int held, double before,
                  double after, double least_gain)
{
    bool has_gained = after - before >= least_gain; /* false for NAN */
    if (has_gained || held >= menu->n - 1)
        return held;
    return held + 1;
}

static int check_menu(const struct adaptive_menu *menu, struct error *err)
{
    if (menu->n < 1 || menu->n > ADAPTIVE_MAX_ENTRIES)
        return error_set(err, PPT_ERANGE, "a menu of %d entries, expected 1 to %d",
                         menu->n, ADAPTIVE_MAX_ENTRIES);
    for (int i = 1; i < menu->n; i++)
        if (!is_within(&menu->epochs[i - 1], &menu->epochs[i]))
            return error_set(err, PPT_ERANGE,
                             "entry %d of the menu costs less than the one before", i);
    return 0;
}

/* Adds count times a cost to a sum, saturating. */
static int add_times(struct cost *sum, const struct cost *cost, int64_t count,
                     struct error *err)
{
    struct cost times = *cost;
    for (int i = 0; i < COST_N_ORDERS; i++)
        if (__builtin_mul_overflow(cost->rho[i], count, &times.rho[i]))
            times.rho[i] = COST_INFINITE;
    if (__builtin_mul_overflow(cost->delta, count, &times.delta))
        times.delta = COST_INFINITE;
    return cost_add(sum, &times, sum, err);
}

int adaptive_pick(const struct adaptive_menu *menu, const struct cost *spent,
                  const struct cost *reserved, int64_t n_later, int wish,
                  int *ret_entry, struct error *err)
{
    int rc = check_menu(menu, err), entry = -1;
    if (rc == 0 && n_later < 0)
        rc = error_set(err, PPT_ERANGE, "%lld later epochs, expected 0 or more",
                       (long long)n_later);
    struct cost probe, floor_cost;
    if (rc == 0) /* units and relations agree, and nothing is negative */
        rc = cost_add(spent, reserved, &probe, err);
    if (rc != 0)
        return rc;
    floor_cost = *spent;
    rc = add_times(&floor_cost, &menu->epochs[0], n_later, err);
    if (wish > menu->n - 1)
        wish = menu->n - 1;
    for (int i = wish < 0 ? 0 : wish; rc == 0 && entry < 0 && i >= 0; i--) {
        struct cost after;
        rc = cost_add(&floor_cost, &menu->epochs[i], &after, err);
        if (rc == 0 && is_within(&after, reserved))
            entry = i;
    }
    if (rc == 0)
        *ret_entry = entry;
    return rc;
}
