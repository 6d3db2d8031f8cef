/* Exact discrete Gaussian draws, many at a time: P(k) proportional to
 * exp(-k^2 / (2 variance)) over all whole numbers.
 *
 * A candidate's magnitude is drawn from stairs that lie just above the bell: a step by
 * its weight, a place in it uniformly, a sign; it is kept with the height of the bell
 * over that of the step there, exp(-(m^2 - l^2) / (2 variance)), l where the step
 * begins. Both decisions are made in double, with a bound on its error, on the first 48
 * binary digits of a random real; where these are too few, they are made again in
 * fixed point (fraction.h) with 192 digits more.
 * Guarantees:
 * - law: a draw's is the distribution's but for a statistical distance below 2^-180:
 *   what lies beyond 16 standard deviations, and the last places of fixed point;
 * - time: a batch tries a number of candidates that depends on variance and n alone,
 *   each by the same instructions, and works out a fixed number of them in fixed point.
 *   With probability below 2^-64 for a batch, and for each STAIRCASE_CHUNK candidates,
 *   that is not enough and more is done.
 * Hidden: the draws, and which candidates were rejected, from who measures time, as far
 * as kernels/grid.h says of doubles. No branch and no address depends on them but the
 * output's, which moves on by one as draws are found, and which candidates were worked
 * out twice. Derivations: kernels/samplers.md.
 */
#ifndef PPT_KERNELS_STAIRCASE_H
#define PPT_KERNELS_STAIRCASE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/discrete.h"
#include "kernels/fraction.h"

#define STAIRCASE_CHUNK 2048
#define STAIRCASE_STEPS 18
#define STAIRCASE_EXTRA_WORDS 6

/* A distribution. Made by staircase_plan; read-only after. */
struct staircase {
    uint64_t width;             /* of steps 0 .. 15; 16 and 32 of them of the others */
    double rate;                /* 1 / (2 variance) */
    double chance;              /* at least, that a candidate is kept */
    struct fraction_rate exact; /* rate */
    struct fraction from[STAIRCASE_STEPS - 1]; /* weights of the steps up to each */
    uint64_t head[STAIRCASE_STEPS - 1];        /* their first 48 digits */
};

/* variance = numerator / denominator. False, and nothing is set, unless both are in
 * [1, 2^54] and the variance is in [1/32, 2^54]. */
bool staircase_plan(uint64_t numerator, uint64_t denominator,
                    struct staircase *ret_staircase);

/* n draws, n >= 0. Draws are secrets: the caller wipes x; the words are wiped here. */
void staircase_draw(const struct staircase *staircase, int64_t n,
                    const struct discrete_source *source, int64_t *x);

/* How many candidates a batch of n >= 1 tries: fewer than n of them are kept with
 * probability below 2^-64 (Chernoff's bound). */
int64_t staircase_n_candidates(const struct staircase *staircase, int64_t n);

/* The parts, for tests. A candidate is two words: the upper 48 bits choose the step and
 * decide; the lower 16 bits of both are sign and place. n <= STAIRCASE_CHUNK of them:
 * values, whether they are kept (1 or 0), and the numbers of those that must be decided
 * exactly, whose number is returned; list has room for one more. */
int64_t staircase_try(const struct staircase *staircase, int64_t n,
                      const uint64_t *step, const uint64_t *keep, int64_t *value,
                      uint64_t *is_kept, uint16_t *list);

/* The last word on one, whose reals go on with extra[0..2] and extra[3..5]. */
uint64_t staircase_decide(const struct staircase *staircase, uint64_t step,
                          uint64_t keep, const uint64_t extra[STAIRCASE_EXTRA_WORDS],
                          int64_t *ret_value);

#endif
