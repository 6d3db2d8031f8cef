/* Pairs of discrete laws, sorted by privacy loss, with running sums.
 *
 * Internal to jobs/privacy. Owned by whoever made them; read only afterwards.
 */
#ifndef PPT_JOBS_PRIVACY_ATOMS_H
#define PPT_JOBS_PRIVACY_ATOMS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tails;
struct atoms;

#define ATOMS_MAX 4194304

/* p[i] and q[i], each right to a relative `rel`, are the two laws' masses at outcome
 * i < n (0 allowed, both may sum to less than 1 by rounding only). Copies.
 * Errors: PPT_ERANGE (negative, NaN, sums off by more than n rel, too many),
 * PPT_ENOMEM. */
int atoms_new(const double *p, const double *q, size_t n, double rel,
              struct atoms **ret_atoms, struct error *err);
void atoms_free(struct atoms *atoms);

/* Noise with masses proportional to e^{-i^2/2s^2} on the whole numbers, s in [0.05,
 * 10000], against itself shifted by `sensitivity` in [1, 1000000]: Canonne, Kamath,
 * Steinke 2020 (arXiv 2004.00010), whose shift by the sensitivity is the worst case. */
int atoms_discrete_gaussian(double s, int64_t sensitivity, struct atoms **ret_atoms,
                            struct error *err);

/* The same with masses proportional to e^{-|i|/b}, b in [0.05, 10000]. */
int atoms_discrete_laplace(double b, int64_t sensitivity, struct atoms **ret_atoms,
                           struct error *err);

/* Masses above and below a loss, of atoms at which both laws live. */
void atoms_tails(const struct atoms *atoms, double loss, struct tails *ret_tails);

/* The largest loss of an atom at which both laws live, rounded up. */
double atoms_largest_loss(const struct atoms *atoms);

/* The mass of P where Q has none, and of Q where P has none. */
double atoms_only_p(const struct atoms *atoms);
double atoms_only_q(const struct atoms *atoms);

#endif
