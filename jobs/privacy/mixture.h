/* Gaussian noise on a shift that is itself random: sum_k w_k N(c_k, s^2) against
 * N(0, s^2). A user with several records, each sampled alone.
 *
 * Internal to jobs/privacy: pld.h is the way in. pld.md, section 8, proves that the
 * pair dominates: c_k bounds the norm of the k-th shift, whatever its direction.
 */
#ifndef PPT_JOBS_PRIVACY_MIXTURE_H
#define PPT_JOBS_PRIVACY_MIXTURE_H

#include "base/error.h"

#define MIXTURE_MAX 65

struct tails;

struct mixture {
    int n;
    double shift[MIXTURE_MAX]; /* c_k >= 0, increasing, over the noise's unit */
    double weight[MIXTURE_MAX];
    double rel; /* of each weight */
};

/* Shifts at least 0, increasing, the last above 0; weights above 0 that sum to 1.
 * Errors: PPT_ERANGE. */
int mixture_check(const struct mixture *mixture, struct error *err);

/* A user's n_records records (1 to MIXTURE_MAX - 1), each in the sample with chance
 * `rate` in [2^-53, 1): shifts 0..n_records with binomial weights; those below 1e-290
 * are counted as one shift more. Errors: PPT_ERANGE. */
int mixture_binomial(int n_records, double rate, struct mixture *ret_mixture,
                     struct error *err);

/* Masses above and below a loss under noise s, as pair_tails promises them. */
void mixture_tails_at(const struct mixture *mixture, double s, double loss,
                      struct tails *ret_tails);

#endif
