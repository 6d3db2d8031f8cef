/* What the tests of the ledger's rules share: a world with accounts and a data set,
 * made anew for each test on one server, and short words for it. */
#ifndef PPT_TESTS_UNIT_SCHEDULER_LEDGER_FIXTURE_H
#define PPT_TESTS_UNIT_SCHEDULER_LEDGER_FIXTURE_H

#include <check.h>
#include <stdint.h>

#include "tests/ledger/world.h"

#define TOP "acme"
#define MIDDLE "acme/research"
#define LEAF WORLD_ACCOUNT

/* Fails the test with the error's words. */
#define OK(call)                                                                       \
    do {                                                                               \
        int rc_ = (call);                                                              \
        ck_assert_msg(rc_ == 0, "%s: %s (%s)", #call, err.text, err.detail);           \
    } while (0)
#define FAILS(code, call) ck_assert_int_eq((call), -(code))

extern struct world world;
extern struct error err;

struct ledger_verdict reserve(int64_t job_id, const struct cost *cost);

/* The pot of this account and data set, either "". */
struct ledger_pot find_pot(const char *account, const char *dataset);

enum queue_state state_of(int64_t job_id);

/* The number that a query gives. */
int64_t count(const char *sql);

/* Everything that a pot can hold at the moment, infinite where no order is usable. */
struct cost all_of(const struct ledger_pot *pot);

/* Where this order stands in cost_orders. */
int order_index(double alpha);

/* main: the tests, each in a world of its own. */
int ledger_fixture_run(const char *name, const TTest *const *tests, int n);

#endif
