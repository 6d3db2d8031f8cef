/* What the tests of whole runs, and of federations, share: small data, a spec, a plan,
 * a meter. A case changes the globals, then runs worlds. */
#ifndef PPT_TESTS_UNIT_DP_RUN_FIXTURE_H
#define PPT_TESTS_UNIT_DP_RUN_FIXTURE_H

#include "tests/unit/dp/world.h"

extern struct world_data train, test;
extern struct manifest manifest;
extern struct spec spec;
extern struct plan plan;
extern char meter_path[64];

/* The fixture: 240 records of 12 values in 3 classes, an MLP, no privacy. */
void setup(void);
void teardown(void);

/* The plan; takes_all: with every record in every sample. */
void use_steps(double noise_multiplier, int64_t n_steps, bool takes_all);

/* A world of `size` ranks on the globals; the caller frees it by world_free(). */
struct world world_of(int size);
/* Runs it, with a meter if the job is private (made anew at attempt 1). */
void run(struct world *world, int attempt);
/* And every rank succeeds. */
void run_well(struct world *world, int attempt);
/* The most that a parameter differs. */
double distance(const struct world *a, const struct world *b);

#endif
