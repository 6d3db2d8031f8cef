/* ppt-worker: runs one plan of a job, or plan after plan as a world of a pool; one
 * process a rank, under mpirun. */
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/pathsafe.h"
#include "worker/agree.h"
#include "worker/comm_mpi.h"
#include "worker/footprint.h"
#include "worker/pool.h"
#include "worker/run.h"
#include "worker/stop.h"
#include "worker/submit.h"

struct request {
    const char *plan, *pool, *submit, *memory, *public_key;
    int64_t max_jobs, attempt;
    bool is_in_pilot, has_key, is_verbose;
};

#define KEY_WAIT_MS 30000

static int parse(int argc, char **argv, struct request *request, struct error *err)
{
    const struct opt options[] = {
        {"plan", 0, OPT_STRING, &request->plan, "DIR", "the job's directory", NULL},
        {"attempt", 0, OPT_INTEGER, &request->attempt, "N",
         "with --plan: only if it is for this attempt", NULL},
        {"key-on-stdin", 0, OPT_FLAG, &request->has_key, NULL,
         "with --plan: rank 0 reads its checkpoints' key, 32 bytes", NULL},
        {"submit", 0, OPT_STRING, &request->submit, "FILE",
         "a job's spec: have it admitted, then run it", NULL},
        {"memory", 0, OPT_STRING, &request->memory, "DIR",
         "say what the job in DIR would take, and run nothing", NULL},
        {"pool", 0, OPT_STRING, &request->pool, "DIR",
         "serve plan after plan (ppt-schedd starts it so)", NULL},
        {"jobs", 0, OPT_INTEGER, &request->max_jobs, "N",
         "with --pool: end after so many", NULL},
        {"orders", 0, OPT_FLAG, &request->is_in_pilot, NULL,
         "with --pool: in a pilot, orders are files of DIR", NULL},
        {"public-key", 0, OPT_STRING, &request->public_key, "FILE",
         "the scheduler's key, 32 bytes", NULL},
        {"verbose", 'v', OPT_FLAG, &request->is_verbose, NULL, "say what is done",
         NULL}};
    const struct opt_program program = {
        .name = "ppt-worker",
        .usage = "--plan DIR --public-key FILE | --submit FILE",
        .summary = "Runs a signed plan: mpirun -n RANKS ppt-worker ...",
        .epilogue = "Exit status: 0 done, 75 stopped by a signal after a checkpoint,\n"
                    "otherwise the error's code. See ppt-worker(1).",
        .options = options,
        .n_options = (int)(sizeof options / sizeof options[0])};
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, err);
    if (rc != 0)
        return rc;
    if (request->has_key && request->plan == NULL) {
        error_set(err, PPT_EUSAGE, "--key-on-stdin goes with --plan");
        return error_hint(err, "run ppt-worker --help");
    }
    if (request->memory != NULL && request->plan == NULL && request->pool == NULL &&
        request->submit == NULL && request->public_key == NULL)
        return 0;
    if (request->memory != NULL) {
        error_set(err, PPT_EUSAGE, "--memory stands alone");
        return error_hint(err, "run ppt-worker --help");
    }
    if (request->submit != NULL && request->plan == NULL && request->pool == NULL &&
        request->public_key == NULL)
        return 0;
    if (request->submit != NULL) {
        error_set(err, PPT_EUSAGE, "--submit stands alone");
        return error_hint(err, "run ppt-worker --help");
    }
    if (request->pool != NULL && (request->plan != NULL || request->max_jobs < 1)) {
        error_set(err, PPT_EUSAGE,
                  request->plan != NULL ? "--plan and --pool exclude each other"
                                        : "expected --jobs of at least 1");
        return error_hint(err, "run ppt-worker --help");
    }
    bool has_work = request->plan != NULL || request->pool != NULL;
    if (has_work && request->public_key != NULL)
        return request->pool != NULL ? pool_prepare(err) : 0;
    error_set(err, PPT_EUSAGE, "%s is missing",
              has_work ? "--public-key FILE" : "--plan DIR");
    return error_hint(err, "run ppt-worker --help");
}

/* Rank 0's word from ppt-submit for all. plan->kind is none where all is settled. */
static int next_plan(struct world *world, struct submission *submission,
                     struct step_packet *ret_plan, struct error *err)
{
    struct comm *control = world->control;
    bool is_there = false;
    int rc = 0;
    *ret_plan = (struct step_packet){0};
    if (control->rank == 0)
        rc = submit_next(submission, ret_plan, &is_there, err);
    if (!is_there)
        *ret_plan = (struct step_packet){0};
    rc = agree(control, rc, err);
    return rc == 0
               ? control->ops->broadcast(control, ret_plan, sizeof *ret_plan, 0, err)
               : rc;
}

/* The launcher has passed it on to rank 0, and nobody started by it shall see it. */
static int take_key(unsigned char ret_key[CRYPTO_KEY_SIZE], struct error *err)
{
    struct pollfd poller = {.fd = STDIN_FILENO, .events = POLLIN};
    size_t n = 0;
    ssize_t got = 1;
    while (n < CRYPTO_KEY_SIZE && got > 0 && poll(&poller, 1, KEY_WAIT_MS) > 0) {
        got = read(STDIN_FILENO, ret_key + n, CRYPTO_KEY_SIZE - n);
        n += got > 0 ? (size_t)got : 0;
    }
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        close(null);
    }
    return n == CRYPTO_KEY_SIZE
               ? 0
               : error_set(err, PPT_ETRUST,
                           "expected a key of %d bytes on standard input, found %zu",
                           CRYPTO_KEY_SIZE, n);
}

