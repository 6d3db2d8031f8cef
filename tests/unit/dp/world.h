/* A world in one process for the engine's tests and benchmarks: records in memory,
 * ranks as threads whose collectives are recorded, io that keeps what it was given.
 */
#ifndef PPT_TESTS_UNIT_DP_WORLD_H
#define PPT_TESTS_UNIT_DP_WORLD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jobs/env.h"
#include "jobs/manifest.h"
#include "jobs/plan.h"
#include "jobs/report.h"
#include "jobs/spec/spec.h"

enum { WORLD_MAX_RANKS = 8, WORLD_MAX_CALLS = 100000 };

/* Records [n, n_features] and labels; owned by whoever made them. */
struct world_data {
    float *x;
    int32_t *y;
    int64_t *users; /* NULL: each record is another user's */
    int64_t n;
    size_t n_features;
    int64_t n_classes;
};

/* A collective as it was called: which one and how many elements. */
struct world_call {
    char name; /* s m r g b B: sum, max, reduce-scatter, gather, broadcast, barrier;
                  R G: the devices' two */
    size_t n;
};

/* Everything of one run; zero-initialise, fill the first part, call world_run. */
struct world {
    int size;
    const struct world_data *train, *test; /* test may be NULL */
    const struct plan *plan;
    const struct spec *spec;
    const struct manifest *manifest;
    struct meter *meter;
    const struct kernels *kernels;  /* NULL: kernels_cpu */
    unsigned char noise_key[32];    /* each rank's is this with its rank xored in ... */
    unsigned char sampling_key[32]; /* ... and so is this one */
    /* NULL: dp_run; every rank has all train records where is_whole is set */
    int (*run)(const struct plan *plan, const struct spec *spec,
               const struct manifest *manifest, struct env *env,
               struct report *ret_report, struct error *err);
    bool is_whole;
    /* train records of rank r are [starts[r], starts[r + 1]) where is_split is set,
     * else equal shares */
    bool is_split;
    int64_t starts[WORLD_MAX_RANKS + 1];
    void (*progress)(void *state, const struct progress *progress);
    void *progress_state;
    volatile sig_atomic_t stop[WORLD_MAX_RANKS];
    size_t ahead_bytes; /* of the train records; 0: not read ahead */
    /* Asks for a stop on one rank when it has read so often; 0: never. */
    int64_t stop_after_reads;
    int stop_rank;
    /* Sees every buffer that a rank sends into reduce_scatter_f64; may be NULL. */
    void (*on_sum)(void *state, int rank, const double *send, size_t n);
    void *on_sum_state;
    bool keeps_calls;
    bool has_no_counter; /* comm's take is NULL */
    bool has_devices;    /* that meet */
    /* Lists of consents by the look at which they hold, the last one from then on; rank
     * 0 gets each that is another than the one before. NULL: nobody keeps one. */
    const char *const *consents;
    int n_consents;
    const char *trace; /* of devices; NULL: nobody has one */
    /* Keeps what rank 0 notes where it has room; may be NULL. */
    char *notes;
    size_t notes_size;

    /* Kept between runs: free with world_free. */
    void *checkpoint, *checkpoint_new;
    size_t checkpoint_len, checkpoint_new_len, checkpoint_at;
    size_t
        checkpoint_fails_at; /* its reads and writes do so from this byte; 0: never */
    float *model;            /* all tensors in order */
    int64_t n_model;
    int n_models_saved, n_checkpoints_saved, n_checkpoints_closed;

    /* Results, by rank. */
    int rc[WORLD_MAX_RANKS];
    struct report report[WORLD_MAX_RANKS];
    struct error err[WORLD_MAX_RANKS];
    struct world_call *calls[WORLD_MAX_RANKS];
    size_t n_calls[WORLD_MAX_RANKS];

    int n_looks; /* at consents */

    /* The implementation's. */
    _Atomic int64_t n_taken;
    pthread_barrier_t barrier;
    const void *shared[WORLD_MAX_RANKS];
    void *scratch;
};

/* Runs a job on `size` threads and waits. */
void world_run(struct world *world);
void world_free(struct world *world);

/* Separable blobs: class k is noise around a centre of its own. Caller frees x and y.
 */
struct world_data world_blobs(int64_t n, size_t n_features, int64_t n_classes,
                              double spread, uint64_t seed);
void world_data_free(struct world_data *data);

/* A manifest with splits "train" and "test" of these dims, a spec and a plan that go
 * with it: mlp, sgd, sampling at k/2^53 next to batch/n, or dealt into n/batch bins, in
 * a fixed order or not. */
struct manifest world_manifest(int64_t n_train, int64_t n_test, int n_dims,
                               const int64_t *dims, int64_t n_classes);
struct spec world_spec(enum spec_preset preset, bool is_private);
struct plan world_plan(const struct spec *spec, const struct manifest *manifest,
                       double noise_multiplier, int64_t n_steps);

/* A small transformer of a frozen base for sequences of tokens: each linear layer of
 * its blocks has low-rank factors; and an io's base_read for it, which makes numbers
 * up. */
struct spec_model world_transformer(void);
int world_read_base(struct io *io, const struct tensor_view *wanted, float *ret_values,
                    struct error *err);

#endif
