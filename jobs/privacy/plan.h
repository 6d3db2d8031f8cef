/* A plan as it is asked about: mechanisms and whole trainings together, for a user's
 * records, or as the best of several runs; and what each accountant says of it.
 *
 * Guarantee: upper bounds for a plan fixed beforehand. What an accountant has no bound
 * for it refuses, and says why.
 */
#ifndef PPT_JOBS_PRIVACY_PLAN_H
#define PPT_JOBS_PRIVACY_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/accountant.h"
#include "jobs/privacy/notation.h"
#include "jobs/privacy/scheme.h"
#include "jobs/privacy/selection.h"

struct plan_part {
    bool is_scheme;
    struct notation notation; /* or */
    struct scheme scheme;
};

struct plan {
    int n; /* parts, 1 to RENYI_MAX_RELEASES */
    struct plan_part parts[RENYI_MAX_RELEASES];
    int unknown;       /* index of the part with a ?, or -1 */
    int64_t n_records; /* of one user, at most; 1: per example */
    bool is_best_of;   /* the best of a random number of runs of all of it */
    struct selection selection;
};

struct plan_answer {
    double epsilon;
    double order;     /* as accountant_epsilon's */
    const char *note; /* what the price leaves out or rests on; NULL: nothing */
};

/* A mechanism (notation.h) or a scheme. Errors: PPT_EUSAGE. */
int plan_parse_part(const char *text, struct plan_part *ret_part, struct error *err);

/* negative-binomial:eta=1,mean=10 or poisson:mean=10. Errors: PPT_EUSAGE, PPT_ERANGE.
 */
int plan_parse_selection(const char *text, struct selection *ret_selection,
                         struct error *err);

/* The plan's releases, for one example. Errors: PPT_ERANGE, PPT_ENOMEM. */
int plan_releases(const struct plan *plan, struct renyi_release *ret_releases,
                  int *ret_n, struct error *err);

/* epsilon at delta in (0, 1). Users of unsampled noise are priced as a shift n_records
 * times as far; others, and the best of several runs, by Renyi curves on the ledger's
 * orders only (group.h, selection.h). Errors: PPT_ERANGE (a value out of range, or no
 * bound), PPT_ENOMEM. */
int plan_epsilon(enum accountant_kind accountant, const struct plan *plan, double delta,
                 struct plan_answer *ret_answer, struct error *err);

/* Puts the least private value of what is ? in its place, with which the plan meets
 * epsilon at delta by this accountant, to a relative 1e-6, rounded to the private side;
 * the answer was priced. In schemes the noise can be looked for, elsewhere whatever
 * calibrate.h finds; beside schemes, for users and for the best of several, noise only.
 * Errors: PPT_ERANGE, PPT_ENOMEM. */
int plan_solve(enum accountant_kind accountant, struct plan *plan, double epsilon,
               double delta, struct error *err);

#endif
