#include "jobs/fl/stack.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16, LANES = 8, LIMBS = 3, LIMB_BITS = 40 };

/* Sums of squares in units of 2^-64. */
typedef unsigned __int128 exact;

int stack_open(struct stack *stack, struct comm *comm, int64_t n_most, int64_t n_slice,
               struct error *err)
{
    assert(n_slice % BLOCK == 0);
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

/* A block's sum of squares is below 2^22: what is cut off is below a unit. */
static inline exact units(double square)
{
    double high = floor(square * 0x1p32);
    uint64_t low = (uint64_t)((square * 0x1p32 - high) * 0x1p32);
    return ((exact)(uint64_t)high << 32) + low;
}

static inline double fold(const double *lane)
{
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) +
           ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

static exact square_between(const float *a, const float *b, int64_t n)
{
    exact sum = 0;
    for (int64_t j = 0; j < n; j += BLOCK) {
        double lane[LANES] = {0.0};
        for (int half = 0; half < BLOCK; half += LANES) {
            for (int k = 0; k < LANES; k++) {
                double d = (double)a[j + half + k] - (double)b[j + half + k];
                lane[k] += d * d;
            }
        }
        sum += units(fold(lane));
    }
    return sum;
}

static exact square_to(const float *a, const double *b, int64_t n)
{
    exact sum = 0;
    for (int64_t j = 0; j < n; j += BLOCK) {
        double lane[LANES] = {0.0};
        for (int half = 0; half < BLOCK; half += LANES) {
            for (int k = 0; k < LANES; k++) {
                double d = (double)a[j + half + k] - b[j + half + k];
                lane[k] += d * d;
            }
        }
        sum += units(fold(lane));
    }
    return sum;
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

static double *new_limbs(int64_t n, struct error *err)
{
    double *limbs = malloc((size_t)(n * LIMBS + 1) * sizeof *limbs);
    if (limbs == NULL) {
        error_set(err, PPT_ENOMEM, "no memory for the distances of updates");
    }
    return limbs;
}

int stack_squares(const struct stack *stack, double *ret, struct error *err)
{
    int64_t n = stack->n, n_pairs = n * (n - 1) / 2, p = 0;
    double *limbs = new_limbs(n_pairs, err);
    if (limbs == NULL) {
        return -PPT_ENOMEM;
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = i + 1; k < n; k++) {
            split(square_between(stack_row(stack, i), stack_row(stack, k),
                                 stack->n_slice),
                  limbs + LIMBS * p++);
        }
    }
    int rc =
        stack->comm->ops->sum_f64(stack->comm, limbs, (size_t)(n_pairs * LIMBS), err);
    p = 0;
    for (int64_t i = 0; rc == 0 && i < n; i++) {
        ret[i * n + i] = 0.0;
        for (int64_t k = i + 1; k < n; k++) {
            ret[i * n + k] = ret[k * n + i] = join(limbs + LIMBS * p++);
        }
    }
    free(limbs);
    return rc;
}

int stack_squares_to(const struct stack *stack, const double *center, double *ret,
                     struct error *err)
{
    double *limbs = new_limbs(stack->n, err);
    if (limbs == NULL) {
        return -PPT_ENOMEM;
    }
    for (int64_t i = 0; i < stack->n; i++) {
        split(square_to(stack_row(stack, i), center, stack->n_slice),
              limbs + LIMBS * i);
    }
    int rc =
        stack->comm->ops->sum_f64(stack->comm, limbs, (size_t)(stack->n * LIMBS), err);
    for (int64_t i = 0; rc == 0 && i < stack->n; i++) {
        ret[i] = join(limbs + LIMBS * i);
    }
    free(limbs);
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
