#include "jobs/fl/stack.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/square.h"

enum { LIMBS = 3, LIMB_BITS = 40 };
enum { TILE = 256 }; /* coordinates of all rows at a time: they stay in the caches */

/* Sums of squares in units of 2^-64. */
typedef unsigned __int128 exact;

int stack_open(struct stack *stack, struct comm *comm, int64_t n_most, int64_t n_slice,
               struct error *err)
{
    assert(n_slice % SQUARE_BLOCK == 0);
    *stack =
        (struct stack){.comm = comm, .n_most = n_most, .n = n_most, .n_slice = n_slice};
    stack->rows = calloc((size_t)(n_most * n_slice), sizeof *stack->rows);
    if (stack->rows == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for the updates of %lld clients",
                         (long long)n_most);
    }
    return 0;
}

void stack_close(struct stack *stack)
{
    free(stack->rows);
    *stack = (struct stack){0};
}

int stack_put(struct stack *stack, int64_t i, int from, float *whole, struct error *err)
{
    struct comm *comm = stack->comm;
    size_t n_bytes = (size_t)stack->n_slice * sizeof *whole;
    int rc = comm->ops->broadcast(comm, whole, (size_t)comm->size * n_bytes, from, err);
    if (rc == 0) {
        memcpy(stack_row(stack, i), whole + comm->rank * stack->n_slice, n_bytes);
    }
    return rc;
}

int stack_whole(const struct stack *stack, int64_t i, float *ret, struct error *err)
{
    return stack->comm->ops->all_gather_f32(stack->comm, stack_row(stack, i), ret,
                                            (size_t)stack->n_slice, err);
}

bool stack_is_update(const float *whole, int64_t n)
{
    for (int64_t j = 0; j < n; j++) {
        if (!(fabs((double)whole[j]) <= STACK_MOST)) {
            return false;
        }
    }
    return true;
}

void stack_keep(struct stack *stack, const bool *is_kept)
{
    int64_t n = 0;
    for (int64_t i = 0; i < stack->n; i++) {
        if (is_kept[i]) {
            memmove(stack_row(stack, n++), stack_row(stack, i),
                    (size_t)stack->n_slice * sizeof *stack->rows);
        }
    }
    stack->n = n;
}

/* n at most TILE. */
static exact units_between(const double *a, const double *b, int64_t n)
{
    double high, low;
    square_between(n, a, b, &high, &low);
    return ((exact)(uint64_t)(high * 0x1p20) << 44) +
           (exact)(__int128)(int64_t)(low * 0x1p64);
}

static void widen(const float *row, int64_t n, double *ret)
{
    for (int64_t j = 0; j < n; j++) {
        ret[j] = (double)row[j];
    }
}

/* Three numbers that ranks add up without rounding. */
static void split(exact sum, double *limbs)
{
    const uint64_t mask = ((uint64_t)1 << LIMB_BITS) - 1;
    for (int l = 0; l < LIMBS; l++) {
        limbs[l] = (double)((uint64_t)(sum >> (l * LIMB_BITS)) & mask);
    }
}

static double join(const double *limbs)
{
    exact sum = 0;
    for (int l = 0; l < LIMBS; l++) {
        sum += (exact)(uint64_t)limbs[l] << (l * LIMB_BITS);
    }
    return (double)sum * 0x1p-64;
}

/* sums[i] of all ranks to ret[i]. */
static int join_all(const struct stack *stack, const exact *sums, int64_t n,
                    double *ret, struct error *err)
{
    double *limbs = malloc((size_t)(n * LIMBS + 1) * sizeof *limbs);
    if (limbs == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for the distances of updates");
    }
    for (int64_t i = 0; i < n; i++) {
        split(sums[i], limbs + LIMBS * i);
    }
    int rc = stack->comm->ops->sum_f64(stack->comm, limbs, (size_t)(n * LIMBS), err);
    for (int64_t i = 0; rc == 0 && i < n; i++) {
        ret[i] = join(limbs + LIMBS * i);
    }
    free(limbs);
    return rc;
}

/* Of this rank's slices, pair by pair; rows[n][TILE] is for work. */
static void add_pairs(const struct stack *stack, double *rows, exact *sums)
{
    int64_t n = stack->n;
    for (int64_t from = 0; from < stack->n_slice; from += TILE) {
        int64_t left = stack->n_slice - from, len = left < TILE ? left : TILE;
        exact *sum = sums;
        for (int64_t i = 0; i < n; i++) {
            widen(stack_row(stack, i) + from, len, rows + i * TILE);
        }
        for (int64_t i = 0; i < n; i++) {
            for (int64_t k = i + 1; k < n; k++) {
                *sum++ += units_between(rows + i * TILE, rows + k * TILE, len);
            }
        }
    }
}

int stack_squares(const struct stack *stack, double *ret, struct error *err)
{
    int64_t n = stack->n, n_pairs = n * (n - 1) / 2;
    exact *sums = calloc((size_t)n_pairs + 1, sizeof *sums);
    double *rows = malloc((size_t)n * TILE * sizeof *rows);
    int rc = sums == NULL || rows == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory for the distances of updates")
                 : 0;
    if (rc == 0) {
        add_pairs(stack, rows, sums);
        rc = join_all(stack, sums, n_pairs, ret, err);
    }
    free(sums);
    free(rows);
    /* From the last pair on, so that none is written over before it is read. */
    for (int64_t i = n - 1, p = n_pairs; rc == 0 && i >= 0; i--) {
        for (int64_t k = n - 1; k > i; k--) {
            ret[i * n + k] = ret[--p];
        }
    }
    for (int64_t i = 0; rc == 0 && i < n; i++) {
        ret[i * n + i] = 0.0;
        for (int64_t k = 0; k < i; k++) {
            ret[i * n + k] = ret[k * n + i];
        }
    }
    return rc;
}

int stack_squares_to(const struct stack *stack, const double *center, double *ret,
                     struct error *err)
{
    double row[TILE];
    exact *sums = calloc((size_t)stack->n + 1, sizeof *sums);
    if (sums == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for the distances of updates");
    }
    for (int64_t i = 0; i < stack->n; i++) {
        for (int64_t from = 0; from < stack->n_slice; from += TILE) {
            int64_t left = stack->n_slice - from, len = left < TILE ? left : TILE;
            widen(stack_row(stack, i) + from, len, row);
            sums[i] += units_between(row, center + from, len);
        }
    }
    int rc = join_all(stack, sums, stack->n, ret, err);
    free(sums);
    return rc;
}

void stack_mean(const struct stack *stack, const double *weight, double *ret)
{
    double total = 0.0;
    memset(ret, 0, (size_t)stack->n_slice * sizeof *ret);
    for (int64_t i = 0; i < stack->n; i++) {
        const float *row = stack_row(stack, i);
        total += weight[i];
        for (int64_t j = 0; j < stack->n_slice; j++) {
            ret[j] += weight[i] * (double)row[j];
        }
    }
    for (int64_t j = 0; total > 0.0 && j < stack->n_slice; j++) {
        ret[j] /= total;
    }
}
