#include "jobs/model/outer.h"

bool outer_is_kept(const struct layer *layer, int64_t t, int64_t d, int64_t p)
{
    return layer->is_private && (d + 1) * p <= 2 * t * (d + p);
}

int64_t outer_shared_floats(const struct layer *layer)
{
    int64_t sums = layer->max_n * layer->out.c, groups = layer_group_floats(layer);
    return sums > groups ? sums : groups;
}

static void norms_kept(const struct layer *layer, const struct kernels *kernels,
                       const struct outer *outer, int64_t n, double *square)
{
    int64_t t = outer->t, d = outer->d, p = outer->p, len = (d + 1) * p;
    kernels->outer_each(n, t, d, p, outer->a, layer->dy, outer->kept, len);
    kernels->sum_rows_each(n, t, p, layer->dy, outer->kept + d * p, len);
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
    kernels->ghost_square(n, t, d, p, outer->a, layer->dy, ghost, error);
    kernels->square_rows(n, t * d, outer->a, aa);
    kernels->square_rows(n, t * p, layer->dy, gg);
    kernels->sum_rows_each(n, t, p, layer->dy, layer->shared, p);
    kernels->square_rows(n, p, layer->shared, bias);
    kernels->ghost_norms(n, t, gamma, ghost, error, aa, gg, bias, square, slack);
}

void outer_norms(const struct layer *layer, const struct kernels *kernels,
                 const struct outer *outer, int64_t n, double *square, double *slack)
{
    if (outer->kept != NULL) {
        norms_kept(layer, kernels, outer, n, square);
    } else {
        norms_ghost(layer, kernels, outer, n, square, slack);
    }
}

void outer_sum(const struct layer *layer, const struct kernels *kernels,
               const struct outer *outer, int64_t n, const float *factor, float *grad)
{
    int64_t t = outer->t, d = outer->d, p = outer->p;
    if (factor != NULL && outer->kept != NULL) {
        kernels->weighted_sum(n, (d + 1) * p, factor, outer->kept, grad);
        return;
    }
    if (factor != NULL) {
        kernels->scale_rows(n, t * p, factor, layer->dy);
        kernels->drop_rows(n, t * d, factor, outer->a); /* 0 times NaN is NaN */
    }
    layer_sum_outer(layer, kernels, n, t, outer->a, layer->dy, grad);
    if (t == 1) {
        kernels->sum_rows(n, p, layer->dy, grad + d * p);
        return;
    }
    kernels->sum_rows_each(n, t, p, layer->dy, layer->shared, p);
    kernels->sum_rows(n, p, layer->shared, grad + d * p);
}
