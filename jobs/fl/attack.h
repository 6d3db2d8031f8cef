/* Clients that are false, simulated: to test a federation's rule on data that are
 * nobody's secret. Private to this room, but for tests.
 *
 * Which clients is drawn from the seed. They know all honest updates of their round and
 * act together:
 *   sign_flip   the opposite of the own update
 *   label_flip  trained on labels y turned into n_classes - 1 - y
 *   alie        mean - z std of the honest ones, coordinate by coordinate, with the z
 *               that hides among them: Phi(z) = (n - f - s) / (n - f), s = n / 2 + 1 -
 * f (Baruch et al., NeurIPS 2019, arXiv 1902.06156) ipm         -strength times their
 * mean (Xie et al., UAI 2019, arXiv 1903.03936) min_max     mean - g std with the
 * largest g such that it is no further from any honest one than they are from each
 * other (Shejwalkar, Houmansadr, NDSS 2021) mimic       the update of the honest member
 * with the lowest number (Karimireddy et al., ICLR 2022, arXiv 2006.09365, without its
 * search for one) nan         no numbers
 */
#ifndef PPT_JOBS_FL_ATTACK_H
#define PPT_JOBS_FL_ATTACK_H

#include "jobs/fl/stack.h"
#include "jobs/spec/spec.h"

struct attack {
    const struct spec_attack *spec;
    bool *is_false; /* [n_clients]; NULL: there is no attack */
};

/* Close with attack_close. Errors: PPT_ESPEC (more than there are clients),
 * PPT_ENOMEM. */
int attack_open(struct attack *attack, const struct spec *spec, int64_t n_clients,
                struct error *err);
void attack_close(struct attack *attack);

static inline bool attack_is_by(const struct attack *attack, int64_t client)
{
    return attack->is_false != NULL && attack->is_false[client];
}

/* Does the client train on turned labels? */
bool attack_turns_labels(const struct attack *attack, int64_t client);

/* What a false client makes of its own update[n] by itself. */
void attack_alone(const struct attack *attack, int64_t client, float *update,
                  int64_t n);

/* What the false ones among members[stack->n] make of all updates. Every rank calls it.
 * Errors: PPT_ECOMM, PPT_ENOMEM. */
int attack_together(const struct attack *attack, const int64_t *members,
                    struct stack *stack, struct error *err);

#endif
