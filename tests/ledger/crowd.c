/* 64 processes submit and reserve at once against a tree four deep whose root has room
 * for exactly 100 of their 640 jobs. Exactly 100 are admitted, nobody deadlocks, the
 * sums are right.
 *
 *   ledger-crowd [ROUNDS]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/ledger/world.h"

#define N_PROCESSES 64
#define N_JOBS_EACH 10
#define N_ROOM 100

static const char *const leaves[] = {
    "org/a/x/1", "org/a/x/2", "org/a/y/1", "org/a/y/2",
    "org/b/x/1", "org/b/x/2", "org/b/y/1", "org/b/y/2",
};

static void must(int rc, const struct error *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "ledger-crowd: %s %s\n", err->text, err->detail);
    exit(1);
}

static void make_accounts(struct world *world)
{
    static const char *const inner[] = {"org",     "org/a",   "org/b",  "org/a/x",
                                        "org/a/y", "org/b/x", "org/b/y"};
    struct error err = {0};
    for (int i = 0; i < 7; i++)
        must(ledger_account_create(world->officer, inner[i], &err), &err);
    for (int i = 0; i < 8; i++)
        must(ledger_account_create(world->officer, leaves[i], &err), &err);
    must(ledger_member_add(world->officer, "org", "alice", &err), &err);
}

/* A cost of which exactly N_ROOM fit under the pot's caps: N_ROOM times it is at most
 * the cap at the order with most room, N_ROOM + 1 times it is above at every order. */
static struct cost one_of_hundred(const struct ledger_pot *pot)
{
    struct cost cost = world_cost(0);
    for (int i = 0; i < COST_N_ORDERS; i++)
        cost.rho[i] = pot->caps[i] < 0 ? COST_INFINITE / 4 : pot->caps[i] / N_ROOM;
    return cost;
}

/* Waits for the gate to open, then submits and reserves; the number admitted is the
 * exit status. */
static void be_one_of_the_crowd(int who, int gate, const struct ledger_lease *lease,
                                const struct cost *cost)
{
    struct error err = {0};
    struct ledger_verdict verdict;
    struct db *alice = pg_connect("alice"), *scheduler = pg_connect("scheduler");
    int n_admitted = 0;
    char byte;
    if (read(gate, &byte, 1) != 0)
        exit(255);
    for (int i = 0; i < N_JOBS_EACH; i++) {
        char token[32];
        int64_t id;
        snprintf(token, sizeof token, "%d-%d", who, i);
        must(queue_submit(alice, "crowd", leaves[(who + i) % 8], WORLD_DATASET, "{}",
                          token, &id, &err),
             &err);
        struct ledger_request request = world_request(id, cost);
        must(ledger_reserve(scheduler, lease, &request, &verdict, &err), &err);
        if (verdict.answer == LEDGER_ADMITTED)
            n_admitted++;
        else if (verdict.answer != LEDGER_WAIT ||
                 strcmp(verdict.pot.account, "org") != 0)
            exit(254);
    }
    db_close(alice);
    db_close(scheduler);
    _exit(n_admitted);
}

static int run_crowd(const struct world *world, const struct cost *cost)
{
    int gate[2], n_admitted = 0;
    pid_t children[N_PROCESSES];
    if (pipe(gate) < 0)
        exit(1);
    for (int i = 0; i < N_PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            close(gate[1]);
            be_one_of_the_crowd(i, gate[0], &world->lease, cost);
        }
    }
    close(gate[1]); /* all begin */
    close(gate[0]);
    for (int i = 0; i < N_PROCESSES; i++) {
        int status;
        waitpid(children[i], &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) > N_JOBS_EACH) {
            fprintf(stderr, "ledger-crowd: process %d ended with status %x\n", i,
                    (unsigned)status);
            exit(1);
        }
        n_admitted += WEXITSTATUS(status);
    }
    return n_admitted;
}

static void run_round(int round)
{
    struct error err = {0};
    struct ledger_pots pots;
    struct world world = world_open();
    make_accounts(&world);
    world_grant(&world, "org", NULL, 3, 1e-6);
    for (int i = 0; i < 8; i++)
        world_grant(&world, leaves[i], NULL, 20, 1e-6);
    world_grant(&world, "org/b/x", WORLD_DATASET, 20, 1e-6);
    must(ledger_show(world.officer, "org", &pots, &err), &err);
    struct cost cost = one_of_hundred(&pots.pots[0]);
    ledger_pots_free(&pots);

    int n_admitted = run_crowd(&world, &cost);
    int n_in_table =
        atoi(pg_query("SELECT count(*) FROM ppt.job WHERE state = 'admitted'"));
    int n_deadlocks = atoi(pg_query("SELECT deadlocks FROM pg_stat_database WHERE "
                                    "datname = current_database()"));
    world_check(&world);
    world_close(&world);
    printf("round %d: %d of %d admitted, %d deadlocks\n", round, n_admitted,
           N_PROCESSES * N_JOBS_EACH, n_deadlocks);
    if (n_admitted != N_ROOM || n_in_table != N_ROOM || n_deadlocks != 0)
        exit(1);
}

int main(int argc, char **argv)
{
    int n_rounds = argc > 1 ? atoi(argv[1]) : 1;
    pg_start();
    for (int i = 1; i <= n_rounds; i++)
        run_round(i);
    pg_stop();
    return 0;
}
