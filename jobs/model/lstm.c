/* Long short-term memory along a sequence (Hochreiter, Schmidhuber 1997; kernels.h has
 * the formulas): gates' sums are x_t W + h_(t-1) U + b, with U[out, 4 out], then
 * W[in, 4 out] and b[4 out] in the layer's block, gates in the order in, forget, new,
 * out. Padding leaves the state as it was, so the last place has that of the last
 * token.
 *
 * Back through time every example's dz_t, the gradient of the gates' sums, is kept;
 * with it the gradients are U: sum_t h_(t-1)^T dz_t and W: sum_t x_t^T dz_t, two
 * products over the places as outer.h has them, with their norms: what a record adds at
 * all its places is clipped as one gradient. */
#include "jobs/model/outer.h"

static int64_t places(const struct layer *layer)
{
    return layer->in.h * layer->in.w;
}

static int shape(struct layer *layer, struct error *err)
{
    if (layer->n_tokens == 0) {
        return layer_error(layer, err, "the records of this data set are no tokens");
    }
    if (layer->spec.out < 1) {
        return layer_error(layer, err, "out must be at least 1");
    }
    bool is_last = layer->spec.states == STATES_LAST;
    int64_t c = layer->spec.out;
    layer->out = (struct shape){is_last ? 1 : layer->in.h, layer->in.w, c};
    layer->n_weights = (layer->in.c + c) * 4 * c;
    layer->n_params = layer->n_weights + 4 * c;
    return 0;
}

/* Floats an example of kept gradients: of U, then of W and b; none in a base. */
static int64_t kept_floats(const struct layer *layer, int64_t d, bool has_bias)
{
    int64_t p = 4 * layer->out.c;
    bool is_kept = layer->n_params > 0 && outer_is_kept(layer, places(layer), d, p);
    return is_kept ? (d + has_bias) * p : 0;
}

static int64_t own_floats(const struct layer *layer)
{
    int64_t c = layer->out.c;
    return 6 * places(layer) * c + kept_floats(layer, c, false) +
           kept_floats(layer, layer->in.c, true);
}

/* For one place: what the gates take from the state, the state, the cell's gradient. */
static int64_t shared_floats(const struct layer *layer)
{
    int64_t c = layer->out.c, steps = layer->max_n * 6 * c;
    int64_t outer = outer_shared_floats(layer, 4 * c);
    return steps > outer ? steps : outer;
}

/* Of all examples, one after the other in layer->own: the gates [places, 4 c], later
 * dz; the cells, and the states before [places, c]; kept gradients. */
static float *cell_of(const struct layer *layer)
{
    return layer->own + layer->max_n * 4 * places(layer) * layer->out.c;
}

static float *before_of(const struct layer *layer)
{
    return layer->own + layer->max_n * 5 * places(layer) * layer->out.c;
}

static struct outer outer_of(const struct layer *layer, bool is_input)
{
    int64_t c = layer->out.c, d = is_input ? layer->in.c : c;
    int64_t at = 6 * places(layer) * c + (is_input ? kept_floats(layer, c, false) : 0);
    return (struct outer){.t = places(layer),
                          .d = d,
                          .p = 4 * c,
                          .has_bias = is_input,
                          .a = is_input ? layer->x : before_of(layer),
                          .g = layer->own,
                          .kept = kept_floats(layer, d, is_input) > 0
                                      ? layer->own + layer->max_n * at
                                      : NULL};
}

static void forward(struct layer *layer, const struct kernels *kernels,
                    const float *params, int64_t n)
{
    int64_t t_end = places(layer), d = layer->in.c, c = layer->out.c;
    const float *weight = params + c * 4 * c;
    struct tokens tokens = {.n_places = t_end, .c = c};
    float *step = layer->shared, *state = step + layer->max_n * 4 * c;
    bool is_last = layer->spec.states == STATES_LAST;
    kernels->gemm(false, false, n * t_end, 4 * c, d, layer->x, weight, 0.0f,
                  layer->own);
    kernels->add_bias(n * t_end, 4 * c, weight + d * 4 * c, layer->own);
    kernels->memory->zero(state, (size_t)(n * c) * sizeof *state);
    for (int64_t t = 0; t < t_end; t++) {
        kernels->gemm(false, false, n, 4 * c, c, state, params, 0.0f, step);
        kernels->lstm_forward(&tokens, t, n, layer->ids, step, layer->own,
                              cell_of(layer), before_of(layer), state,
                              is_last ? NULL : layer->y);
    }
    if (is_last) {
        kernels->memory->copy(layer->y, state, (size_t)(n * c) * sizeof *state);
    }
}

static void backward(struct layer *layer, const struct kernels *kernels,
                     const float *params, int64_t n)
{
    int64_t t_end = places(layer), d = layer->in.c, c = layer->out.c;
    struct tokens tokens = {.n_places = t_end, .c = c};
    float *step = layer->shared, *dstate = step + layer->max_n * 4 * c;
    float *dcell = dstate + layer->max_n * c;
    size_t bytes = (size_t)(n * c) * sizeof *dstate;
    bool is_last = layer->spec.states == STATES_LAST;
    kernels->memory->zero(dcell, bytes);
    if (is_last) {
        kernels->memory->copy(dstate, layer->dy, bytes);
    } else {
        kernels->memory->zero(dstate, bytes);
    }
    for (int64_t t = t_end - 1; t >= 0; t--) {
        kernels->lstm_backward(&tokens, t, n, layer->ids, cell_of(layer),
                               is_last ? NULL : layer->dy, layer->own, step, dstate,
                               dcell);
        kernels->gemm(false, true, n, c, 4 * c, step, params, 1.0f, dstate);
    }
    if (layer->dx != NULL) {
        kernels->gemm(false, true, n * t_end, d, 4 * c, layer->own, params + c * 4 * c,
                      0.0f, layer->dx);
    }
}

static void norms(struct layer *layer, const struct kernels *kernels, int64_t n,
                  double *square, double *slack)
{
    struct outer u = outer_of(layer, false), w = outer_of(layer, true);
    outer_norms(layer, kernels, &u, n, square, slack);
    outer_norms(layer, kernels, &w, n, square, slack);
}

/* Both share dz, which has been scaled where it is read. */
static void sum_one(struct layer *layer, const struct kernels *kernels,
                    const struct outer *outer, int64_t n, const float *factor,
                    float *grad)
{
    if (factor != NULL && outer->kept == NULL) {
        kernels->drop_rows(n, outer->t * outer->d, factor, outer->a);
        factor = NULL;
    }
    outer_sum(layer, kernels, outer, n, factor, grad);
}

static void sum(struct layer *layer, const struct kernels *kernels, int64_t n,
                const float *factor, float *grad)
{
    struct outer u = outer_of(layer, false), w = outer_of(layer, true);
    if (factor != NULL && (u.kept == NULL || w.kept == NULL)) {
        kernels->scale_rows(n, u.t * u.p, factor, layer->own);
    }
    sum_one(layer, kernels, &u, n, factor, grad);
    sum_one(layer, kernels, &w, n, factor, grad + outer_n_params(&u));
}

const struct layer_ops layer_lstm = {
    .name = "lstm",
    .shape = shape,
    .own_floats = own_floats,
    .shared_floats = shared_floats,
    .forward = forward,
    .backward = backward,
    .norms = norms,
    .sum = sum,
};
