/* What the tests of whole federations share: small data, a spec, a plan, and the parts
 * of a spec that a case turns on. A case changes the globals, then runs worlds. */
#ifndef PPT_TESTS_UNIT_FL_FL_WORLD_H
#define PPT_TESTS_UNIT_FL_FL_WORLD_H

#include <pthread.h>

#include "jobs/dp/dp_run.h"
#include "jobs/fl/fl_run.h"
#include "tests/unit/dp/run_fixture.h"

/* The fixture of runs (which teardown ends), as a federation: batches of 5, 2 epochs.
 */
void setup_federation(void);

/* 20 clients, or a client a record where they are users; after use_privacy(). */
void use_federation(enum spec_partition partition, int64_t cohort, int64_t rounds);
void use_privacy(double clip_norm);
void use_secagg(double max_norm);
void use_noise_by_clients(enum spec_noise_kind kind, int64_t participants,
                          int64_t min_survivors);
/* After use_privacy and use_federation with users: passes over all of them. */
void use_fixed_order(double noise_multiplier, int64_t bands);

void use_rule(enum spec_rule rule, enum spec_before before);
void use_attack(enum spec_attack_kind kind);
/* Users of 1 to 40 records, whose ids are not in the order of the records. */
void use_users(void);

/* A world of `size` ranks that run it; the caller frees it by world_free(). */
struct world federation_of(int size);
void expect_same_model(const struct world *a, const struct world *b);

/* What went into the first reduction, over all ranks. */
struct seen {
    pthread_mutex_t mutex;
    double sum[4096];
    size_t n;
};

/* Runs a world of `size` with a new meter. */
struct seen run_seen(int size);

/* Of one record of the fixture's, in softmax regression: the gradient of its
 * cross-entropy at w, weights [dims][classes] and behind them the biases. */
enum { FL_WORLD_DIMS = 12, FL_WORLD_CLASSES = 3 };
void softmax_gradient(const double *w, const float *x, int32_t label, double *ret);

#endif
