/* Many steps' samples drawn ahead and read in one sorted sweep over the records.
 *
 * Which records a step takes does not depend on the data nor on the model, so samples
 * may be drawn long before their steps. A stretch is the next part of the stream of
 * (step, record) pairs, cut where its room ends, be it in the middle of a step; so its
 * memory does not depend on the batch size. Each record is fetched once, in ascending
 * order, and kept in its stored form.
 * Memory: n_max (record_bytes + 56) bytes, n_max = max(1, limit / (record_bytes + 56));
 * 16 of the 56 are qsort's while it sorts.
 * A draw whose step never runs is dropped unseen. How many steps a stretch holds is as
 * secret as the samples' sizes.
 */
#ifndef PPT_JOBS_DP_STRETCH_H
#define PPT_JOBS_DP_STRETCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/dp/sampler.h"
#include "jobs/io.h"

/* Where the stream of draws goes on. Zero-initialise and set the first three. */
struct stretch_cursor {
    struct sampler *sampler;
    int64_t step;     /* the next to draw from */
    int64_t n_steps;  /* those below are drawn */
    bool is_begun;    /* some of `step` is drawn */
    atomic_bool stop; /* another thread's wish: what is being filled is not needed */
};

struct stretch_draw {
    int64_t record, step;
    int64_t slot; /* of `records` */
};

struct stretch_key {
    int64_t record, at; /* draws[at] */
};

struct stretch {
    size_t record_bytes;
    int64_t n_max, n; /* draws */
    int64_t n_served;
    int64_t through; /* no draw of a step below this is in a later stretch */
    struct stretch_draw *draws;
    struct stretch_key *keys;
    unsigned char *records; /* n_max, each once */
};

/* Room for limit_bytes; stretch_close frees. Errors: PPT_ENOMEM. */
int stretch_open(struct stretch *stretch, size_t record_bytes, size_t limit_bytes,
                 struct error *err);
void stretch_close(struct stretch *stretch);

/* Fills the stretch with the next draws and their records; at the end of the last step
 * it stays less than full. Of no use once cursor->stop is set. Errors: those of
 * rows->fetch. */
int stretch_fill(struct stretch *stretch, struct stretch_cursor *cursor,
                 struct rows *rows, struct error *err);

/* The next at most max records of `step` as floats; *ret_n is 0 where the stretch has
 * no more of it. Steps come in ascending order. Errors: those of rows->decode. */
int stretch_serve(struct stretch *stretch, struct rows *rows, int64_t step, size_t max,
                  float *x, int32_t *y, size_t *ret_n, struct error *err);

#endif