static int run_one(const struct request *request,
                   const unsigned char public_key[CRYPTO_KEY_SIZE], struct world *world,
                   struct error *err)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    bool is_mine = request->has_key && world->comm->rank == 0;
    const struct run_order order = {.directory = request->plan,
                                    .attempt = request->attempt,
                                    .checkpoint_key = is_mine ? key : NULL};
    log_info("%d ranks run the plan in %s", world->comm->size, request->plan);
    int rc = agree(world->control, is_mine ? take_key(key, err) : 0, err);
    if (rc == 0)
        rc = run_plan(&order, public_key, world, err);
    crypto_wipe(key, sizeof key);
    return rc;
}

static int run_next(struct world *world, const struct step_packet *plan,
                    struct error *err)
{
    unsigned char public_key[CRYPTO_KEY_SIZE];
    const struct run_order order = {.directory = plan->directory};
    int rc = agree(
        world->control,
        pathsafe_read_public(plan->public_key, public_key, sizeof public_key, err),
        err);
    return rc == 0 ? run_plan(&order, public_key, world, err) : rc;
}

/* The ranks have ended so. Rank 0 tells and lets ppt-submit see to the settlement, and
 * the others wait for it: one that left early with an error would have Slurm end the
 * step before. False: they hear each other no more. */
static bool tell_end(struct world *world, const struct submission *submission, int rc,
                     struct error *err)
{
    bool is_deaf = rc == -PPT_ECOMM || stop_overdue || world_is_broken(world);
    if (world->comm->rank == 0) {
        if (rc != 0)
            log_error(err);
        submit_tell_end(submission, -rc, is_deaf);
    }
    if (rc != 0)
        err->text[0] = '\0'; /* told */
    return !is_deaf;
}

/* All that runs is the last job, whose end is to be seen to. */
static int leave_deaf(struct world *world, struct submission *submission, int rc,
                      struct error *err)
{
    struct step_packet none;
    struct error end_err = {0};
    bool is_there;
    if (world->comm->rank != 0)
        return rc;
    int end_rc = submit_next(submission, &none, &is_there, &end_err);
    if (end_rc != 0)
        *err = end_err;
    return end_rc != 0 ? end_rc : rc;
}

static int run_submitted(const struct request *request, struct world *world,
                         struct error *err)
{
    const int rank = world->control->rank;
    struct submission submission = {0};
    struct step_packet plan = {.kind = STEP_PLAN};
    struct error own = {0};
    int guard = -1, own_rc = 0, rc = 0;
    if (rank == 0)
        rc = submit_begin(request->submit, world->control->size, &submission, err);
    rc = agree(world->control, rc, err);
    while (rc == 0) {
        rc = next_plan(world, &submission, &plan, err);
        submit_unguard(guard);
        guard = -1;
        if (rc != 0 || plan.kind != STEP_PLAN)
            break;
        guard = rank == 0 ? -1 : submit_guard(rank);
        submit_guard_tell(guard, plan.directory);
        own = (struct error){0};
        own_rc = run_next(world, &plan, &own);
        if (!tell_end(world, &submission, own_rc, &own)) {
            rc = leave_deaf(world, &submission, own_rc, &own);
            break;
        }
        stop_requested = 0; /* the next job was not meant */
        malloc_trim(0);
    }
    submit_unguard(guard);
    if (rc == 0 && own_rc != 0)
        rc = own_rc;
    if (own.code != 0 && err->code == 0)
        *err = own;
    return rc;
}

static int serve(const struct request *request, const unsigned char *public_key,
                 struct world *world, struct error *err)
{
    struct pool_site site = {.directory = request->pool,
                             .public_key = public_key,
                             .max_jobs = request->max_jobs,
                             .is_in_pilot = request->is_in_pilot};
    return pool_serve(world, &site, err);
}

static int run(const struct request *request, int parse_rc, struct world *world,
               struct error *err)
{
    unsigned char public_key[CRYPTO_KEY_SIZE];
    int rc = parse_rc;
    if (rc == 0 && request->submit == NULL)
        rc = pathsafe_read_public(request->public_key, public_key, sizeof public_key,
                                  err);
    rc = agree(world->control, rc, err);
    if (rc != 0)
        return rc;
    log_init("ppt-worker", !request->is_verbose || world->comm->rank != 0);
    if (request->submit != NULL)
        return run_submitted(request, world, err);
    if (request->pool != NULL)
        return serve(request, public_key, world, err);
    return run_one(request, public_key, world, err);
}

int main(int argc, char **argv)
{
    struct request request = {.max_jobs = 1000};
    struct error err = {0};
    struct world world;
    log_init("ppt-worker", true);
    int parse_rc = parse(argc, argv, &request, &err);
    if (parse_rc == 0 && request.memory != NULL) /* no ranks, no MPI */
        return footprint_tell(request.memory, &err) == 0 ? 0 : log_error(&err);
    if (request.submit != NULL) /* ranks that wait let go of their cores */
        setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    struct error mpi_err = {0};
    int rc = world_open(&world, &argc, &argv, &mpi_err);
    if (rc != 0)
        comm_mpi_abort(log_error(&mpi_err));
    stop_watch();
    rc = run(&request, parse_rc, &world, &err);
    int status = 0;
    bool is_told = world.comm->rank != 0 && !stop_overdue; /* or told by ppt-submit */
    if (rc != 0)
        status = is_told || err.text[0] == '\0' ? err.code : log_error(&err);
    if (rc == -PPT_ECOMM || stop_overdue || world_is_broken(&world))
        comm_mpi_abort(status);
    world_close(&world);
    return status;
}
