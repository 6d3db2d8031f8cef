/* A pair's privacy loss put on a grid, so that the result is never better than the
 * pair.
 *
 * Internal to jobs/privacy. The losses in one cell (e_i, e_j], e_i = i * step, carry
 * masses a of P and b of Q. They are replaced by two atoms at the cell's ends,
 *     at e_j: (a - b e^{e_i})/(1 - e^{e_i - e_j}),   at e_i: the rest,
 * which keeps a and b: a mean-preserving spread of dQ/dP, so by Blackwell's theorem the
 * new pair is dominated by nothing less than the old one, also under composition.
 * (privacy.md's B2; pld.md has the proof in full, with rounding.)
 *
 * Guarantee: with `shift` per composed release added to epsilon, every delta computed
 * from mass[] and `infinite` is at least the pair's own.
 */
#ifndef PPT_JOBS_PRIVACY_PMF_H
#define PPT_JOBS_PRIVACY_PMF_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/pair.h"

#define PMF_MAX_ATOMS 8388608

struct pmf {
    double step;
    size_t n;
    int64_t *index; /* increasing; atom i is at loss index[i] * step */
    double *mass;
    double infinite; /* mass at infinite loss */
    double shift;
};

/* How the grid is laid out. Cells are one step wide where |loss| <= step/growth and
 * about growth * |loss| further out. */
struct pmf_layout {
    double step; /* of at most 24 significant bits, so that i * step is exact */
    double growth;
    double low, high; /* losses below go up to `low`; above, to `high` or infinity */
};

/* Caller frees with pmf_free. Errors: PPT_ERANGE (more than PMF_MAX_ATOMS cells),
 * PPT_ENOMEM. */
int pmf_new(const struct pair *pair, const struct pmf_layout *layout,
            struct pmf **ret_pmf, struct error *err);
void pmf_free(struct pmf *pmf);

/* log sum_i mass[i] e^{t index[i] step}, to a relative few parts in 10^14. */
double pmf_log_mgf(const struct pmf *pmf, double t);

/* ret_tilted[i] = mass[i] e^{theta index[i] step - log_scale}, rounded up. */
void pmf_tilt(const struct pmf *pmf, double theta, double log_scale,
              double *ret_tilted);

/* The losses with at most `mass` of P above (ret_high) and below (ret_low), to a
 * relative 1e-6; at most PAIR_MAX_LOSS in size, whatever lies beyond. */
void pmf_range(const struct pair *pair, double mass, double *ret_low, double *ret_high);

#endif
