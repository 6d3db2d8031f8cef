/* Measures admissions a second where each job is charged to five pots: one transaction
 * a job with 1 and 8 clients, and one client that shares a commit among 64.
 *
 *   ledger-rate [--json]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/ledger/world.h"

#define N_JOBS 960
#define N_MAX_CLIENTS 8

static double now_s(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

static void must(int rc, const struct error *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "ledger-rate: %s %s\n", err->text, err->detail);
    exit(1);
}

/* Admits every n_clients-th job from `first` on, n_together in a transaction. */
static void admit(const struct ledger_lease *lease, int64_t first, int n_clients,
                  int n_together)
{
    struct error err = {0};
    struct ledger_verdict verdict;
    struct cost cost = world_cost(1e-6);
    struct db *db = pg_connect("scheduler");
    int n = 0;
    for (int64_t id = first; id <= N_JOBS; id += n_clients, n++) {
        struct ledger_request request = world_request(id, &cost);
        if (n_together > 1 && n % n_together == 0)
            must(db_begin(db, &err), &err);
        must(ledger_reserve(db, lease, &request, &verdict, &err), &err);
        if (verdict.answer != LEDGER_ADMITTED)
            must(error_set(&err, PPT_EINTERNAL, "not admitted"), &err);
        if (n_together > 1 && (n + 1) % n_together == 0)
            must(db_commit(db, &err), &err);
    }
    db_close(db);
}

static double measure(int n_clients, int n_together)
{
    struct world world = world_open();
    world_grant(&world, "acme", NULL, 5, 1e-6);
    world_grant(&world, "acme/research", NULL, 5, 1e-6);
    world_grant(&world, WORLD_ACCOUNT, NULL, 5, 1e-6);
    world_grant(&world, WORLD_ACCOUNT, WORLD_DATASET, 5, 1e-6);
    for (int i = 0; i < N_JOBS; i++)
        world_submit(&world, WORLD_ACCOUNT);
    pid_t children[N_MAX_CLIENTS];
    double start_s = now_s();
    for (int i = 0; i < n_clients; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            admit(&world.lease, i + 1, n_clients, n_together);
            _exit(0);
        }
    }
    for (int i = 0; i < n_clients; i++) {
        int status;
        waitpid(children[i], &status, 0);
        if (status != 0)
            exit(1);
    }
    double wall_s = now_s() - start_s;
    world_check(&world);
    world_close(&world);
    return N_JOBS / wall_s;
}

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        int n_clients, n_together;
    } cases[] = {
        {"1 client", 1, 1}, {"8 clients", 8, 1}, {"1 client, commit of 64", 1, 64}};
    bool is_json = argc > 1 && strcmp(argv[1], "--json") == 0;
    pg_start();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double rate = measure(cases[i].n_clients, cases[i].n_together);
        if (is_json)
            printf(
                "{\"bench\": \"ledger\", \"case\": \"%s\", \"value\": %.1f, \"unit\": "
                "\"admissions/s\", \"peer\": null, \"peer_value\": null, "
                "\"ratio\": null}\n",
                cases[i].name, rate);
        else
            printf("%-24s %8.0f admissions/s\n", cases[i].name, rate);
        fflush(stdout);
    }
    pg_stop();
    return 0;
}
