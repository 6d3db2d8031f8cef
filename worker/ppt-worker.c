/* ppt-worker: runs one plan of a job, one process a rank, under mpirun. */
#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/pathsafe.h"
#include "worker/agree.h"
#include "worker/comm_mpi.h"
#include "worker/run.h"
#include "worker/stop.h"

struct request {
    const char *plan, *public_key;
    bool is_verbose;
};

static int parse(int argc, char **argv, struct request *request, struct error *err)
{
    const struct opt options[] = {
        {"plan", 0, OPT_STRING, &request->plan, "DIR", "the job's directory", NULL},
        {"public-key", 0, OPT_STRING, &request->public_key, "FILE",
         "the scheduler's key, 32 bytes", NULL},
        {"verbose", 'v', OPT_FLAG, &request->is_verbose, NULL, "say what is done",
         NULL}};
    const struct opt_program program = {
        .name = "ppt-worker",
        .usage = "--plan DIR --public-key FILE",
        .summary = "Runs a signed plan: mpirun -n RANKS ppt-worker ...",
        .epilogue = "Exit status: 0 done, 75 stopped by a signal after a checkpoint,\n"
                    "otherwise the error's code. See ppt-worker(1).",
        .options = options,
        .n_options = (int)(sizeof options / sizeof options[0])};
    int n_operands;
    int rc = opt_parse(&program, argc, argv, &n_operands, err);
    if (rc != 0 || (request->plan != NULL && request->public_key != NULL))
        return rc;
    error_set(err, PPT_EUSAGE, "%s is missing",
              request->plan == NULL ? "--plan DIR" : "--public-key FILE");
    return error_hint(err, "run ppt-worker --help");
}

static int run(const struct request *request, int parse_rc, struct world *world,
               struct error *err)
{
    unsigned char public_key[CRYPTO_KEY_SIZE];
    int rc = parse_rc;
    if (rc == 0)
        rc = pathsafe_read_public(request->public_key, public_key, sizeof public_key,
                                  err);
    rc = agree(world->control, rc, err);
    if (rc != 0)
        return rc;
    log_init("ppt-worker", !request->is_verbose || world->comm->rank != 0);
    log_info("%d ranks run the plan in %s", world->comm->size, request->plan);
    return run_plan(request->plan, public_key, world, err);
}

int main(int argc, char **argv)
{
    struct request request = {0};
    struct error err = {0};
    struct world world;
    log_init("ppt-worker", true);
    int parse_rc = parse(argc, argv, &request, &err);
    struct error mpi_err = {0};
    int rc = world_open(&world, &argc, &argv, &mpi_err);
    if (rc != 0)
        comm_mpi_abort(log_error(&mpi_err));
    stop_watch();
    rc = run(&request, parse_rc, &world, &err);
    int status = 0;
    if (rc != 0)
        status = world.comm->rank == 0 || stop_overdue ? log_error(&err) : err.code;
    if (rc == -PPT_ECOMM || stop_overdue || world_is_broken(&world))
        comm_mpi_abort(status);
    world_close(&world);
    return status;
}
