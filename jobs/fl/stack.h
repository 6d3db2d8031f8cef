/* The updates of a round's cohort side by side, cut by coordinates: each rank has its
 * slice of every one. Private to this room, but for tests.
 *
 * Distances are sums over all coordinates, so over ranks. Squares are added up in
 * double over blocks of 16 coordinates, which lie within one slice whatever the number
 * of ranks, and blocks as whole numbers of 2^-64, exactly (kernels/square.h): a
 * distance is the same bits for any number of ranks, on every rank. Memory of a rank: 4
 * bytes for each vector and coordinate of its slice. A vector is told to all ranks,
 * which keep their slices of it.
 */
#ifndef PPT_JOBS_FL_STACK_H
#define PPT_JOBS_FL_STACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/comm.h"

/* No coordinate of an update is larger. */
#define STACK_MOST 256.0
/* Plain sums are of whole multiples of this, which add up exactly. */
#define STACK_STEP 0x1p-44

struct stack {
    struct comm *comm;
    int64_t n_most, n; /* vectors: that there is room for, and that there are */
    int64_t n_slice;   /* coordinates of this rank's slice: a multiple of 16 */
    float *rows;       /* [n_most][n_slice] */
};

/* Zeros; n = n_most. Close with stack_close. Errors: PPT_ENOMEM. */
int stack_open(struct stack *stack, struct comm *comm, int64_t n_most, int64_t n_slice,
               struct error *err);
void stack_close(struct stack *stack);

static inline float *stack_row(const struct stack *stack, int64_t i)
{
    return stack->rows + i * stack->n_slice;
}

/* Vector i, from rank `from`: whole[size * n_slice], which the other ranks get too.
 * Every rank calls it. Errors: PPT_ECOMM. */
int stack_put(struct stack *stack, int64_t i, int from, float *whole,
              struct error *err);

/* Vector i from everybody's slices: ret[size * n_slice], on all ranks. Every rank calls
 * it. Errors: PPT_ECOMM. */
int stack_whole(const struct stack *stack, int64_t i, float *ret, struct error *err);

/* Are these numbers an update: finite, at most STACK_MOST? */
bool stack_is_update(const float *whole, int64_t n);

/* Keeps the vectors whose flag is set, in their order. */
void stack_keep(struct stack *stack, const bool *is_kept);

/* ret[n * n]: |g_i - g_j|^2, symmetric, on all ranks. Every rank calls it; takes 40
 * bytes a pair and 2 KiB a vector. Errors: PPT_ECOMM, PPT_ENOMEM. */
int stack_squares(const struct stack *stack, double *ret, struct error *err);

/* ret[n]: |g_i - center|^2 for this rank's slice of a center whose coordinates are at
 * most STACK_MOST. Every rank calls it. Errors: PPT_ECOMM, PPT_ENOMEM. */
int stack_squares_to(const struct stack *stack, const double *center, double *ret,
                     struct error *err);

/* ret[n_slice] = sum_i weight[i] g_i / sum_i weight[i], in the order of i. */
void stack_mean(const struct stack *stack, const double *weight, double *ret);

#endif
