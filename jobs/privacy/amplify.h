/* What sampling does to the Renyi curve of any mechanism: general bounds.
 *
 * Internal to jobs/privacy and its tests: everybody else goes through mechanism.h. The
 * base mechanism is only known by its curve, and by its largest loss where it has one.
 * Both bounds are theorems at whole orders and are interpolated between them, since
 * (alpha - 1) D_alpha is convex; above BINOMIAL_MAX_ORDER the base's own curve is the
 * answer (sampling never makes it worse: A is jointly convex).
 */
#ifndef PPT_JOBS_PRIVACY_AMPLIFY_H
#define PPT_JOBS_PRIVACY_AMPLIFY_H

struct amplify_base {
    /* D_alpha bound in nats of one release over the whole data, any alpha > 1 */
    double (*rho)(const void *context, double alpha);
    const void *context;
    double loss; /* the largest privacy loss; INFINITY where there is none */
    /* the noise multiplier where the base is Gaussian under replace-one; else 0 */
    double gaussian;
};

/* A Poisson sample at rate q in (0, 1): every record is in it or not, alone; add/remove
 * relation for the base and for the result. P and Q are the base with and without the
 * record, the rest of the sample given (A is jointly convex, so the worst rest bounds
 * the mixture over it), x = P/Q, R = (1-q) Q + q P, u = alpha - 1.
 *   Removing: A(R||Q) = E_Q[(1-q+qx)^alpha] = sum_k C(alpha,k) (1-q)^{alpha-k} q^k
 *   E_Q[x^k] at whole alpha, and E_Q[x^k] <= e^{(k-1) rho(k)}. Nothing is lost.
 *   Adding: A(Q||R) - 1 = E_Q[f(q(x-1))], f(y) = (1+y)^-u - 1 + u y, as E_Q[x] = 1.
 *   f(y)/y^2 falls with y (it is the integral of (1-z) u (u+1) (1+zy)^{-u-2}), and
 *   x >= e^-loss, so with z = q (1 - e^-loss) that is at most
 *   f(-z)/(1 - e^-loss)^2 * (e^{rho(2)} - 1); nor is the loss ever above -log(1-z).
 * The larger of both is the curve. Compare Zhu, Wang 2019 (PMLR 97, "Poisson subsampled
 * Renyi differential privacy"), Theorem 5, whose factor of 3 this avoids. */
void amplify_poisson(const struct amplify_base *base, double q, const double *alphas,
                     int n, double *ret_rho);

/* A sample of a fixed number of records, q in (0, 1) of all, without replacement;
 * replace-one relation for the base and for the result. Wang, Balle, Kasiviswanathan
 * 2019 (arXiv 1808.00087): Theorem 9; for the Gaussian also Theorem 27, whose even
 * moments B(l) = E_Q[(P/Q - 1)^l] are exact for it. */
void amplify_without_replacement(const struct amplify_base *base, double q,
                                 const double *alphas, int n, double *ret_rho);

#endif
