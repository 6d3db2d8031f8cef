#include "jobs/fl/middle.h"

#include <stdlib.h>

/* Shell's sort with the gaps of Ciura (2001), tripled at the end. */
static void sort(float *x, int64_t n)
{
    static const int64_t gaps[] = {27351, 9117, 3039, 1013, 701, 301,
                                   132,   57,   23,   10,   4,   1};
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++) {
        for (int64_t i = gaps[g]; i < n; i++) {
            float value = x[i];
            int64_t at = i;
            for (; at >= gaps[g] && x[at - gaps[g]] > value; at -= gaps[g]) {
                x[at] = x[at - gaps[g]];
            }
            x[at] = value;
        }
    }
}

static double mean(const float *x, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i];
    }
    return sum / (double)n;
}

/* Where the n_kept that are nearest the median begin. */
static int64_t first_near(const float *sorted, int64_t n, int64_t n_kept)
{
    double median = mean(sorted + (n - 1) / 2, 2 - n % 2);
    int64_t first = 0;
    while (first + n_kept < n &&
           (double)sorted[first + n_kept] - median < median - (double)sorted[first]) {
        first++;
    }
    return first;
}

/* As many columns at once as a line of the cache holds of a row. */
enum { WIDTH = 16 };

static int keep(const struct stack *stack, int64_t n_kept, bool is_near, double *ret,
                struct error *err)
{
    int64_t n = stack->n;
    float *columns = malloc((size_t)(WIDTH * n + 1) * sizeof *columns);
    if (columns == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for a coordinate of updates");
    }
    for (int64_t j = 0; j < stack->n_slice; j += WIDTH) {
        for (int64_t i = 0; i < n; i++) {
            for (int64_t k = 0; k < WIDTH; k++) {
                columns[k * n + i] = stack_row(stack, i)[j + k];
            }
        }
        for (int64_t k = 0; k < WIDTH; k++) {
            float *column = columns + k * n;
            sort(column, n);
            int64_t first = is_near ? first_near(column, n, n_kept) : (n - n_kept) / 2;
            ret[j + k] = mean(column + first, n_kept);
        }
    }
    free(columns);
    return 0;
}

int middle_trim(const struct stack *stack, int64_t n_kept, double *ret,
                struct error *err)
{
    return keep(stack, n_kept, false, ret, err);
}

int middle_near(const struct stack *stack, int64_t n_kept, double *ret,
                struct error *err)
{
    return keep(stack, n_kept, true, ret, err);
}
