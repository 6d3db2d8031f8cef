/* Krum's choice among vectors by their distances. Private to this room, but for tests.
 *
 * The score of a vector among q is the sum of its squared distances to the q - f - 2
 * nearest others (at least 1 of them); ties go to the lower number (Blanchard et al.,
 * NeurIPS 2017, arXiv 1703.02757). Other libraries take other counts or distances that
 * are not squared.
 */
#ifndef PPT_JOBS_FL_KRUM_H
#define PPT_JOBS_FL_KRUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* is_chosen[n] is set for the n_chosen vectors with the least scores: 1 of them is
 * Krum, more are Multi-Krum. square[n * n]. Errors: PPT_ENOMEM. */
int krum_choose(const double *square, int64_t n, int64_t n_byzantine, int64_t n_chosen,
                bool *is_chosen, struct error *err);

/* The same one by one: Krum's choice is taken out and the rest is scored anew (El
 * Mhamdi et al., ICML 2018, arXiv 1802.07927). Takes n_chosen n^2 log n. */
int krum_repeat(const double *square, int64_t n, int64_t n_byzantine, int64_t n_chosen,
                bool *is_chosen, struct error *err);

#endif
