/* A rank's part of the noise that is correlated over steps
 * (jobs/privacy/correlation.h): what step t adds is e_t, from fresh noise z_t and the
 * noise of earlier steps. For jobs/dp and jobs/fl.
 *
 * Sums lie on a grid of step D. Fresh noise z_t lies on one that is 1/256 of it, by
 * grid_noise: the nearest point to real Gaussian noise Z_t. Coefficients c_j are whole
 * multiples of 1/256, c_0 = 1, and
 *     e_t = D floor((z_t - sum_{j>=1} c_j e_{t-j}) / D + 1/2),
 * what is released x_t + e_t, a multiple of D.
 *
 * Guarantee: all that is released is computed from C x + Z, real Gaussian noise on the
 * banded sums, so its price is that of the Gaussian mechanism. Proof: C x lies on the
 * fine grid, so y = C x + z is C x + Z rounded to it. Let r_t = D floor(w_t / D + 1/2),
 * w_t = y_t - sum_{j>=1} c_j r_{t-j}: a function of y. If r_s = x_s + e_s for all s < t
 * then w_t = x_t + z_t - sum_{j>=1} c_j e_{t-j}, and x_t, a multiple of D, goes through
 * the rounding: r_t = x_t + e_t. (Not so with noise combined from several draws on the
 * grid of the sums: its lattice would tell the sums apart.)
 * Every sum is a multiple of the fine step below 2^52 of them, hence exact and the same
 * on every processor; correlated_open checks it for draws of 21.1 standard deviations,
 * the largest there are. sum |(C^-1)_t| is needed for that, and summed over 64 n_bands
 * steps: c falls, so C's series has no root in the unit disk (Enestroem, Kakeya) and
 * C^-1 falls geometrically.
 *
 * The noise of past steps is a secret as they are: it lies in memory only, is in no
 * checkpoint, and is wiped. So a process begins without a past: with a key of its own,
 * its first step is C's first row anew. Nothing is drawn twice, and the noise of a
 * process is independent of every other's; what it lets a record's steps cost is
 * correlation.h's bound for the epochs in which the process makes a step, each of which
 * is paid for (lease.h).
 * Memory: 8 n_bands bytes a coordinate.
 */
#ifndef PPT_JOBS_DP_CORRELATED_H
#define PPT_JOBS_DP_CORRELATED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/dp/noise.h"
#include "kernels/grid.h"

struct correlated {
    int64_t n_bands; /* 0: zeroed */
    int64_t n_slice; /* coordinates of this rank */
    int64_t n_done;  /* steps of this process */
    double step;     /* of the sums' grid */
    struct grid fine;
    double *coefficients; /* n_bands */
    double *past;         /* n_bands rows of n_slice; step i's is row i mod n_bands */
};

/* For at most n_steps steps of n_params coordinates over all ranks, with the grid of
 * the sums and, in its std_steps, of fresh noise. Errors: PPT_ERANGE (so much noise
 * does not fit), PPT_ENOMEM. */
int correlated_open(struct correlated *correlated, const struct grid *grid,
                    int64_t n_bands, int64_t n_slice, int64_t n_params, int64_t n_steps,
                    struct error *err);
void correlated_close(struct correlated *correlated); /* a zeroed one too; wipes */

/* Of the past; 0 of a zeroed one. */
size_t correlated_memory_bytes(const struct correlated *correlated);

/* Is it the noise of sums on this grid? */
bool correlated_is_for(const struct correlated *correlated, const struct grid *grid);

/* x[from .. to) += this step's noise there: draws first + from .. first + to - 1 of the
 * noise's substream are what is fresh. Parts of a step may be added side by side. */
void correlated_add(struct correlated *correlated, struct noise *noise,
                    uint64_t substream, int64_t first, int64_t from, int64_t to,
                    double *x);

/* All parts of this step are added. */
void correlated_next(struct correlated *correlated);

#endif
