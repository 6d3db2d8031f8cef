#include "jobs/privacy/price_memo.h"

#include <string.h>

#include "jobs/privacy/calibrate.h"

/* A busy site's kinds of job; a curve is 1 KB. The oldest makes room. */
#define N_REMEMBERED 16
/* Longer plans than a price has are not worth the memory. */
#define MAX_RELEASES 8

struct remembered_curve {
    bool is_set;
    struct mechanism mechanism;
    enum privacy_unit unit;
    struct curve curve;
};

struct remembered_noise {
    bool is_set;
    double epsilon, delta;
    bool has_other;
    struct renyi_release training, other;
    double noise;
};

struct remembered_epsilon {
    bool is_set;
    int n;
    struct renyi_release releases[MAX_RELEASES];
    double delta, epsilon, order;
};

static _Thread_local struct remembered_curve curves[N_REMEMBERED];
static _Thread_local int next_curve;
static _Thread_local struct remembered_noise noises[N_REMEMBERED];
static _Thread_local int next_noise;
static _Thread_local struct remembered_epsilon epsilons[N_REMEMBERED];
static _Thread_local int next_epsilon;

/* All bytes alike: padding may differ where nothing else does, which costs a sum done
 * again and never a wrong answer. */
static bool is_same(const void *a, const void *b, size_t size)
{
    return memcmp(a, b, size) == 0;
}

int price_memo_curve(const struct mechanism *mechanism, enum privacy_unit unit,
                     struct curve *ret_curve, struct error *err)
{
    for (int i = 0; i < N_REMEMBERED; i++)
        if (curves[i].is_set && curves[i].unit == unit &&
            is_same(&curves[i].mechanism, mechanism, sizeof *mechanism)) {
            *ret_curve = curves[i].curve;
            return 0;
        }
    struct remembered_curve *slot = &curves[next_curve];
    struct curve curve;
    int rc = mechanism_curve(mechanism, unit, &curve, err);
    if (rc != 0)
        return rc;
    slot->is_set = true;
    slot->unit = unit;
    slot->curve = curve;
    memcpy(&slot->mechanism, mechanism, sizeof *mechanism);
    next_curve = (next_curve + 1) % N_REMEMBERED;
    *ret_curve = curve;
    return 0;
}

int price_memo_noise(double epsilon, double delta, const struct renyi_release *training,
                     const struct renyi_release *other, double *ret_noise,
                     struct error *err)
{
    for (int i = 0; i < N_REMEMBERED; i++) {
        const struct remembered_noise *known = &noises[i];
        if (known->is_set && is_same(&known->epsilon, &epsilon, sizeof epsilon) &&
            is_same(&known->delta, &delta, sizeof delta) &&
            is_same(&known->training, training, sizeof *training) &&
            known->has_other == (other != NULL) &&
            (other == NULL || is_same(&known->other, other, sizeof *other))) {
            *ret_noise = known->noise;
            return 0;
        }
    }
    struct remembered_noise *slot = &noises[next_noise];
    double noise;
    int rc = calibrate_noise_multiplier(epsilon, delta, training, other, other != NULL,
                                        &noise, err);
    if (rc != 0)
        return rc;
    slot->is_set = true;
    slot->epsilon = epsilon;
    slot->delta = delta;
    memcpy(&slot->training, training, sizeof *training);
    slot->has_other = other != NULL;
    if (other != NULL)
        memcpy(&slot->other, other, sizeof *other);
    slot->noise = noise;
    next_noise = (next_noise + 1) % N_REMEMBERED;
    *ret_noise = noise;
    return 0;
}

int price_memo_epsilon(const struct renyi_release *releases, int n, double delta,
                       double *ret_epsilon, double *ret_order, struct error *err)
{
    const size_t size = (size_t)n * sizeof *releases;
    if (n < 1 || n > MAX_RELEASES)
        return renyi_epsilon(releases, n, delta, ret_epsilon, ret_order, err);
    for (int i = 0; i < N_REMEMBERED; i++) {
        const struct remembered_epsilon *known = &epsilons[i];
        if (known->is_set && known->n == n &&
            is_same(&known->delta, &delta, sizeof delta) &&
            is_same(known->releases, releases, size)) {
            *ret_epsilon = known->epsilon;
            *ret_order = known->order;
            return 0;
        }
    }
    double epsilon, order;
    int rc = renyi_epsilon(releases, n, delta, &epsilon, &order, err);
    if (rc != 0)
        return rc;
    struct remembered_epsilon *slot = &epsilons[next_epsilon];
    slot->is_set = true;
    slot->n = n;
    memcpy(slot->releases, releases, size);
    slot->delta = delta;
    slot->epsilon = epsilon;
    slot->order = order;
    next_epsilon = (next_epsilon + 1) % N_REMEMBERED;
    *ret_epsilon = epsilon;
    *ret_order = order;
    return 0;
}
