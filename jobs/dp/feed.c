#include "jobs/dp/feed.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

int feed_open(struct feed *feed, struct rows *rows,
              const unsigned char key[CRYPTO_KEY_SIZE], double sample_rate,
              int64_t n_bins, bool is_fixed, int64_t n_steps, size_t max,
              struct error *err)
{
    *feed = (struct feed){.rows = rows, .max = max, .is_ahead = rows->ahead_bytes > 0};
    int rc = n_bins > 0
                 ? sampler_open_dealt(&feed->sampler, key, n_bins, is_fixed,
                                      rows->n_rows, err)
                 : sampler_open(&feed->sampler, key, sample_rate, rows->n_rows, err);
    if (rc != 0) {
        return rc;
    }
    feed->cursor.sampler = &feed->sampler;
    feed->cursor.n_steps = n_steps;
    pthread_mutex_init(&feed->mutex, NULL);
    pthread_cond_init(&feed->changed, NULL);
    if (feed->is_ahead) {
        for (int i = 0; i < 2 && rc == 0; i++) {
            rc = stretch_open(&feed->stretches[i], rows->record_bytes,
                              rows->ahead_bytes / 2, err);
        }
    } else {
        feed->indices = malloc(max * sizeof *feed->indices);
        rc = feed->indices == NULL ? error_set(err, PPT_ENOMEM, "no memory for a batch")
                                   : 0;
    }
    if (rc != 0) {
        feed_close(feed);
    }
    return rc;
}

void feed_close(struct feed *feed)
{
    if (feed->sampler.stream == NULL) {
        return;
    }
    if (feed->is_started) {
        pthread_mutex_lock(&feed->mutex);
        atomic_store(&feed->cursor.stop, true);
        pthread_cond_broadcast(&feed->changed);
        pthread_mutex_unlock(&feed->mutex);
        pthread_join(feed->reader, NULL);
    }
    pthread_cond_destroy(&feed->changed);
    pthread_mutex_destroy(&feed->mutex);
    stretch_close(&feed->stretches[0]);
    stretch_close(&feed->stretches[1]);
    free(feed->indices);
    sampler_close(&feed->sampler);
    *feed = (struct feed){0};
}

/* Waits until a stretch is free; false when nobody needs it any more. */
static bool wait_free(struct feed *feed, int i)
{
    pthread_mutex_lock(&feed->mutex);
    while (feed->is_full[i] && !atomic_load(&feed->cursor.stop)) {
        pthread_cond_wait(&feed->changed, &feed->mutex);
    }
    pthread_mutex_unlock(&feed->mutex);
    return !atomic_load(&feed->cursor.stop);
}

/* Fills the two stretches in turns until all steps are drawn. */
static void *read_ahead(void *state)
{
    struct feed *feed = state;
    int rc = 0;
    for (int i = 0; rc == 0 && feed->cursor.step < feed->cursor.n_steps; i ^= 1) {
        struct error err = {0};
        if (!wait_free(feed, i)) {
            break;
        }
        rc = stretch_fill(&feed->stretches[i], &feed->cursor, feed->rows, &err);
        pthread_mutex_lock(&feed->mutex);
        feed->is_full[i] = rc == 0;
        feed->rc = rc;
        feed->err = err;
        pthread_cond_broadcast(&feed->changed);
        pthread_mutex_unlock(&feed->mutex);
    }
    return NULL;
}

/* Signals are for the threads that were there before. */
static int start(struct feed *feed, struct error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&feed->reader, NULL, read_ahead, feed);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        return error_set(err, PPT_ENOMEM, "no thread to read ahead");
    }
    feed->is_started = true;
    return 0;
}

/* Gives the stretch that is used up back, if there is one, and waits for the next. */
static int turn_over(struct feed *feed, struct error *err)
{
    bool is_first = !feed->is_started;
    int rc = is_first ? start(feed, err) : 0;
    if (rc != 0) {
        return rc;
    }
    pthread_mutex_lock(&feed->mutex);
    if (!is_first) { /* at first both are the reader's, which may have filled them */
        feed->is_full[feed->serving] = false;
        feed->serving ^= 1;
    }
    pthread_cond_broadcast(&feed->changed);
    while (!feed->is_full[feed->serving] && feed->rc == 0) {
        pthread_cond_wait(&feed->changed, &feed->mutex);
    }
    if (!feed->is_full[feed->serving]) {
        rc = feed->rc;
        *err = feed->err;
    }
    pthread_mutex_unlock(&feed->mutex);
    return rc;
}

void feed_begin(struct feed *feed, int64_t step)
{
    feed->step = step;
    if (!feed->is_ahead) {
        sampler_begin(&feed->sampler, step);
    } else if (!feed->is_started) {
        feed->cursor.step = step;
        feed->stretches[0].through = feed->stretches[1].through = step;
    }
}

static int next_drawn(struct feed *feed, size_t n_most, float *x, int32_t *y,
                      size_t *ret_n, struct error *err)
{
    size_t n = sampler_next(&feed->sampler, feed->indices, n_most);
    int rc = n == 0 ? 0 : feed->rows->read(feed->rows, feed->indices, n, x, y, err);
    if (rc == 0) {
        *ret_n = n;
    }
    return rc;
}

/* As many as there are, over the ends of stretches too: how records are grouped does
 * not depend on the memory for reading ahead. */
static int next_ahead(struct feed *feed, size_t n_most, float *x, int32_t *y,
                      size_t *ret_n, struct error *err)
{
    assert(feed->step < feed->cursor.n_steps);
    struct rows *rows = feed->rows;
    size_t n = 0, k = 0;
    int rc = 0;
    for (;;) {
        struct stretch *stretch = &feed->stretches[feed->serving];
        rc = stretch_serve(stretch, rows, feed->step, n_most - n,
                           x + n * rows->n_features, y + n, &k, err);
        n += k;
        if (rc != 0 || n == n_most || feed->step < stretch->through) {
            break;
        }
        rc = turn_over(feed, err);
        if (rc != 0) {
            break;
        }
    }
    if (rc == 0) {
        *ret_n = n;
    }
    return rc;
}

int feed_next(struct feed *feed, size_t n_most, float *x, int32_t *y, size_t *ret_n,
              struct error *err)
{
    return feed->is_ahead ? next_ahead(feed, n_most, x, y, ret_n, err)
                          : next_drawn(feed, n_most, x, y, ret_n, err);
}
