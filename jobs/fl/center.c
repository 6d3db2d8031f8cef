#include "jobs/fl/center.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double *new_weights(const struct stack *stack, struct error *err)
{
    double *weights = malloc((size_t)(stack->n + 1) * sizeof *weights);
    for (int64_t i = 0; weights != NULL && i < stack->n; i++) {
        weights[i] = 1.0;
    }
    if (weights == NULL) {
        error_set(err, PPT_ENOMEM, "no memory for the weights of updates");
    }
    return weights;
}

int center_geometric(const struct stack *stack, int64_t n_iterations, double smoothing,
                     double *ret, struct error *err)
{
    double *weights = new_weights(stack, err);
    if (weights == NULL) {
        return -PPT_ENOMEM;
    }
    int rc = 0;
    stack_mean(stack, weights, ret);
    for (int64_t t = 0; rc == 0 && t < n_iterations; t++) {
        rc = stack_squares_to(stack, ret, weights, err);
        for (int64_t i = 0; rc == 0 && i < stack->n; i++) {
            weights[i] = 1.0 / fmax(smoothing, sqrt(weights[i]));
        }
        if (rc == 0) {
            stack_mean(stack, weights, ret);
        }
    }
    free(weights);
    return rc;
}

static void move(const struct stack *stack, const double *scale, double *sum,
                 double *center)
{
    int64_t n = stack->n_slice;
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t i = 0; i < stack->n; i++) {
        const float *row = stack_row(stack, i);
        for (int64_t j = 0; j < n; j++) {
            sum[j] += scale[i] * ((double)row[j] - center[j]);
        }
    }
    for (int64_t j = 0; j < n; j++) {
        center[j] += sum[j] / (double)stack->n;
    }
}

int center_clip(const struct stack *stack, int64_t n_iterations, double clip_norm,
                double *center, struct error *err)
{
    double *scale = new_weights(stack, err);
    double *sum = malloc((size_t)stack->n_slice * sizeof *sum);
    int rc = scale == NULL || sum == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory to clip updates")
                 : 0;
    for (int64_t t = 0; rc == 0 && t < n_iterations; t++) {
        rc = stack_squares_to(stack, center, scale, err);
        for (int64_t i = 0; rc == 0 && i < stack->n; i++) {
            double length = sqrt(scale[i]);
            scale[i] = length > clip_norm ? clip_norm / length : 1.0;
        }
        if (rc == 0) {
            move(stack, scale, sum, center);
        }
    }
    free(scale);
    free(sum);
    return rc;
}
