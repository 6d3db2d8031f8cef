/* Models of the clients' own, beside the common one, and how well they do. Private to
 * this room, but for tests.
 *
 *   fine_tune  a client goes on from the common model, on its own records
 *   ditto      the same, held near the common model w: its loss has lambda/2 |v - w|^2
 *              more (Li, Hu, Beirami, Smith 2021, arXiv 2012.04221, objective (2), with
 *              w the last round's)
 *   fedrep     the last layer is each client's own, the others are common (Collins et
 *              al. 2021, arXiv 2102.07078): in a round a client first fits a last layer
 *              to the common ones, then trains these, and sends no change of the last
 *
 *   apfl       a mixture of the common model and one of its own, which goes on in the
 *              client's rounds (apfl.h)
 *
 * But for apfl a client has no memory between rounds here either: with fedrep its last
 * layer begins at the model's first one each time and gets `epochs` passes, which for
 * one layer over fixed features is a convex fit.
 *
 * A share of each client's records is held out: no round trains on them. After the last
 * round every client that consents makes its own model from the rest (apfl: has one by
 * then), and both models are asked about what was held out. What is told are quantiles
 * over the clients, never whose they are; in plain jobs only. What a client gets is a
 * function of (seed, its records, the common model), so it is the same bits for any
 * number of ranks.
 */
#ifndef PPT_JOBS_FL_PERSONAL_H
#define PPT_JOBS_FL_PERSONAL_H

#include "jobs/fl/round.h"

/* Shares of what was held out that came out right, over the clients. */
struct personal_spread {
    double mean, low, median, high; /* low, high: the 10th and 90th of 100 */
};

struct personal_outcome {
    int64_t n_clients; /* who have records that were held out */
    int64_t n_records; /* held out, of all of them */
    struct personal_spread common, own;
};

/* The spec has the section, and the round's are all made; every rank calls it and gets
 * the outcome. Memory: 24 bytes a client. Errors: those of rows->read, PPT_ECOMM,
 * PPT_ENOMEM, PPT_ESPEC (no client that consents has a record held out). */
int personal_run(struct round *round, struct personal_outcome *ret_outcome,
                 struct error *err);

/* The k-th smallest of n > 0 values, k = ceil(n share) at least 1; sorts them. */
double personal_quantile(double *values, int64_t n, double share);

#endif
