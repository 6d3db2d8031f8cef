#include "jobs/model/outer.h"

bool outer_is_kept(const struct layer *layer, int64_t t, int64_t d, int64_t p)
{
    return layer->is_private && (d + 1) * p <= 2 * t * (d + p);
}

int64_t outer_n_params(const struct outer *outer)
{
    return (outer->d + outer->has_bias) * outer->p;
}

int64_t outer_shared_floats(const struct layer *layer, int64_t most_p)
{
    int64_t sums = layer->max_n * most_p, groups = layer_group_floats(layer);
    return sums > groups ? sums : groups;
}

static void norms_kept(const struct kernels *kernels, const struct outer *outer,
                       int64_t n, double *square)
{
    int64_t t = outer->t, d = outer->d, p = outer->p, len = outer_n_params(outer);
    kernels->outer_each(n, t, d, p, outer->a, outer->g, outer->kept, len);
    if (outer->has_bias) {
        kernels->sum_rows_each(n, t, p, outer->g, outer->kept + d * p, len);
    }
    kernels->add_square_rows(n, len, outer->kept, square);
}

static void norms_ghost(const struct layer *layer, const struct kernels *kernels,
                        const struct outer *outer, int64_t n, double *square,
                        double *slack)
{
    int64_t t = outer->t, d = outer->d, p = outer->p, m = layer->max_n;
    double *ghost = layer->temp, *error = layer->temp + m, *aa = layer->temp + 2 * m;
    double *gg = layer->temp + 3 * m, *bias = layer->temp + 4 * m;
    double gamma = layer_gamma((n < layer->group ? n : layer->group) * t + 2);
    kernels->ghost_square(n, t, d, p, outer->a, outer->g, ghost, error);
    kernels->square_rows(n, t * d, outer->a, aa);
    kernels->square_rows(n, t * p, outer->g, gg);
    if (outer->has_bias) {
        kernels->sum_rows_each(n, t, p, outer->g, layer->shared, p);
        kernels->square_rows(n, p, layer->shared, bias);
    } else {
        kernels->memory->zero(bias, (size_t)n * sizeof *bias);
    }
    kernels->ghost_norms(n, t, gamma, ghost, error, aa, gg, bias, square, slack);
}

void outer_norms(const struct layer *layer, const struct kernels *kernels,
                 const struct outer *outer, int64_t n, double *square, double *slack)
{
    if (outer->kept != NULL) {
        norms_kept(kernels, outer, n, square);
    } else {
        norms_ghost(layer, kernels, outer, n, square, slack);
    }
}

void outer_sum(const struct layer *layer, const struct kernels *kernels,
               const struct outer *outer, int64_t n, const float *factor, float *grad)
{
    int64_t t = outer->t, d = outer->d, p = outer->p;
    if (factor != NULL && outer->kept != NULL) {
        kernels->weighted_sum(n, outer_n_params(outer), factor, outer->kept, grad);
        return;
    }
    if (factor != NULL) {
        kernels->scale_rows(n, t * p, factor, outer->g);
        kernels->drop_rows(n, t * d, factor, outer->a); /* 0 times NaN is NaN */
    }
    layer_sum_outer(layer, kernels, n, t, d, p, outer->a, outer->g, grad);
    if (!outer->has_bias) {
        return;
    }
    if (t == 1) {
        kernels->sum_rows(n, p, outer->g, grad + d * p);
        return;
    }
    kernels->sum_rows_each(n, t, p, outer->g, layer->shared, p);
    kernels->sum_rows(n, p, layer->shared, grad + d * p);
}
