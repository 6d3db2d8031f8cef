/* The records of each step's sample, micro-batch by micro-batch: drawn when they are
 * asked for where reading is cheap, else read far ahead (stretch.h).
 *
 * Reading ahead is a thread's work: it fills one of two stretches while the other is
 * trained on, each in half of rows->ahead_bytes. It calls nothing but the sampler and
 * rows->fetch, which must allow that beside any other use of the job's io. */
#ifndef PPT_JOBS_DP_FEED_H
#define PPT_JOBS_DP_FEED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/dp/sampler.h"
#include "jobs/dp/stretch.h"
#include "jobs/io.h"

struct feed {
    struct rows *rows;
    struct sampler sampler;
    int64_t step; /* being fed */
    /* Without reading ahead. */
    size_t max;
    int64_t *indices; /* max */
    /* Reading ahead. */
    bool is_ahead, is_started;
    pthread_t reader;
    pthread_mutex_t mutex; /* guards is_full, rc, err */
    pthread_cond_t changed;
    struct stretch_cursor cursor; /* the reader's, once it is started */
    struct stretch stretches[2];
    bool is_full[2]; /* then it is the trainer's, else the reader's */
    int serving;     /* the stretch that is trained on */
    int rc;          /* why the reader gave up */
    struct error err;
};

/* Samples at `sample_rate` from the rows, or deals them into n_bins > 0 steps an epoch,
 * of a fixed order or not (sampler.h), which takes n_rows/8 + n_rows/2048 bytes; the
 * rows outlive the feed. At most `max` records are asked for at once; steps are those
 * below n_steps. Reads ahead where rows->ahead_bytes says so, within that memory. Close
 * with feed_close, which wipes the key. Errors: PPT_ERANGE (sampler_open), PPT_ENOMEM.
 */
int feed_open(struct feed *feed, struct rows *rows,
              const unsigned char key[CRYPTO_KEY_SIZE], double sample_rate,
              int64_t n_bins, bool is_fixed, int64_t n_steps, size_t max,
              struct error *err);
void feed_close(struct feed *feed);

/* Begins a step: the first is any, each later one the successor of the last. */
void feed_begin(struct feed *feed, int64_t step);

/* The next at most n_most <= max records of the step in ascending order: x[n,
 * n_features], y[n]. *ret_n is 0 at the end of the sample.
 * Errors: those of rows->read, fetch and decode; PPT_ENOMEM (no thread). */
int feed_next(struct feed *feed, size_t n_most, float *x, int32_t *y, size_t *ret_n,
              struct error *err);

#endif
