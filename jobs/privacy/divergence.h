/* Closed forms of Renyi divergences D_alpha(P||Q), in nats, at any order alpha > 1.
 *
 * Internal to jobs/privacy and its tests: everybody else goes through mechanism.h.
 * Guarantee: each value is at least the true one and exceeds it by a relative
 * 2 * DIVERGENCE_SLACK at most (orders in [1 + 2^-10, 65536]); none of the formulas
 * subtracts nearly equal numbers, however small the divergence. divergence.c derives
 * them. All pairs here are symmetric (D(P||Q) = D(Q||P)) or, for the bounded range, the
 * worst of both directions.
 */
#ifndef PPT_JOBS_PRIVACY_DIVERGENCE_H
#define PPT_JOBS_PRIVACY_DIVERGENCE_H

#define DIVERGENCE_SLACK 1e-11

/* N(0, s^2) and N(1, s^2): alpha / 2 s^2. Also a bound for the discrete Gaussian with
 * whole-numbered shifts, scalar or vector, at every s > 0 (equality at whole orders):
 * Canonne, Kamath, Steinke 2020 (arXiv 2004.00010), Proposition 5. */
double divergence_gaussian(double alpha, double noise_multiplier);

/* Laplace noise of scale b on an answer that moves by t b in L1: Mironov 2017 (arXiv
 * 1702.07476), Proposition 6. (alpha-1) D is convex in t with value 0 at 0, so a vector
 * whose coordinates move by t in all costs no more than a scalar that does. */
double divergence_laplace(double alpha, double t);

/* Mass ~ e^{-|x|/b} on the whole numbers against itself shifted by `sensitivity`, a
 * whole number; vectors as above. */
double divergence_discrete_laplace(double alpha, double b, double sensitivity);

/* Skellam noise (mass e^{-variance} I_|x|(variance)) on whole-numbered answers with
 * these L1 and L2 sensitivities: Agarwal, Kairouz, Liu 2021 (arXiv 2110.04995), whose
 * bound for vectors holds at whole orders; between them (alpha-1) D is interpolated,
 * below 2 the value at 2 is taken. An upper bound, not the exact value. */
double divergence_skellam(double alpha, double variance, double sensitivity_l1,
                          double sensitivity_l2);

/* Two laws with P/Q = e^loss on mass p of P, e^-loss on mass p of Q, 1 elsewhere:
 * randomised response; and the worst of all epsilon-DP pairs with loss = epsilon,
 * p = 1/(1+e^-epsilon) (Kairouz, Oh, Viswanath 2015, arXiv 1311.0776). */
double divergence_two_point(double alpha, double loss, double p);
double divergence_pure(double alpha, double epsilon);

/* Every mechanism whose privacy loss between any two neighbours stays within an
 * interval of length epsilon, such as the exponential mechanism: Dong, Durfee, Rogers
 * 2020 (arXiv 1909.13830). P/Q stays within [e^{t-epsilon}, e^t] with mean 1 under Q,
 * and (P/Q)^alpha is convex, so for each t a two-point pair at the ends is the worst.
 */
double divergence_bounded_range(double alpha, double epsilon);

/* log(e^{a l} - 1 - a (e^l - 1)) for a > 1 or a < 0: by Bernoulli's inequality the
 * argument is positive for l != 0. -INFINITY at l = 0. */
double divergence_log_bernoulli(double a, double l);

/* log(1 + e^x); log(e^x - 1), x > 0. */
double divergence_log1p_exp(double x);
double divergence_log_expm1(double x);

/* With cgf(alpha) = (alpha - 1) D_alpha convex and 0 at 1: a bound of D_alpha from
 * bounds at the whole orders below and above alpha (`below` is ignored for alpha < 2).
 */
double divergence_between(double alpha, double below, double above);

#endif
