#include "jobs/fl/mix.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/fl/draw.h"

enum { TILE = 512 }; /* coordinates of all rows at a time: they stay in the caches */

/* mixed row `to` = the mean of those rows of the stack, added up in the order given. */
static void mean_of(const struct stack *stack, const int64_t *rows, int64_t n,
                    double *sum, struct stack *mixed, int64_t to)
{
    float *out = stack_row(mixed, to);
    memset(sum, 0, (size_t)stack->n_slice * sizeof *sum);
    for (int64_t k = 0; k < n; k++) {
        const float *row = stack_row(stack, rows[k]);
        for (int64_t j = 0; j < stack->n_slice; j++) {
            sum[j] += (double)row[j];
        }
    }
    for (int64_t j = 0; j < stack->n_slice; j++) {
        out[j] = (float)(sum[j] / (double)n);
    }
}

struct near {
    double square;
    int64_t row;
};

static int compare(const void *a, const void *b)
{
    const struct near *x = a, *y = b;
    int by_square = (x->square > y->square) - (x->square < y->square);
    return by_square != 0 ? by_square : (x->row > y->row) - (x->row < y->row);
}

/* Flags of the rows nearest to row i; itself is the first, whoever is as near. */
static void find_near(const double *square, int64_t n, int64_t i, int64_t n_near,
                      struct near *near, bool *ret_is_near)
{
    for (int64_t k = 0; k < n; k++) {
        near[k] = (struct near){.square = k == i ? -1.0 : square[i * n + k], .row = k};
        ret_is_near[k] = false;
    }
    qsort(near, (size_t)n, sizeof *near, compare);
    for (int64_t k = 0; k < n_near; k++) {
        ret_is_near[near[k].row] = true;
    }
}

static void add(const float *row, double sign, int64_t n, double *sum)
{
    for (int64_t j = 0; j < n; j++) {
        sum[j] += sign * (double)row[j];
    }
}

/* Of each mixed row the coordinates from .. from + n - 1. Where most rows are near, the
 * others are taken off the sum of all: no coordinate is above STACK_MOST, so what is
 * left of such a one by rounding is next to nothing. */
static void mix_tile(const struct stack *stack, const bool *is_near, int64_t n_near,
                     int64_t from, int64_t n, struct stack *mixed)
{
    double total[TILE] = {0.0}, sum[TILE];
    bool is_most = 2 * n_near > stack->n;
    for (int64_t k = 0; is_most && k < stack->n; k++) {
        add(stack_row(stack, k) + from, 1.0, n, total);
    }
    for (int64_t i = 0; i < stack->n; i++) {
        float *out = stack_row(mixed, i) + from;
        memcpy(sum, total, sizeof sum);
        for (int64_t k = 0; k < stack->n; k++) {
            if (is_near[i * stack->n + k] != is_most) {
                add(stack_row(stack, k) + from, is_most ? -1.0 : 1.0, n, sum);
            }
        }
        for (int64_t j = 0; j < n; j++) {
            out[j] = (float)(sum[j] / (double)n_near);
        }
    }
}

int mix_nearest(const struct stack *stack, int64_t n_near, struct stack *mixed,
                struct error *err)
{
    int64_t n = stack->n;
    double *square = malloc((size_t)(n * n) * sizeof *square);
    struct near *near = malloc((size_t)n * sizeof *near);
    bool *is_near = malloc((size_t)(n * n) * sizeof *is_near);
    int rc = square == NULL || near == NULL || is_near == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory to mix updates")
                 : stack_squares(stack, square, err);
    for (int64_t i = 0; rc == 0 && i < n; i++) {
        find_near(square, n, i, n_near, near, is_near + i * n);
    }
    for (int64_t j = 0; rc == 0 && j < stack->n_slice; j += TILE) {
        int64_t left = stack->n_slice - j;
        mix_tile(stack, is_near, n_near, j, left < TILE ? left : TILE, mixed);
    }
    if (rc == 0) {
        mixed->n = n;
    }
    free(square);
    free(near);
    free(is_near);
    return rc;
}

int mix_buckets(const struct stack *stack, int64_t size, struct crypto_stream *stream,
                struct stack *mixed, struct error *err)
{
    int64_t n = stack->n;
    double *sum = malloc((size_t)stack->n_slice * sizeof *sum);
    int64_t *rows = malloc((size_t)(n + 1) * sizeof *rows);
    int rc = sum == NULL || rows == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory to mix updates")
                 : 0;
    for (int64_t i = 0; rc == 0 && i < n; i++) {
        rows[i] = i;
    }
    if (rc == 0) {
        draw_shuffle(stream, rows, n);
        mixed->n = (n + size - 1) / size;
    }
    for (int64_t b = 0; rc == 0 && b < mixed->n; b++) {
        int64_t left = n - b * size;
        mean_of(stack, rows + b * size, left < size ? left : size, sum, mixed, b);
    }
    free(sum);
    free(rows);
    return rc;
}
