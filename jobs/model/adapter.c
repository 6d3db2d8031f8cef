/* A frozen linear layer with low-rank factors (LoRA: Hu et al. 2021, arXiv 2106.09685):
 * y = x W + b + s (x A) B with A[in, rank] and B[rank, out], which alone are trained,
 * and s = alpha / rank. B begins at zero, so training begins with the base's own
 * function.
 *
 * With u = s x A and du = s dy B^T the gradients are A: x^T du and B: u^T dy, two
 * products as outer.h has them, of rank columns and rank rows: an example's are (in +
 * out) rank floats, and W's own gradient is never made. */
#include "jobs/model/outer.h"

static int64_t places(const struct layer *layer)
{
    return layer->in.h * layer->in.w;
}

static int shape(struct layer *layer, struct error *err)
{
    int rc = layer_linear.shape(layer, err);
    if (rc != 0) {
        return rc;
    }
    layer->n_frozen = layer->n_params;
    layer->n_weights = layer->n_params =
        layer->spec.rank * (layer->in.c + layer->out.c);
    return 0;
}

static float *u_of(const struct layer *layer)
{
    return layer->own;
}

static float *du_of(const struct layer *layer)
{
    return layer->own + layer->max_n * places(layer) * layer->spec.rank;
}

/* Floats an example of kept gradients: of A, then of B. */
static int64_t kept_floats(const struct layer *layer, int64_t d, int64_t p)
{
    return outer_is_kept(layer, places(layer), d, p) ? d * p : 0;
}

/* x^T du; kept behind u and du. */
static struct outer a_of(const struct layer *layer)
{
    int64_t t = places(layer), d = layer->in.c, r = layer->spec.rank;
    float *kept = layer->own + layer->max_n * 2 * t * r;
    return (struct outer){.t = t,
                          .d = d,
                          .p = r,
                          .a = layer->x,
                          .g = du_of(layer),
                          .kept = kept_floats(layer, d, r) > 0 ? kept : NULL};
}

/* u^T dy; kept at the end. */
static struct outer b_of(const struct layer *layer)
{
    int64_t t = places(layer), p = layer->out.c, r = layer->spec.rank;
    float *kept =
        layer->own + layer->max_n * (2 * t * r + kept_floats(layer, layer->in.c, r));
    return (struct outer){.t = t,
                          .d = r,
                          .p = p,
                          .a = u_of(layer),
                          .g = layer->dy,
                          .kept = kept_floats(layer, r, p) > 0 ? kept : NULL};
}

static int64_t own_floats(const struct layer *layer)
{
    int64_t r = layer->spec.rank;
    return 2 * places(layer) * r + kept_floats(layer, layer->in.c, r) +
           kept_floats(layer, r, layer->out.c);
}

static int64_t shared_floats(const struct layer *layer)
{
    int64_t p = layer->out.c, r = layer->spec.rank;
    return outer_shared_floats(layer, p > r ? p : r);
}

/* Rows of u or du. */
static void scale(const struct layer *layer, const struct kernels *kernels,
                  int64_t rows, float *x)
{
    double rank = (double)layer->spec.rank;
    if (layer->spec.alpha > 0.0) {
        kernels->scale(rows * layer->spec.rank, (float)(layer->spec.alpha / rank), x);
    }
}

static void forward(struct layer *layer, const struct kernels *kernels,
                    const float *params, int64_t n)
{
    int64_t rows = n * places(layer), d = layer->in.c, p = layer->out.c;
    int64_t r = layer->spec.rank;
    layer_linear.forward(layer, kernels, layer->frozen, n);
    kernels->gemm(false, false, rows, r, d, layer->x, params, 0.0f, u_of(layer));
    scale(layer, kernels, rows, u_of(layer));
    kernels->gemm(false, false, rows, p, r, u_of(layer), params + d * r, 1.0f,
                  layer->y);
}

static void backward(struct layer *layer, const struct kernels *kernels,
                     const float *params, int64_t n)
{
    int64_t rows = n * places(layer), d = layer->in.c, p = layer->out.c;
    int64_t r = layer->spec.rank;
    kernels->gemm(false, true, rows, r, p, layer->dy, params + d * r, 0.0f,
                  du_of(layer));
    scale(layer, kernels, rows, du_of(layer));
    if (layer->dx != NULL) {
        layer_linear.backward(layer, kernels, layer->frozen, n);
        kernels->gemm(false, true, rows, d, r, du_of(layer), params, 1.0f, layer->dx);
    }
}

static void norms(struct layer *layer, const struct kernels *kernels, int64_t n,
                  double *square, double *slack)
{
    struct outer a = a_of(layer), b = b_of(layer);
    outer_norms(layer, kernels, &a, n, square, slack);
    outer_norms(layer, kernels, &b, n, square, slack);
}

static void sum(struct layer *layer, const struct kernels *kernels, int64_t n,
                const float *factor, float *grad)
{
    struct outer a = a_of(layer), b = b_of(layer);
    outer_sum(layer, kernels, &a, n, factor, grad);
    outer_sum(layer, kernels, &b, n, factor, grad + outer_n_params(&a));
}

const struct layer_ops layer_adapter = {
    .name = "linear",
    .shape = shape,
    .own_floats = own_floats,
    .shared_floats = shared_floats,
    .forward = forward,
    .backward = backward,
    .norms = norms,
    .sum = sum,
};
