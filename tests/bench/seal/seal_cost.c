/* What sealing costs: the two collectives of a training step and a small agreement,
 * over comm_sealed and over comm_mpi in turns, on one node; with 8 ranks, what it saves
 * that ranks add up by nodes, of which two ranks each make believe that they are one:
 * the work of it, not the network's part. Run by bench_seal.sh under mpirun.
 * seal_cost [--json] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/figure.h"
#include "worker/comm_mpi.h"
#include "worker/comm_sealed.h"
#include "worker/wireup.h"

enum { N_PAIRS = 31 };

static struct error err;
static double *send_f64, *recv_f64;
static float *send_f32, *recv_f32;

static void must(int rc)
{
    if (rc != 0) {
        fprintf(stderr, "seal_cost: %s\n", err.text);
        comm_mpi_abort(1);
    }
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A step of a model with `n` parameters; 0: the agreement whether to stop. */
static double time_step(struct comm *comm, size_t n)
{
    const size_t n_slice = n / (size_t)comm->size;
    int64_t stop = 0;
    must(comm->ops->barrier(comm, &err));
    double start = now_s();
    if (n == 0) {
        must(comm->ops->max_i64(comm, &stop, 1, &err));
    } else {
        must(comm->ops->reduce_scatter_f64(comm, send_f64, recv_f64, n_slice, &err));
        must(comm->ops->all_gather_f32(comm, send_f32, recv_f32, n_slice, &err));
    }
    return now_s() - start;
}

static void compare(const char *name, struct comm *sealed, const char *other,
                    struct comm *beside, size_t n)
{
    double sealed_s[N_PAIRS], beside_s[N_PAIRS];
    for (int i = 0; i < N_PAIRS; i++) {
        sealed_s[i] = time_step(sealed, n);
        beside_s[i] = time_step(beside, n);
    }
    if (sealed->rank != 0)
        return;
    char title[64];
    double sealed_us = 1e6 * figure_median(sealed_s, N_PAIRS);
    double beside_us = 1e6 * figure_median(beside_s, N_PAIRS);
    snprintf(title, sizeof title, "%s, %d ranks", name, sealed->size);
    figure_show(title, sealed_us, "us", other, beside_us, beside_us / sealed_us);
}

static void compare_by_node(struct comm *under, struct comm *alone,
                            const struct seal_context *context,
                            const struct seal_identity *identity,
                            unsigned char (*keys)[CRYPTO_KEY_SIZE])
{
    struct comm sealed;
    int64_t nodes[8];
    for (int i = 0; i < 8; i++)
        nodes[i] = i / 2;
    must(comm_sealed_new(under, context, identity, keys, &seal_limits, &sealed, &err));
    must(comm_sealed_by_node(&sealed, nodes, &err));
    compare("by 4 nodes, 8 Ki parameters", &sealed, "each alone", alone, 8192);
    compare("by 4 nodes, 256 Ki parameters", &sealed, "each alone", alone, 262144);
    compare("by 4 nodes, 2 Mi parameters", &sealed, "each alone", alone, 2097152);
    comm_sealed_free(&sealed);
}

int main(int argc, char **argv)
{
    const size_t sizes[] = {0, 8192, 262144, 8388608}, most = 8388608;
    const char *const names[] = {"agreement", "step, 8 Ki parameters",
                                 "step, 256 Ki parameters", "step, 8 Mi parameters"};
    bool is_json = argc > 1 && strcmp(argv[1], "--json") == 0, spans_nodes;
    struct comm plain, under, also, sealed;
    struct seal_identity identity;
    must(comm_mpi_start(&argc, &argv, &err));
    must(comm_mpi_new(&plain, &err));
    must(comm_mpi_new(&under, &err));
    must(comm_mpi_new(&also, &err));
    const struct seal_context context = {"bench", 1, 1, plain.size};
    unsigned char(*keys)[CRYPTO_KEY_SIZE] = calloc((size_t)plain.size, sizeof *keys);
    send_f64 = calloc(most, sizeof *send_f64),
    send_f32 = calloc(most, sizeof *send_f32);
    recv_f64 = calloc(most, sizeof *recv_f64),
    recv_f32 = calloc(most, sizeof *recv_f32);
    if (keys == NULL || !send_f64 || !recv_f64 || !send_f32 || !recv_f32)
        must(error_set(&err, PPT_ENOMEM, "no memory"));
    double start = now_s();
    crypto_sign_keypair(identity.secret, identity.public_key);
    must(wireup_join(plain.rank, plain.size, &spans_nodes, &err));
    must(wireup_keys(plain.size, identity.public_key, keys, &err));
    must(comm_sealed_new(&under, &context, &identity, keys, &seal_limits, &sealed,
                         &err));
    double ready_s = now_s() - start;
    wireup_leave(plain.size);
    figure_begin("seal", is_json || plain.rank != 0);
    for (int i = 0; i < 4 && plain.size < 8; i++)
        compare(names[i], &sealed, "comm_mpi", &plain, sizes[i]);
    if (plain.size == 8)
        compare_by_node(&also, &sealed, &context, &identity, keys);
    figure_end();
    if (plain.rank == 0)
        fprintf(stderr, "keys by PMIx and handshakes: %.1f ms\n", 1e3 * ready_s);
    free(keys), free(send_f64), free(send_f32), free(recv_f64), free(recv_f32);
    comm_sealed_free(&sealed);
    comm_mpi_free(&also);
    comm_mpi_free(&under);
    comm_mpi_free(&plain);
    comm_mpi_end();
    return 0;
}
