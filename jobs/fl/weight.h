/* What a client's update counts: as much as any other's, or by its number of records,
 * of which federation.max_weight = m count at the most. Private to this room, but for
 * tests.
 *
 * Sensitivity (private jobs): a client adds (w / m) clip(x, C) and w is m at most, so
 * |(w / m) clip(x, C)| = (w / m) |clip(x, C)| <= C: one user with all its records moves
 * the sum by C, as with equal weights. The weights' own sum is not released; the
 * divisor is q W with a public W (McMahan, Ramage, Talwar, Zhang: Learning
 * differentially private recurrent language models, ICLR 2018, the estimator with the
 * fixed denominator). W is the number of clients times what one with the mean number of
 * records counts, both nominal; w is concave in the number of records, so by Jensen's
 * inequality that is the true sum at least, and steps are too short rather than too
 * long. (Had the vector a coordinate s w / m as well, it would be sqrt(C^2 + s^2) long
 * at most, and noise would have to be as much larger: a fixed W costs nothing.)
 *
 * Plain jobs by secure aggregation: the vector is the encoded (w / m) clip(x, max_norm)
 * followed by w in digits, all of them under one mask; the server learns both sums and
 * divides: sum w x / sum w over those who survive. A digit has so many bits that the
 * sum over the cohort is below 2^(the ring's bits): it is exact.
 */
#ifndef PPT_JOBS_FL_WEIGHT_H
#define PPT_JOBS_FL_WEIGHT_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/spec/spec.h"

#define WEIGHT_MAX_DIGITS 32

struct weight_digits {
    int n, n_bits; /* of one; 0: no weight is sent */
};

/* w: 0 without records, else 1 or the number of records, bounded where there is an m.
 */
int64_t weight_of(const struct spec_federation *federation, int64_t n_records);

/* w / m; with equal weights 1. */
double weight_share(const struct spec_federation *federation, int64_t n_records);

/* The share of a client with that mean number of records. */
double weight_expected(const struct spec_federation *federation, double mean_records);

/* For n_clients weights of max_weight at most in a ring of n_bits.
 * Errors: PPT_ERANGE (too few bits for so many clients). */
int weight_plan(int64_t max_weight, int n_bits, uint32_t n_clients,
                struct weight_digits *ret_digits, struct error *err);

/* ret_ring[digits->n]; and back from a sum of such, each digit a whole number. */
void weight_write(const struct weight_digits *digits, int64_t weight,
                  uint32_t *ret_ring);
int64_t weight_read(const struct weight_digits *digits, const uint32_t *sum);

#endif
