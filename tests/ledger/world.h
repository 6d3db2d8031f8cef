/* A small site for tests of the ledger: an organisation, a data set, their limits, one
 * connection for each part that people play.
 */
#ifndef PPT_TESTS_LEDGER_WORLD_H
#define PPT_TESTS_LEDGER_WORLD_H

#include "scheduler/ledger.h"
#include "scheduler/queue.h"
#include "tests/pg/pg.h"

#define WORLD_ACCOUNT "acme/research/vision"
#define WORLD_DATASET "digits"

struct world {
    struct db *officer, *scheduler, *alice, *bob, *root;
    struct ledger_lease lease;
};

/* A fresh database with accounts acme, acme/research, acme/research/vision (alice is a
 * member of acme/research), acme/sales (bob), and the data set digits with a limit of
 * (100, 1e-6). acme has no limit yet. The scheduler holds the lease. */
struct world world_open(void);
void world_close(struct world *world);

/* Another one as `original`, in the database of that name (pg_database), was when it
 * was closed; the lease is the same. Cheaper than to open one and to fill it again. */
struct world world_copy(const char *database, const struct world *original);

/* Grants by example, add/remove; dies if refused. account or dataset may be NULL. */
void world_grant(struct world *world, const char *account, const char *dataset,
                 double epsilon, double delta);

/* A Gaussian-shaped cost: rho = alpha * x nats at every order. */
struct cost world_cost(double x);

/* A cost that is `nats` at one order of the grid and infinite elsewhere. */
struct cost world_cost_at(int order, double nats);

struct ledger_request world_request(int64_t job_id, const struct cost *cost);

/* Submits as alice to the account on digits. */
int64_t world_submit(struct world *world, const char *account);

/* Submits and asks for admission; dies on an error. */
int64_t world_admit(struct world *world, const char *account, const struct cost *cost,
                    enum ledger_answer *ret_answer);

/* Ends a running or admitted job: done if it runs, else cancelled. */
void world_end(struct world *world, int64_t job_id, const struct cost *spent);

/* Dies unless ledger_check finds nothing. */
void world_check(struct world *world);

#endif
