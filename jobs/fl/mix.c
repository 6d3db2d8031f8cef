#include "jobs/fl/mix.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/fl/draw.h"

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

static int compare_rows(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The rows nearest to row i, ascending; i is the first, whoever is as near. */
static void find_near(const double *square, int64_t n, int64_t i, int64_t n_near,
                      struct near *near, int64_t *ret_rows)
{
    for (int64_t k = 0; k < n; k++) {
        near[k] = (struct near){.square = k == i ? -1.0 : square[i * n + k], .row = k};
    }
    qsort(near, (size_t)n, sizeof *near, compare);
    for (int64_t k = 0; k < n_near; k++) {
        ret_rows[k] = near[k].row;
    }
    qsort(ret_rows, (size_t)n_near, sizeof *ret_rows, compare_rows);
}

int mix_nearest(const struct stack *stack, int64_t n_near, struct stack *mixed,
                struct error *err)
{
    int64_t n = stack->n;
    double *square = malloc((size_t)(n * n) * sizeof *square);
    double *sum = malloc((size_t)stack->n_slice * sizeof *sum);
    struct near *near = malloc((size_t)n * sizeof *near);
    int64_t *rows = malloc((size_t)n * sizeof *rows);
    int rc = square == NULL || sum == NULL || near == NULL || rows == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory to mix updates")
                 : stack_squares(stack, square, err);
    for (int64_t i = 0; rc == 0 && i < n; i++) {
        find_near(square, n, i, n_near, near, rows);
        mean_of(stack, rows, n_near, sum, mixed, i);
    }
    if (rc == 0) {
        mixed->n = n;
    }
    free(square);
    free(sum);
    free(near);
    free(rows);
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
