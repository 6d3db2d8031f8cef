#include "tests/ledger/world.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int rc, const char *what, const struct error *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "world: %s: %s\n%s\n", what, err->text, err->detail);
    abort();
}

static struct world connect_all(void)
{
    return (struct world){.officer = pg_connect("officer"),
                          .scheduler = pg_connect("scheduler"),
                          .alice = pg_connect("alice"),
                          .bob = pg_connect("bob"),
                          .root = pg_connect(NULL)};
}

struct world world_open(void)
{
    struct error err = {0};
    struct ledger_dataset dataset = {.name = WORLD_DATASET,
                                     .file = "/data/digits.h5",
                                     .manifest = (char[]){"name: digits\n"},
                                     .unit = UNIT_EXAMPLE,
                                     .relation = RELATION_ADD_REMOVE};
    const char *const accounts[] = {"acme", "acme/research", WORLD_ACCOUNT,
                                    "acme/sales"};
    pg_fresh();
    struct world world = connect_all();
    for (int i = 0; i < 4; i++)
        must(ledger_account_create(world.officer, accounts[i], &err), "account", &err);
    must(ledger_member_add(world.officer, "acme/research", "alice", &err), "member",
         &err);
    must(ledger_member_add(world.officer, "acme/sales", "bob", &err), "member", &err);
    must(ledger_dataset_add(world.officer, &dataset, 100, 1e-6, NULL, "test", &err),
         "data set", &err);
    must(ledger_lease_acquire(world.scheduler, "test", 600, &world.lease, &err),
         "lease", &err);
    return world;
}

struct world world_copy(const char *database, const struct world *original)
{
    pg_fresh_copy(database);
    struct world world = connect_all();
    world.lease = original->lease;
    return world;
}

void world_close(struct world *world)
{
    db_close(world->officer);
    db_close(world->scheduler);
    db_close(world->alice);
    db_close(world->bob);
    db_close(world->root);
}

void world_grant(struct world *world, const char *account, const char *dataset,
                 double epsilon, double delta)
{
    struct error err = {0};
    struct ledger_grant grant = {.account = account,
                                 .dataset = dataset,
                                 .epsilon = epsilon,
                                 .delta = delta,
                                 .unit = UNIT_EXAMPLE,
                                 .relation = RELATION_ADD_REMOVE,
                                 .reason = "test"};
    must(ledger_grant(world->officer, &grant, &err), "grant", &err);
}

struct cost world_cost(double x)
{
    struct error err = {0};
    struct curve curve = {.unit = UNIT_EXAMPLE, .relation = RELATION_ADD_REMOVE};
    struct cost cost;
    for (int i = 0; i < COST_N_ORDERS; i++)
        curve.rho[i] = cost_orders[i] * x;
    must(cost_from_curve(&curve, 1, &cost, &err), "cost", &err);
    return cost;
}

struct cost world_cost_at(int order, double nats)
{
    struct cost cost = world_cost(0);
    for (int i = 0; i < COST_N_ORDERS; i++)
        cost.rho[i] =
            i == order ? (int64_t)ceil(nats * COST_RHO_PER_NAT) : COST_INFINITE;
    return cost;
}

struct ledger_request world_request(int64_t job_id, const struct cost *cost)
{
    return (struct ledger_request){.job_id = job_id,
                                   .is_private = true,
                                   .cost = *cost,
                                   .epsilon = 1,
                                   .delta = 1e-6,
                                   .noise_multiplier = 1,
                                   .sample_rate = 0.01,
                                   .n_steps = 100,
                                   .kind = "dp",
                                   .n_ranks = 1,
                                   .n_cores = 1,
                                   .memory_bytes = 1 << 20,
                                   .time_limit_s = 60};
}

int64_t world_submit(struct world *world, const char *account)
{
    static int n_submitted;
    struct error err = {0};
    char token[32];
    int64_t id = 0;
    snprintf(token, sizeof token, "token-%d", ++n_submitted);
    must(queue_submit(world->alice, "job", account, WORLD_DATASET, "{}\n", token, &id,
                      &err),
         "submit", &err);
    return id;
}

int64_t world_admit(struct world *world, const char *account, const struct cost *cost,
                    enum ledger_answer *ret_answer)
{
    struct error err = {0};
    struct ledger_verdict verdict;
    int64_t id = world_submit(world, account);
    struct ledger_request request = world_request(id, cost);
    must(ledger_reserve(world->scheduler, &world->lease, &request, &verdict, &err),
         "reserve", &err);
    *ret_answer = verdict.answer;
    return id;
}

void world_end(struct world *world, int64_t job_id, const struct cost *spent)
{
    struct error err = {0};
    struct queue_job job;
    must(queue_find(world->root, job_id, &job, &err), "find", &err);
    queue_job_free(&job);
    struct queue_outcome outcome = {
        .state = job.state == QUEUE_RUNNING ? QUEUE_DONE : QUEUE_CANCELLED,
        .spent = *spent};
    must(queue_finish(world->scheduler, &world->lease, job_id, &outcome, &err),
         "finish", &err);
}

void world_check(struct world *world)
{
    struct error err = {0};
    int n_faults = 0;
    must(ledger_check(world->root, &n_faults, &err), "check", &err);
    if (n_faults > 0) {
        fprintf(stderr, "world: %d faults in the ledger\n%s\n", n_faults, err.detail);
        abort();
    }
}
