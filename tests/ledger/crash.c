/* The server is killed with SIGKILL in the middle of a stream of reserve, start and
 * finish from several clients. After its restart every sum agrees with the entries, and
 * everything that a client was told had happened has happened.
 *
 *   ledger-crash [ROUNDS]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/ledger/world.h"

#define N_CLIENTS 4
#define N_JOBS 4000
#define MIN_TOLD 10

/* What a client was told: written to a pipe the moment that it was. */
struct told {
    int64_t job_id;
    enum queue_state state;
};

/* Walks its share of the jobs until the server is gone. */
static void be_a_client(int who, int out, const struct ledger_lease *lease)
{
    struct error err = {0};
    struct ledger_verdict verdict;
    struct cost cost = world_cost(1e-6), spent = world_cost(0.4e-6);
    struct db *db = pg_connect("scheduler");
    for (int64_t id = who + 1; id <= N_JOBS; id += N_CLIENTS) {
        int64_t attempt;
        struct ledger_request request = world_request(id, &cost);
        struct queue_outcome outcome = {.state = QUEUE_DONE, .spent = spent};
        struct told told = {id, QUEUE_ADMITTED};
        if (ledger_reserve(db, lease, &request, &verdict, &err) < 0)
            break;
        if (write(out, &told, sizeof told) != sizeof told ||
            verdict.answer != LEDGER_ADMITTED)
            _exit(2);
        if (id % 3 == 0)
            continue; /* some stay admitted */
        if (queue_start(db, lease, id, "/d", "", &attempt, &err) < 0 ||
            queue_finish(db, lease, id, &outcome, &err) < 0)
            break;
        told.state = QUEUE_DONE;
        if (write(out, &told, sizeof told) != sizeof told)
            _exit(2);
    }
    _exit(err.code == PPT_EDB && !db_is_alive(db) ? 0 : 3);
}

static void fail(const char *what, int64_t job_id)
{
    fprintf(stderr, "ledger-crash: job %" PRId64 ": %s\n", job_id, what);
    exit(1);
}

/* The job is at least as far as the client was told, and its money fits its state. */
static void check_job(struct db *db, const struct told *told)
{
    struct error err = {0};
    struct queue_job job;
    if (queue_find(db, told->job_id, &job, &err) < 0)
        fail(err.text, told->job_id);
    queue_job_free(&job);
    bool is_there = job.state == QUEUE_DONE ||
                    (told->state == QUEUE_ADMITTED &&
                     (job.state == QUEUE_ADMITTED || job.state == QUEUE_RUNNING));
    if (!is_there)
        fail("what was acknowledged is lost", told->job_id);
}

/* An unsure last call is simply made again. */
static void ask_again(struct world *world)
{
    struct error err = {0};
    struct ledger_verdict verdict;
    struct queue_jobs jobs;
    struct cost cost = world_cost(1e-6), spent = world_cost(0.4e-6);
    struct queue_outcome outcome = {.state = QUEUE_DONE, .spent = spent};
    struct queue_filter active = {.states = 1u << QUEUE_ADMITTED | 1u << QUEUE_RUNNING};
    if (queue_list(world->scheduler, &active, &jobs, &err) < 0)
        fail(err.text, 0);
    for (int i = 0; i < jobs.n; i++) {
        struct ledger_request request = world_request(jobs.jobs[i].id, &cost);
        int rc = jobs.jobs[i].state == QUEUE_ADMITTED
                     ? ledger_reserve(world->scheduler, &world->lease, &request,
                                      &verdict, &err)
                     : queue_finish(world->scheduler, &world->lease, jobs.jobs[i].id,
                                    &outcome, &err);
        if (rc < 0)
            fail(err.text, jobs.jobs[i].id);
    }
    queue_jobs_free(&jobs);
}

static int count_told(int in, struct db *db)
{
    struct told told;
    int n = 0;
    while (read(in, &told, sizeof told) == sizeof told) {
        check_job(db, &told);
        n++;
    }
    return n;
}

/* Waits until `n` steps are told, however slow the machine: fewer show nothing. */
static void wait_for(int in, int n)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int n_bytes = 0;
    for (int ms = 0; n_bytes < n * (int)sizeof(struct told); ms++) {
        if (ms == 30000 || ioctl(in, FIONREAD, &n_bytes) < 0)
            fail("too few steps to show anything", 0);
        nanosleep(&pause, NULL);
    }
}

static void run_round(int round)
{
    int pipes[2];
    pid_t children[N_CLIENTS];
    struct world world = world_open();
    world_grant(&world, "acme", NULL, 5, 1e-6);
    world_grant(&world, WORLD_ACCOUNT, NULL, 5, 1e-6);
    pg_query(
        "INSERT INTO ppt.job (name, account_id, dataset_id, spec, token) SELECT 'j',"
        " 3, 1, '{}', i::text FROM generate_series(1, 4000) i");
    if (pipe(pipes) < 0)
        exit(1);
    for (int i = 0; i < N_CLIENTS; i++) {
        children[i] = fork();
        if (children[i] == 0)
            be_a_client(i, pipes[1], &world.lease);
    }
    close(pipes[1]);
    wait_for(pipes[0], MIN_TOLD);
    /* the pipe holds what is told in this time: some hundred of 16 bytes */
    struct timespec pause = {.tv_nsec = 150000000L + rand() % 450 * 1000000L};
    nanosleep(&pause, NULL);
    pg_kill();
    for (int i = 0; i < N_CLIENTS; i++) {
        int status;
        waitpid(children[i], &status, 0);
        if (status != 0) {
            fprintf(stderr, "ledger-crash: client %d ended with status %x\n", i,
                    (unsigned)status);
            exit(1);
        }
    }
    world_close(&world);
    pg_restart();

    world.scheduler = pg_connect("scheduler");
    world.root = pg_connect(NULL);
    world_check(&world);
    int n_told = count_told(pipes[0], world.root);
    close(pipes[0]);
    ask_again(&world);
    world_check(&world);
    db_close(world.scheduler);
    db_close(world.root);
    printf("round %d: killed after %d acknowledged steps, all there, sums agree\n",
           round, n_told);
}

int main(int argc, char **argv)
{
    int n_rounds = argc > 1 ? atoi(argv[1]) : 1;
    srand((unsigned)time(NULL));
    pg_start();
    for (int i = 1; i <= n_rounds; i++)
        run_round(i);
    pg_stop();
    return 0;
}
