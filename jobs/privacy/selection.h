/* The price of trying many times and keeping the best: private tuning.
 *
 * A private training run is repeated a random number K of times, with settings drawn at
 * random each time; only the best run, judged by what the run itself released, is
 * published. Papernot, Steinke 2022 (arXiv 2110.03620). K must be drawn afresh from the
 * law named here and kept secret; the best of a fixed number is NOT covered.
 */
#ifndef PPT_JOBS_PRIVACY_SELECTION_H
#define PPT_JOBS_PRIVACY_SELECTION_H

#include "base/error.h"
#include "jobs/privacy/cost.h"

enum selection_law {
    /* P(K = k) ~ (1-gamma)^k prod_{l<k} (l + eta)/(l + 1), k >= 1; eta > -1, gamma in
     * (0, 1). eta 1: geometric; eta 0: logarithmic. Theorem 2. */
    SELECTION_NEGATIVE_BINOMIAL,
    SELECTION_POISSON /* K ~ Poisson(mean); K = 0 releases nothing. Theorem 6. */
};

struct selection {
    enum selection_law law;
    double eta, gamma; /* NEGATIVE_BINOMIAL; eta in (-1, 1000], gamma in [1e-9, 1) */
    double mean;       /* POISSON, in [1e-9, 1e9]; ignored otherwise */
};

/* E[K]. Errors: PPT_ERANGE. */
int selection_mean(const struct selection *selection, double *ret_mean,
                   struct error *err);

/* gamma of the negative binomial law with this eta and E[K] = mean > 1, rounded down
 * (so that the price is rounded up). Errors: PPT_ERANGE. */
int selection_gamma(double eta, double mean, double *ret_gamma, struct error *err);

/* The curve of the whole tuning from that of one run: with m = E[K],
 *   negative binomial: rho(a) + log(m)/(a-1) + (1+eta) min_b[(1-1/b) rho(b) +
 *                      log(1/gamma)/b], b over the grid;
 *   Poisson: rho(a) + log(m)/(a-1) + m d, one run being (log(1 + 1/(a-1)), d)-DP;
 * then lowered to what later orders imply, since D grows with the order. Unit and
 * relation stay.
 * Errors: PPT_ERANGE (parameters; a curve with a delta, for which this is not proven).
 */
int selection_curve(const struct curve *run, const struct selection *selection,
                    struct curve *ret_tuning, struct error *err);

#endif
