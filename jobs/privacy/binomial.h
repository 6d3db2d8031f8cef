/* Sums over the binomial law of how many copies of a record a moment holds.
 *
 * Internal to jobs/privacy. A moment of order n of a subsampled release is 1 +
 * sum_{k=2}^n C(n,k) (1-q)^{n-k} q^k g_k with every g_k >= 0: all terms are positive
 * and nothing cancels however small the rate.
 */
#ifndef PPT_JOBS_PRIVACY_BINOMIAL_H
#define PPT_JOBS_PRIVACY_BINOMIAL_H

#define BINOMIAL_MAX_ORDER 2048

/* Terms that all orders share. */
struct binomial {
    int max_order;
    double log_factorial[BINOMIAL_MAX_ORDER + 1];
    double head[BINOMIAL_MAX_ORDER + 1]; /* log(q^k g_k / k!), k >= 2 */
    double log_rest;                     /* log(1 - q), or 0 */
};

/* log_gain[k] = log g_k for 2 <= k <= max_order <= BINOMIAL_MAX_ORDER; -INFINITY is
 * fine. */
void binomial_init(struct binomial *binomial, int max_order, double q, double log_rest,
                   const double *log_gain);

/* The log of the sum above without its 1; -INFINITY for orders below 2. */
double binomial_log_excess(const struct binomial *binomial, int order);

#endif
