/* Exact discrete Laplace draws, and Bernoulli(exp(-a / b)), from random bits by integer
 * arithmetic alone (Canonne, Kamath, Steinke 2020, arXiv 2004.00010, algorithms 1 and
 * 2). Discrete Gaussian draws: staircase.h.
 *
 * Guarantees:
 * - law: exactly that of the algorithms, so exactly the discrete distribution, but for
 *   events of probability below 2^-180 a draw where a counter would overflow: such a
 *   draw starts again (a magnitude of 128 scales, a series of 254 terms);
 * - time: rejection sampling takes longer for some draws than for others, which tells
 *   them apart (Jin et al., arXiv 2112.05307). Here all draws of a batch come from one
 *   machine of equal steps, each the same instructions on one 128-bit word, and a batch
 *   runs a number of steps that depends on the distribution and n alone. With
 *   probability below 2^-64 it is not enough and more are run.
 * Hidden: the draws, and how often each was rejected, from who measures time; no branch
 * and no address depends on them but the output's, which moves on by one as draws are
 * found, so who shares the caches may learn how many steps each draw took. Laplace with
 * scale_divisor > 1 divides each draw at the end: constant time where the processor's
 * division is (x86-64 since 2019).
 */
#ifndef PPT_KERNELS_DISCRETE_H
#define PPT_KERNELS_DISCRETE_H

#include <stdbool.h>
#include <stdint.h>

enum discrete_kind { DISCRETE_BERNOULLI, DISCRETE_LAPLACE };

/* A distribution. Made by the functions below; read-only after. */
struct discrete {
    enum discrete_kind kind;
    uint64_t scale, divisor; /* of the Laplace draws: scale / divisor */
    unsigned __int128 a, b;  /* a Bernoulli's exponent */
};

/* Where the machine stands; zero it and call discrete_start. */
struct discrete_state {
    uint64_t stage, k, part, whole, is_negative;
    unsigned __int128 num, den, rest;
};

/* n random 64-bit words. */
struct discrete_source {
    void (*words)(void *state, uint64_t *ret_words, int64_t n);
    void *state;
};

/* 1 with probability exp(-a / b), else 0. False unless b >= 1. */
bool discrete_bernoulli(uint64_t a, uint64_t b, struct discrete *ret);

/* P(k) proportional to exp(-|k| divisor / scale). False unless 1 <= scale, divisor <=
 * 2^55. */
bool discrete_laplace(uint64_t scale, uint64_t divisor, struct discrete *ret);

/* n draws. Draws are secrets: the caller wipes x; the words are wiped here. */
void discrete_draw(const struct discrete *discrete, int64_t n,
                   const struct discrete_source *source, int64_t *x);

/* How many steps a batch of n runs: more are needed with probability below 2^-64. By
 * Markov's inequality for z^steps, whose mean is bounded from the algorithms' own
 * probabilities (samplers.md). */
int64_t discrete_n_steps(const struct discrete *discrete, int64_t n);

/* The machine itself, for tests that enumerate it. A step uses one word of 128 bits;
 * *ret_draw is set always, and is a draw (of a Laplace, before division) where true is
 * returned: the state then goes on like that of discrete_start. */
void discrete_start(const struct discrete *discrete, struct discrete_state *ret_state);
bool discrete_step(const struct discrete *discrete, unsigned __int128 word,
                   struct discrete_state *state, int64_t *ret_draw);

#endif
