/* Audits of the engine from outside: what it sends and releases, never how it works.
 *
 * Each audit runs whole jobs by dp_run in the world of tests/unit/dp and judges named
 * properties ("divisor", "variance"). A property that fails once has failed. The same
 * audits run against engines that are broken on purpose: see README.md.
 */
#ifndef PPT_TESTS_AUDIT_AUDIT_H
#define PPT_TESTS_AUDIT_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/unit/dp/world.h"

/* Judges a property; the words are printed where it does not hold, a few times. */
void audit_judge(bool holds, const char *property, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends the program: the audit itself is at fault. */
void audit_stop(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* len fresh bytes of the run's seed: from the operating system, or PPT_AUDIT_SEED. */
void audit_random(void *ret, size_t len);

/* A meter for plans like this one on which so many runs may be charged, in memory where
 * there is a file system for it. Close with audit_meter_close. */
struct meter *audit_meter(const struct plan *plan, int64_t n_runs);
void audit_meter_close(struct meter *meter);

/* world_run with these or with fresh keys; every rank must succeed. */
void audit_run(struct world *world);
void audit_run_fresh(struct world *world);

/* The audits (privacy.md, C4, calls them T1, T2 and T3). */
void audit_step(void);
void audit_noise(void);
void audit_noise_short(void); /* a plan with 2 % less noise than it is judged by */
void audit_toy(int64_t n_runs);
void audit_chunks(int64_t n_runs);

#endif
