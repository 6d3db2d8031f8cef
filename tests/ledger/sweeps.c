/* Sweeps that race: eight of them, 20 jobs each, for a pot with room for 70 jobs,
 * beside a user who cancels jobs of two of them all the while. A sweep is admitted
 * whole or not at all, three times 20 fit, nobody deadlocks, the sums are right.
 *
 *   ledger-sweeps [ROUNDS]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "tests/ledger/world.h"

#define N_SWEEPS 8
#define N_JOBS 20
#define N_ROOM 70
#define N_TORN 2 /* the last so many lose jobs to the user */

static void must(int rc, const struct error *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "ledger-sweeps: %s %s\n", err->text, err->detail);
    exit(1);
}

/* N_ROOM times it fits, N_ROOM + 1 times it is above the cap at every order. */
static struct cost one_of_room(const struct world *world)
{
    struct error err = {0};
    struct ledger_pots pots;
    struct cost cost = world_cost(0);
    must(ledger_show(world->officer, "acme", &pots, &err), &err);
    for (int i = 0; i < COST_N_ORDERS; i++)
        cost.rho[i] = pots.pots[0].caps[i] < 0 ? COST_INFINITE / 4
                                               : pots.pots[0].caps[i] / N_ROOM;
    ledger_pots_free(&pots);
    return cost;
}

static int64_t submit_sweep(struct db *alice, int who)
{
    struct error err = {0};
    struct json json = {0};
    char name[16], *jobs;
    int64_t id = 0;
    json_array(&json, NULL);
    for (int i = 0; i < N_JOBS; i++) {
        json_object(&json, NULL);
        json_string(&json, "spec", "{}");
        json_string(&json, "point", "");
        json_close_object(&json);
    }
    json_close_array(&json);
    must(json_end(&json, &jobs, &err), &err);
    snprintf(name, sizeof name, "%d", who);
    const struct queue_sweep sweep = {.name = name,
                                      .account = WORLD_ACCOUNT,
                                      .dataset = WORLD_DATASET,
                                      .jobs = jobs,
                                      .token = name,
                                      .is_together = true};
    must(queue_submit_sweep(alice, &sweep, &id, &err), &err);
    free(jobs);
    return id;
}

/* Judges the open jobs of a sweep until they are admitted or have not found room, again
 * where some were cancelled in between. */
static void admit(struct db *db, const struct ledger_lease *lease, int64_t sweep_id,
                  const struct cost *cost)
{
    struct error err = {0};
    struct ledger_request *requests = calloc(N_JOBS, sizeof *requests);
    for (int try = 0; try < 50; try++) {
        struct queue_jobs jobs;
        bool is_done = false;
        int n = 0;
        must(queue_of_sweep(db, sweep_id, &jobs, &err), &err);
        for (int i = 0; i < jobs.n; i++)
            if (jobs.jobs[i].state == QUEUE_SUBMITTED)
                requests[n++] = world_request(jobs.jobs[i].id, cost);
        queue_jobs_free(&jobs);
        must(queue_sweep_admit(db, lease, sweep_id, requests, n, &is_done, &err), &err);
        if (is_done)
            break;
    }
    free(requests);
}

static void be_one_of_the_crowd(int who, int gate, const struct ledger_lease *lease,
                                const struct cost *cost)
{
    struct db *alice = pg_connect("alice"), *scheduler = pg_connect("scheduler");
    char byte;
    if (read(gate, &byte, 1) != 0)
        exit(255);
    admit(scheduler, lease, submit_sweep(alice, who), cost);
    db_close(alice);
    db_close(scheduler);
    _exit(0);
}

/* Cancels jobs of the torn sweeps, every other of each, as soon as they are there. */
static void be_the_user(int gate)
{
    struct error err = {0};
    struct db *alice = pg_connect("alice");
    char byte;
    if (read(gate, &byte, 1) != 0)
        exit(255);
    for (int n_cancelled = 0; n_cancelled < N_TORN * N_JOBS / 2;) {
        struct queue_jobs jobs;
        must(queue_list(alice, NULL, &jobs, &err), &err);
        for (int i = 0; i < jobs.n; i++) {
            const struct queue_job *job = &jobs.jobs[i];
            enum queue_state state;
            if (atoi(job->name) < N_SWEEPS - N_TORN || job->sweep.number % 2 == 0 ||
                queue_state_is_final(job->state))
                continue;
            must(queue_cancel(alice, job->id, "", &state, &err), &err);
            n_cancelled++;
        }
        queue_jobs_free(&jobs);
    }
    db_close(alice);
    _exit(0);
}

static void run_round(int round)
{
    int gate[2], status;
    pid_t children[N_SWEEPS + 1];
    struct world world = world_open();
    world_grant(&world, "acme", NULL, 3, 1e-6);
    struct cost cost = one_of_room(&world);
    if (pipe(gate) < 0)
        exit(1);
    for (int i = 0; i <= N_SWEEPS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            close(gate[1]);
            if (i == N_SWEEPS)
                be_the_user(gate[0]);
            be_one_of_the_crowd(i, gate[0], &world.lease, &cost);
        }
    }
    close(gate[1]); /* all begin */
    close(gate[0]);
    for (int i = 0; i <= N_SWEEPS; i++) {
        waitpid(children[i], &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            exit(1);
    }
    int n_halves = atoi(pg_query(
        "SELECT count(*) FROM (SELECT sweep FROM ppt.queue WHERE state <> 'cancelled'"
        " GROUP BY sweep HAVING count(DISTINCT state) > 1) x"));
    int n_transactions =
        atoi(pg_query("SELECT max(n) FROM (SELECT count(DISTINCT e.xmin::text) AS n"
                      " FROM ppt.ledger_entry e JOIN ppt.sweep_job USING (job_id)"
                      " WHERE kind = 'reserve' GROUP BY sweep_id) x"));
    int n_admitted =
        atoi(pg_query("SELECT count(*) FROM ppt.job WHERE state = 'admitted'"));
    int n_deadlocks = atoi(pg_query("SELECT deadlocks FROM pg_stat_database WHERE "
                                    "datname = current_database()"));
    world_check(&world);
    world_close(&world);
    printf("round %d: %d jobs admitted, %d sweeps by halves, %d deadlocks\n", round,
           n_admitted, n_halves, n_deadlocks);
    if (n_halves != 0 || n_transactions != 1 || n_deadlocks != 0 ||
        n_admitted > N_ROOM || n_admitted < 2 * N_JOBS)
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
