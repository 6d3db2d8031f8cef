#include "jobs/fl/share.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/privacy/price.h"
#include "kernels/ring.h"

/* Above the rounding of a few operations in double. */
static const double up = 1.0 + 0x1p-49;

/* The variance in parts as fine as the sampler takes. */
static bool plan_discrete(double std, struct staircase *ret_staircase)
{
    double variance = std * std * up;
    uint64_t denominator = 1 << 20;
    while (denominator > 1 && variance * (double)denominator > 0x1p53) {
        denominator /= 2;
    }
    double numerator = ceil(variance * (double)denominator);
    return numerator <= 0x1p54 &&
           staircase_plan((uint64_t)numerator, denominator, ret_staircase);
}

static int refuse(const struct share *share, const struct share_plan *plan,
                  struct error *err)
{
    error_set(err, PPT_ERANGE,
              "noise multiplier %g by %lld clients: a client's share would have "
              "standard deviation %g in whole numbers, which cannot be drawn",
              plan->multiplier, (long long)plan->n_min, share->std);
    return error_hint(err, "take fewer federation.secagg.bits");
}

static int check_plan(const struct share *share, const struct share_plan *plan,
                      struct error *err)
{
    if (!(share->std >= SHARE_LEAST_STD)) {
        error_set(err, PPT_ERANGE,
                  "noise multiplier %g by %lld clients: a client's share would have "
                  "standard deviation %g in whole numbers, expected at least %g",
                  plan->multiplier, (long long)plan->n_min, share->std,
                  SHARE_LEAST_STD);
        return error_hint(err, "take more federation.secagg.bits, or fewer clients a "
                               "round");
    }
    if (plan->kind == NOISE_SKELLAM && plan->sensitivity < PRICE_SKELLAM_SENSITIVITY) {
        error_set(err, PPT_ERANGE,
                  "clip_norm is %g whole numbers of the ring, expected at least %d, "
                  "for which Skellam noise is priced",
                  plan->sensitivity, PRICE_SKELLAM_SENSITIVITY);
        return error_hint(err, "take more federation.secagg.bits, or fewer clients a "
                               "round");
    }
    return 0;
}

static int plan_draws(struct share *share, const struct share_plan *plan,
                      struct error *err)
{
    switch (share->kind) {
    case NOISE_DISCRETE_GAUSSIAN:
        return plan_discrete(share->std, &share->staircase) ? 0
                                                            : refuse(share, plan, err);
    case NOISE_SKELLAM:
        return share->std * share->std > (double)SKELLAM_MOST_VARIANCE
                   ? refuse(share, plan, err)
                   : skellam_open(&share->skellam,
                                  (int64_t)ceil(64.0 * share->std * share->std * up),
                                  err);
    default:
        return grid_for_integers(share->std, &share->grid) ? 0
                                                           : refuse(share, plan, err);
    }
}

static int open_draws(struct share *share, const struct kernels *kernels,
                      const unsigned char key[CRYPTO_KEY_SIZE], struct error *err)
{
    size_t n = share->n_values < GRID_CHUNK ? share->n_values + share->n_values % 2
                                            : GRID_CHUNK;
    share->n_draws = (uint32_t)n;
    if (share->kind != NOISE_ROUNDED_GAUSSIAN) {
        share->numbers = calloc(n, sizeof *share->numbers);
        share->stream = crypto_stream_new(key);
    } else {
        share->draws = calloc(n, sizeof *share->draws);
    }
    if (share->numbers == NULL && share->draws == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for noise");
    }
    return share->draws == NULL
               ? 0
               : noise_open(&share->noise, kernels, key, (int64_t)n, err);
}

int share_open(struct share *share, const struct share_plan *plan, uint32_t n_values,
               const struct kernels *kernels, const unsigned char key[CRYPTO_KEY_SIZE],
               struct error *err)
{
    double whole = plan->multiplier * plan->sensitivity * up;
    double variance = (whole * whole + SHARE_EXTRA_VARIANCE) / (double)plan->n_min;
    *share = (struct share){
        .kind = plan->kind, .std = sqrt(variance) * up, .n_values = n_values};
    int rc = check_plan(share, plan, err);
    if (rc == 0) {
        rc = plan_draws(share, plan, err);
    }
    if (rc == 0) {
        rc = open_draws(share, kernels, key, err);
    }
    if (rc != 0) {
        share_close(share);
    }
    return rc;
}

void share_close(struct share *share)
{
    noise_close(&share->noise);
    skellam_close(&share->skellam);
    if (share->stream != NULL) {
        crypto_stream_free(share->stream);
    }
    free(share->draws);
    free(share->numbers);
    *share = (struct share){0};
}

static void read_words(void *state, uint64_t *ret_words, int64_t n)
{
    crypto_stream_read(state, ret_words, (size_t)n * sizeof *ret_words);
}

/* n draws, of a substream from `first` on, to ring. */
static void add_rounded(struct share *share, uint64_t substream, int64_t first,
                        uint32_t n, uint32_t *ring)
{
    int64_t even = n + n % 2;
    noise_add(&share->noise, &share->grid, substream, first, even, share->draws);
    for (uint32_t j = 0; j < n; j++) {
        ring[j] += ring_of((int64_t)share->draws[j]);
    }
    crypto_wipe(share->draws, (size_t)even * sizeof *share->draws);
}

static void add_discrete(struct share *share, uint32_t n, uint32_t *ring)
{
    struct discrete_source source = {read_words, share->stream};
    if (share->kind == NOISE_SKELLAM) {
        skellam_draw(&share->skellam, n, share->stream, share->numbers);
    } else {
        staircase_draw(&share->staircase, n, &source, share->numbers);
    }
    for (uint32_t j = 0; j < n; j++) {
        ring[j] += ring_of(share->numbers[j]);
    }
    crypto_wipe(share->numbers, n * sizeof *share->numbers);
}

void share_add(struct share *share, uint64_t substream, uint32_t *ring)
{
    if (share->stream != NULL) {
        crypto_stream_seek(share->stream, substream, 0);
    }
    for (uint32_t at = 0; at < share->n_values; at += share->n_draws) {
        uint32_t left = share->n_values - at,
                 n = left < share->n_draws ? left : share->n_draws;
        if (share->kind != NOISE_ROUNDED_GAUSSIAN) {
            add_discrete(share, n, ring + at);
        } else {
            add_rounded(share, substream, at, n, ring + at);
        }
    }
}
