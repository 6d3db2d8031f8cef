/* The engine (jobs/model, jobs/dp's step) on records in memory, by any table of
 * kernels: for the comparison of tables and for what they cost. No Check, MPI, HDF5 or
 * OpenSSL.
 */
#ifndef PPT_TESTS_TWINS_ENGINE_H
#define PPT_TESTS_TWINS_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/dp/trainer.h"
#include "kernels/kernels.h"

struct engine_records {
    float *x; /* [n, n_features] */
    int32_t *y;
    int64_t n, n_features;
    bool is_resident; /* reading copies nothing: what was there stays */
};

/* Records of 10 classes, the same for the same arguments. */
struct engine_records engine_records(int64_t n, int n_dims, const int64_t *dims);
/* Each number becomes an id below n_tokens, 0 among them. */
void engine_records_to_ids(struct engine_records *records, int64_t n_tokens);
void engine_records_free(struct engine_records *records);

struct engine_wish {
    enum spec_preset preset;
    enum spec_optimizer optimizer;
    enum spec_sum sum;
    bool is_private;
    struct spec_clipping clipping;
    int64_t batch, hidden, n_steps; /* n_steps 0: a million */
    int n_dims;
    int64_t dims[3];
    /* PRESET_LAYERS */
    int n_layers;
    struct spec_layer layers[13];
    int64_t n_tokens; /* records become ids below it; 0: they are numbers */
    bool has_base;
};

/* A trainer and all that it points into. Ends the program where it cannot be had. */
struct engine {
    struct spec spec;
    struct plan plan;
    struct manifest manifest;
    struct rows rows;
    struct io io;
    struct env env;
    struct trainer trainer;
};
struct engine *engine_open(const struct engine_wish *wish,
                           struct engine_records *records,
                           const struct kernels *kernels);
void engine_close(struct engine *engine);

/* One whole step. */
void engine_step(struct engine *engine);

/* The device's random words (device_random_words), made on the host. */
void engine_random_words(const uint8_t key[32], uint32_t stream, uint64_t step,
                         int64_t n, uint64_t *words);

#endif
