/* Gaussian noise for sums, on a grid that is the same whatever the data: what is
 * released says nothing by which floating-point numbers it could or could not be.
 *
 * A sum is rounded to multiples of a public step BEFORE noise, and the noise is an
 * integer number of steps: the nearest to std_steps * z, z a real standard normal.
 * Guarantees:
 * - price: with s on the grid, s + step * round(sigma z / step) is the rounding of
 *   s + sigma z, so it is computed from the release of a Gaussian mechanism over the
 *   reals. Every price of that mechanism (Renyi, PLD, GDP, under Poisson sampling) is
 *   the price of this one; no bound for discrete noise is needed;
 * - law: each integer is exactly round(std_steps z) for real uniforms that the bits
 *   begin, but for an event of probability below 2^-178 (1 + std_steps)^2. Over all
 *   2^50 draws of a job with std_steps <= 2^32 that is below 2^-62, the smallest delta
 *   the ledger counts;
 * - every value and every sum of values is an exact multiple of step below 2^53 steps,
 *   so no later rounding depends on the data, and the integers are the same on every
 *   processor and from every compiler.
 * So the attacks on noise's floating-point lattice (Mironov 2012; Jin et al.,
 * arXiv 2112.05307) and on its precision (Haney et al., arXiv 2207.13793) have nothing
 * to see. Derivations and what is assumed: kernels/samplers.md.
 * Hidden: the time of grid_noise is a function of n and std_steps, but for an event of
 * probability below 2^-63 in each chunk (GRID_CHUNK draws; 2^21 on a device), as far as
 * the processor's own additions, multiplications, divisions and square roots of normal
 * doubles take the same time for all (they do on x86-64 since 2015; nobody promises
 * it). Not hidden: from who shares the caches, which few pairs were worked out exactly
 * (that depends on the fraction of std_steps z, next to nothing on the integer) and the
 * size of memory.
 */
#ifndef PPT_KERNELS_GRID_H
#define PPT_KERNELS_GRID_H

#include <stdbool.h>
#include <stdint.h>

#define GRID_CHUNK 122880
#define GRID_MAX_STD_STEPS 0x1p40
#define GRID_EXTRA_WORDS 8

struct grid {
    double step;      /* a power of two, in the sum's unit */
    double std_steps; /* standard deviation of the noise, in steps */
    double max_steps; /* grid_round and grid_add cut to +- so many steps */
};

/* More random bits for the pairs that need them: the 8 words of pair i (draws 2i and
 * 2i + 1 of this call), independent of `bits` and of every other pair's, and the same
 * whenever asked for. */
struct grid_source {
    void (*extra)(void *state, int64_t pair, uint64_t ret_words[GRID_EXTRA_WORDS]);
    void *state;
};

/* A grid for a vector of n_coordinates that is the sum of n_parts vectors, each rounded
 * by grid_round before they are added up, where the released total shall have L2
 * sensitivity `sensitivity` and noise of standard deviation noise_multiplier times it.
 *
 * *ret_clip is the sensitivity that the parts must have before they are rounded: a
 * record changes one part, rounding moves each coordinate of it by at most step / 2
 * with the record and as much without, so
 *     |round(S) - round(S')| <= |S - S'| + sqrt(n_coordinates) step <= sensitivity
 * if |S - S'| <= *ret_clip = sensitivity - sqrt(n_coordinates) step, rounded down. The
 * step is the largest power of two with sqrt(n_coordinates) step <= 2^-16 sensitivity,
 * so at most 2^-16 of the clip norm is given up. Cutting at max_steps never lengthens a
 * difference.
 * False, and nothing is set, unless 0 < sensitivity, noise_multiplier < 2^500,
 * 1 <= n_coordinates <= 2^40, 1 <= n_parts <= 2^20 and std_steps <= 2^40. */
bool grid_plan(double sensitivity, double noise_multiplier, int64_t n_coordinates,
               int64_t n_parts, struct grid *ret_grid, double *ret_clip);

/* Noise of this standard deviation for integers below 2^52 (step 1, one part). False
 * unless 2^-40 <= std <= 2^40. */
bool grid_for_integers(double std, struct grid *ret_grid);

/* x[n] to the nearest multiples of step, at most max_steps from 0; NaN becomes 0. */
void grid_round(const struct grid *grid, int64_t n, double *x);

/* sum[n] += x[n] to the nearest multiple of step, and stays within max_steps from 0;
 * a NaN of x adds nothing. sum holds multiples of step within max_steps. So what is
 * added moves a coordinate of all later sums by at most |x| + step / 2, and without a
 * cut the sum is the same in any order. Floor: 20 n bytes. */
void grid_add(const struct grid *grid, int64_t n, const float *x, double *sum);

/* x[n] += step * round(std_steps z). x holds multiples of step below 2^52 steps; n is
 * even; z[2i] and z[2i + 1] are Box and Muller's pair (1958) from the real uniforms
 * that bits[2i] and bits[2i + 1] begin and source continues. Draws are secrets: the
 * caller wipes bits, this function its own copies. */
void grid_noise(const struct grid *grid, int64_t n, const uint64_t *bits,
                const struct grid_source *source, double *x);

/* grid_noise's two halves, on the host, for who draws a vector in parts. Of a part of n
 * <= GRID_CHUNK draws, the draws that double arithmetic decides are added to x[n], and
 * the pairs in doubt, whose x stays, are listed: the return value says how many, list
 * has room for n / 2 + 1. The time is a function of n, as above. For the same guarantee
 * as grid_noise's the caller then works out grid_n_exact pairs of the whole vector,
 * whether they were listed or not. */
int64_t grid_noise_sure(const struct grid *grid, int64_t n, const uint64_t *bits,
                        double *x, uint16_t *list);

/* One pair, from its own bits and the extra ones; added to x[2] where it is wanted. */
void grid_noise_exact(const struct grid *grid, const uint64_t bits[2],
                      const uint64_t extra[GRID_EXTRA_WORDS], bool is_wanted,
                      double *x);

/* x[n] += drawn[n], noise that was drawn for zeros, and drawn becomes zeros. Floor:
 * 32 n bytes. */
void grid_add_drawn(int64_t n, double *drawn, double *x);

/* sum[n] += x[n], rounded as doubles are. On the host; floor: 24 n bytes. */
void grid_add_sum(int64_t n, const double *x, double *sum);

/* Of n_pairs pairs, how many are always worked out exactly,
 * whether they need it or not: more than so many need it with probability below 2^-64.
 */
int64_t grid_n_exact(double std_steps, int64_t n_pairs);

#endif
