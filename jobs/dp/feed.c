#include "jobs/dp/feed.h"

#include <stdlib.h>

int feed_open(struct feed *feed, struct rows *rows,
              const unsigned char key[CRYPTO_KEY_SIZE], double sample_rate,
              int64_t n_steps, size_t max, struct error *err)
{
    *feed = (struct feed){.rows = rows, .max = max, .is_ahead = rows->ahead_bytes > 0};
    int rc = sampler_open(&feed->sampler, key, sample_rate, rows->n_rows, err);
    if (rc != 0) {
        return rc;
    }
    feed->cursor =
        (struct stretch_cursor){.sampler = &feed->sampler, .n_steps = n_steps};
    if (feed->is_ahead) {
        rc = stretch_open(&feed->stretch, rows->record_bytes, rows->ahead_bytes, err);
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
    if (feed->rows == NULL) {
        return;
    }
    stretch_close(&feed->stretch);
    free(feed->indices);
    sampler_close(&feed->sampler);
    *feed = (struct feed){0};
}

void feed_begin(struct feed *feed, int64_t step)
{
    feed->step = step;
    if (!feed->is_ahead) {
        sampler_begin(&feed->sampler, step);
    } else if (!feed->is_started) {
        feed->cursor.step = feed->stretch.through = step;
        feed->is_started = true;
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
    struct rows *rows = feed->rows;
    size_t n = 0, k = 0;
    int rc = 0;
    for (;;) {
        rc = stretch_serve(&feed->stretch, rows, feed->step, n_most - n,
                           x + n * rows->n_features, y + n, &k, err);
        n += k;
        if (rc != 0 || n == n_most || feed->step < feed->stretch.through) {
            break;
        }
        rc = stretch_fill(&feed->stretch, &feed->cursor, rows, err);
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
