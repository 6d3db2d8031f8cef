/* Discrete Fourier transforms of real data, in double precision, lengths powers of two.
 *
 * Internal to jobs/privacy: the accountants need a transform whose rounding error is
 * bounded by proof, not by trust.
 *
 * Guarantee: with u = 2^-53 and exact transform y of the data x, the computed y' obeys
 *     ||y' - y||_2 <= fft_error(n) ||y||_2,    fft_error(n) = (2.75 log2 n + 5) u,
 * norms taken over all n points (the half that is not stored mirrors the other), in
 * both directions. Derivation, for IEEE double arithmetic rounding to nearest with or
 * without fused multiply-add, subnormals aside (they add less than n * 2^-1070):
 *   - A table entry w' is right to |w' - w| <= 1.005 u: it is made with 64 or more bits
 *     and rounded once.
 *   - A complex product by hand: each part errs by at most u(|ac| + |bd|) from its two
 *     products and u|part| from its sum, and the vector (|ac|+|bd|, |ad|+|bc|) is no
 *     longer than sqrt(2) |z||w|; so a product is right to (1 + sqrt(2)) u < 2.42 u.
 *   - A radix-4 pass is two layers of sums (each a multiple of a unitary map, each sum
 *     right to u), then one product by the table: (2 + 2.42 + 1.005) u < 5.43 u for two
 *     halvings of the length; the radix-2 pass, taken at most once, is
 *     (1 + 2.42 + 1.005) u < 4.43 u for one.
 *   - The pass between the complex transform of length n/2 and the real one is a sum, a
 *     product, a sum: 5.43 u; halving is exact, and so is the final 2/n.
 *   Together, with L = log2(n) - 1 halvings:
 *     5.43 L/2 + (4.43 - 5.43/2) + 5.43 <= 2.715 log2 n + 4.44,
 *   and the products of errors left out are below 0.1 u for n <= 2^24. Multiples of
 *   unitary maps keep relative errors as they are, so the passes' errors add up.
 */
#ifndef PPT_JOBS_PRIVACY_FFT_H
#define PPT_JOBS_PRIVACY_FFT_H

#include <stddef.h>

#include "base/error.h"

#define FFT_MIN_LENGTH 4
#define FFT_MAX_LENGTH 16777216

/* Tables and scratch space for one length. One thread at a time. */
struct fft;

/* n: the number of reals, a power of two in [FFT_MIN_LENGTH, FFT_MAX_LENGTH]. Holds
 * 20 n bytes until freed; the caller frees. Errors: PPT_ERANGE, PPT_ENOMEM. */
int fft_new(size_t n, struct fft **ret_fft, struct error *err);
void fft_free(struct fft *fft);

/* The n it was made for. */
size_t fft_length(const struct fft *fft);

/* In place: data[0..n-1] real becomes n/2+1 complex numbers (real, imaginary) in
 * data[0..n+1], Y_k = sum_j data_j e^{-2 pi i j k / n}. */
void fft_forward(struct fft *fft, double *data);

/* In place, the way back, divided by n: n/2+1 complex numbers in data[0..n+1] (the
 * imaginary parts of the first and last are taken as 0) become n reals. */
void fft_inverse(struct fft *fft, double *data);

/* The relative bound of the guarantee above. */
double fft_error(size_t n);

#endif
