/* PrivUnitG: how a client says a direction at a pure epsilon (Asi, Feldman, Talwar:
 * Optimal algorithms for mean estimation under local differential privacy, ICML 2022,
 * arXiv 2205.02466, section 4; after PrivUnit of Bhowmick et al. 2018, arXiv
 * 1812.00984, with normal vectors in the place of the sphere).
 *
 * The mechanism, for a vector u of length 1 in d dimensions: with chance p a normal
 * vector Z given that <Z, u> >= gamma, else one given that it is not. What is said has
 * mean m u,
 *     m = phi(gamma) (p / Q - (1 - p) / (1 - Q)),   Q = P(N(0, 1) >= gamma),
 * as E[t; t >= gamma] = phi(gamma), and d - 1 of its coordinates have variance 1: Z / m
 * has mean u and a squared error of about d / m^2.
 *
 * Privacy, with the arithmetic that runs: draws are z, Z rounded to multiples of
 * 2^-PRIV_UNIT_BITS, and kept where the scalar product that is computed says so. Let mu
 * be the chance of that for u, mu' for u'. Any z comes with its own chance times p / mu
 * or (1 - p) / (1 - mu). The product is off by at most
 *     sqrt(d) 2^-(PRIV_UNIT_BITS + 1) + d^1.5 2^-49 < 2^-12 = s
 * (rounding Z; adding up d terms in double, no draw being farther out than 16; a
 * direction whose length is 1 but for 2^-50 d), for d <= PRIV_UNIT_MOST_VALUES; so
 * Q(gamma + s) <= mu <= Q(gamma - s) whatever u is, <Z, u> being normal for each. Hence
 * the largest ratio between u and u' at one z is
 *     (p / mu) (1 - mu') / (1 - p) <= p / (1 - p) (1 - Q(gamma + s)) / Q(gamma + s),
 * which p is chosen to keep at e^epsilon or below; those of two on the same side, below
 * e^0.003, are no larger as epsilon >= 0.01. It is pure: what was drawn is what is
 * said, and which bits that has does not depend on u. (Draws are exact but for an event
 * below 2^-62 in a job: kernels/grid.h.)
 */
#ifndef PPT_JOBS_PRIVACY_PRIV_UNIT_H
#define PPT_JOBS_PRIVACY_PRIV_UNIT_H

#include <stdint.h>

#include "base/error.h"

#define PRIV_UNIT_BITS 30
#define PRIV_UNIT_MOST_VALUES (1 << 24)
#define PRIV_UNIT_LEAST_EPSILON 0.01
#define PRIV_UNIT_MOST_EPSILON 30.0
/* As far as gamma goes: a draw is kept with chance 0.0062 then, which takes 161 of them
 * on average. Longer caps are better from epsilon 6 on. */
#define PRIV_UNIT_MOST_GAMMA 2.5

struct priv_unit {
    double epsilon, gamma;
    double p;       /* whole / 2^53 */
    uint64_t whole; /* 0 .. 2^53 */
    double m;
};

/* The gamma, a multiple of 1/64, with the largest m. Errors: PPT_ERANGE (epsilon not
 * between the least and the most). */
int priv_unit_plan(double epsilon, struct priv_unit *ret_plan, struct error *err);

#endif
