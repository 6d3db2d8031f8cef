/* The few functions of statistics that audits need, written from their definitions and
 * apart from jobs/privacy, whose prices they test.
 */
#ifndef PPT_TESTS_AUDIT_STATS_H
#define PPT_TESTS_AUDIT_STATS_H

#include <stddef.h>
#include <stdint.h>

/* P(X <= x) of a standard normal X, and its inverse by bisection. */
double stats_normal(double x);
double stats_normal_inverse(double p);

/* P(Bin(n, p) >= k). */
double stats_binomial_tail(int64_t n, double p, int64_t k);

/* Clopper and Pearson 1934: after k successes in n trials the probability of success
 * is at most / at least this, each with confidence 1 - alpha. */
double stats_upper(int64_t n, int64_t k, double alpha);
double stats_lower(int64_t n, int64_t k, double alpha);

/* Of sum, a chi-square variable with m degrees of freedom: the smaller of
 * P(X <= sum) and P(X >= sum). */
double stats_chi2_tail(double m, double sum);

/* sqrt(n) times the largest distance between the empirical law of x[n] (sorted by the
 * call) and the standard normal; P(it exceeds t) <= 2 exp(-2 t^2) (Massart 1990). */
double stats_kolmogorov(double *x, size_t n);

/* sqrt(n) times the correlation of a[n] and b[n]; about standard normal where they are
 * independent. */
double stats_correlation(const double *a, const double *b, size_t n);

/* delta(epsilon) of a Poisson-subsampled Gaussian release with one record in or out:
 * rate 1 and mu = sqrt(T) / sigma stands for T full-batch releases (Balle, Wang 2018,
 * arXiv 1805.06530). Of the direction that whoever guesses "it is in" attacks; at rate
 * 1 both are equal. */
double stats_delta(double mu, double rate, double epsilon);

/* The epsilon at delta, and the mu at (epsilon, delta), by bisection. */
double stats_epsilon(double mu, double rate, double delta);
double stats_mu(double epsilon, double delta);

#endif
