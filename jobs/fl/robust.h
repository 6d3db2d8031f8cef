/* A round whose server does not trust all of its clients: the updates of the cohort are
 * gathered side by side, slice by slice, and one of the rules of
 * federation.robust takes the place of the mean. Without a rule it is the mean, of
 * clients some of which an attack has made false. Plain jobs with equal weights only.
 * Private to this room, but for tests.
 *
 * - A client without records counts as absent; one that sends what is no update (a NaN,
 *   an infinity, a coordinate above STACK_MOST) is left out and was one of the
 *   `byzantine` that the rule is prepared for.
 * - By secure aggregation the server sees means of groups, dealt at random in each
 * round, of secagg.group clients or more: that is the anonymity set of a client, no
 * larger. The rule chooses among groups, of which `byzantine` at most hold a false
 * client. That a client keeps to max_norm is promised by its software and proven to
 * nobody. With an attack, which knows all updates, the ranks that play the clients know
 * them too; without one, nobody does.
 * - The model is the same bits for any number of ranks (stack.h).
 * Memory of a rank: 4 bytes for each client of the cohort and coordinate of its slice,
 * as much again with before: nearest (half of it and less with buckets), 60 bytes for
 * each pair of clients where distances between them count.
 */
#ifndef PPT_JOBS_FL_ROBUST_H
#define PPT_JOBS_FL_ROBUST_H

#include "jobs/dp/trainer.h"
#include "jobs/fl/cohort.h"
#include "jobs/fl/local.h"
#include "jobs/fl/partition.h"
#include "jobs/fl/secure.h"
#include "jobs/fl/stack.h"

struct robust {
    const struct spec_robust *spec;
    struct secure *secure; /* NULL: the server sees each update */
    int64_t group;         /* secagg.group; 0: all are one */
    float *given;          /* [2 group][n_padded]: with secure and an attack */
    struct trainer *trainer;
    struct local *local;
    const struct cohort *cohort;
    struct stack stack, mixed;
    struct crypto_stream *stream; /* of buckets */
    float *whole;                 /* [n_padded] */
    double *center;               /* [n_slice] */
    int64_t *members;             /* [cohort]: those with records */
    bool *is_kept;                /* [cohort] */
    int *player;                  /* [cohort]: the rank of each ... */
    int64_t *turn;                /* [cohort]: ... and the how manieth of it, from 0 */
    int64_t *n_turns;             /* [ranks] */
    int64_t n_refused, n_false;   /* of the last round: no updates; by attack.h */
    int64_t
        n_hidden; /* of the last round, with secure: clients behind the smallest sum */
};

/* How many arrays of n_slice the rule keeps from round to round, behind those of the
 * trainer's optimizer. */
int robust_n_states(const struct spec_robust *spec);

/* All of it is kept by the caller for as long. Close with robust_close.
 * Errors: PPT_ENOMEM. */
int robust_open(struct robust *robust, const struct spec *spec, struct trainer *trainer,
                struct local *local, const struct cohort *cohort, struct secure *secure,
                struct error *err);
void robust_close(struct robust *robust);

/* The round trainer->step of the cohort that was drawn, and the model's update by it.
 * Every rank calls it. Errors: those of local_train, PPT_ERANGE (more than `byzantine`
 * sent what is no update, or too few clients are left for the rule), PPT_ECOMM,
 * PPT_ENOMEM. */
int robust_run(struct robust *robust, struct error *err);

/* This rank's slice of what the rule makes of the stack, of whose vectors n_byzantine
 * at most are false. center[n_slice]: the last round's in, the outcome out. For tests
 * too. Errors: PPT_ERANGE (too few for the rule), PPT_ECOMM, PPT_ENOMEM. */
int robust_rule(const struct spec_robust *spec, const struct stack *stack,
                int64_t n_byzantine, double *center, struct error *err);

#endif
