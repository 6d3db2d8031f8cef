/* One release as a dominating pair of laws (P, Q), seen through its privacy loss
 * L = log dP/dQ: how much of P and of Q lies above and below any loss.
 *
 * Internal to jobs/privacy: pld.h is the way in. Pairs are described by plain data:
 *   GAUSSIAN  P = N(1, s^2), Q = N(0, s^2): sensitivity 1 in L2, s = scale
 *   LAPLACE   the same with Laplace noise of scale b = scale, sensitivity 1 in L1
 *   ATOMS     any two discrete laws, see atoms.h
 *   MIXTURE   Gaussian noise on a random shift, see mixture.h; rate is 1
 *   TRUNCATED Gaussian noise on a sample that may be cut, see truncated.h; rate is 1
 * each with or without Poisson subsampling at `rate`: with R = (1-q) Q + q P,
 *   REMOVE    the pair (R, Q)        one record taken out
 *   ADD       the pair (Q, R)        one record put in
 *   REPLACE   ((1-q) Q + q N(1), (1-q) Q + q N(-1)), GAUSSIAN only: one record replaced
 *   EXCHANGE  REMOVE where losses are positive, else ADD: one record replaced in a
 *             sample of a fixed size, where P and Q are shifts by 1 under replacement
 * They dominate, also when a direction is composed with itself adaptively: Zhu, Dong,
 * Wang 2022 (arXiv 2106.08567); pld.md, section 1, has a proof for all three.
 */
#ifndef PPT_JOBS_PRIVACY_PAIR_H
#define PPT_JOBS_PRIVACY_PAIR_H

#include "base/error.h"

enum pair_noise {
    PAIR_GAUSSIAN,
    PAIR_LAPLACE,
    PAIR_ATOMS,
    PAIR_MIXTURE,
    PAIR_TRUNCATED
};
enum pair_direction { PAIR_REMOVE, PAIR_ADD, PAIR_REPLACE, PAIR_EXCHANGE };

struct atoms;
struct mixture;
struct truncated;

struct pair {
    enum pair_noise noise;
    enum pair_direction direction;
    double scale;              /* of the noise over the sensitivity */
    double rate;               /* of Poisson subsampling, in (0, 1]; 1: none */
    const struct atoms *atoms; /* PAIR_ATOMS; the caller keeps it */
    union {
        const struct mixture *mixture;     /* PAIR_MIXTURE; the same */
        const struct truncated *truncated; /* PAIR_TRUNCATED; the same */
    };
};

/* Where the bounds below are proven. */
#define PAIR_MIN_SCALE 0.05
#define PAIR_MAX_SCALE 1e7
#define PAIR_MIN_RATE 0x1p-53
#define PAIR_MAX_LOSS 600.0

/* Masses with L > loss (up) and L <= loss (low); infinite loss is left out, see
 * pair_infinite. Each is right to `rel` times itself (and to 1e-300 absolutely) at some
 * loss no further than `shift` from the one asked for. */
struct tails {
    double up_p, low_p, up_q, low_q;
    double rel, shift;
};

/* Errors: PPT_ERANGE names what is out of range. */
int pair_check(const struct pair *pair, struct error *err);

/* loss in [-PAIR_MAX_LOSS, PAIR_MAX_LOSS]; the pair passed pair_check. */
void pair_tails(const struct pair *pair, double loss, struct tails *ret_tails);

/* P's mass where the loss is infinite. */
double pair_infinite(const struct pair *pair);

/* A loss that is never exceeded, rounded up; INFINITY where there is none. */
double pair_largest_loss(const struct pair *pair);

/* P(S) - e^epsilon Q(S) at its largest, rounded up: delta(epsilon) of one release.
 * |epsilon| <= PAIR_MAX_LOSS. */
double pair_delta(const struct pair *pair, double epsilon);

#endif
