#include "jobs/model/layer.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static const struct layer_ops *const table[LAYER_N_KINDS] = {
    [LAYER_LINEAR] = &layer_linear,
    [LAYER_CONV2D] = &layer_conv2d,
    [LAYER_MAX_POOL] = &layer_max_pool,
    [LAYER_AVG_POOL] = &layer_avg_pool,
    [LAYER_GROUP_NORM] = &layer_group_norm,
    [LAYER_LAYER_NORM] = &layer_layer_norm,
    [LAYER_RELU] = &layer_relu,
    [LAYER_TANH] = &layer_tanh,
    [LAYER_TEMPERED_SIGMOID] = &layer_tempered_sigmoid,
    [LAYER_GELU] = &layer_gelu,
    [LAYER_RESIDUAL] = &layer_residual,
    [LAYER_FLATTEN] = &layer_flatten,
    [LAYER_EMBEDDING] = &layer_embedding,
    [LAYER_POSITION] = &layer_position,
    [LAYER_ATTENTION] = &layer_attention,
    [LAYER_TOKEN_MEAN] = &layer_token_mean,
    [LAYER_LSTM] = &layer_lstm,
};

const struct layer_ops *layer_ops_of(const struct spec_layer *spec)
{
    return spec->rank > 0 ? &layer_adapter : table[spec->kind];
}

int layer_error(const struct layer *layer, struct error *err, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return error_set(err, PPT_ESPEC, "model.layers[%d] (%s): %s", layer->number,
                     layer->ops->name, text);
}

int layer_slide(struct layer *layer, int64_t stride, int64_t pad, struct error *err)
{
    int64_t size = layer->spec.kernel;
    int64_t h = layer->in.h + 2 * pad, w = layer->in.w + 2 * pad;
    if (size < 1 || stride < 1 || pad < 0 || pad >= size) {
        return layer_error(layer, err,
                           "kernel %lld, stride %lld, padding %lld: expected kernel >= "
                           "1, stride >= 1 and 0 <= padding < kernel",
                           (long long)size, (long long)stride, (long long)pad);
    }
    if (size > h || size > w) {
        return layer_error(layer, err,
                           "kernel %lld is larger than its input of %lld x %lld",
                           (long long)size, (long long)h, (long long)w);
    }
    layer->window = (struct window){
        .h = layer->in.h,
        .w = layer->in.w,
        .c = layer->in.c,
        .size = size,
        .stride = stride,
        .pad = pad,
        .out_h = (h - size) / stride + 1,
        .out_w = (w - size) / stride + 1,
    };
    layer->out = (struct shape){layer->window.out_h, layer->window.out_w, layer->in.c};
    return 0;
}

double layer_gamma(int64_t k)
{
    double ku = (double)k * 0x1p-24;
    return ku < 0.5 ? ku / (1.0 - ku) : INFINITY;
}

int64_t layer_group_floats(const struct layer *layer)
{
    return layer->group >= layer->max_n
               ? 0
               : (layer->max_n / layer->group + 1) * layer->n_weights;
}

void layer_sum_outer(const struct layer *layer, const struct kernels *kernels,
                     int64_t n, int64_t t, int64_t d, int64_t p, const float *a,
                     const float *g, float *grad)
{
    int64_t len = d * p;
    int64_t group = layer->group;
    if (group >= n) {
        kernels->gemm(true, false, d, p, n * t, a, g, 0.0f, grad);
        return;
    }
    int64_t whole = n / group, rest = n % group, done = whole * group * t;
    kernels->outer_each(whole, group * t, d, p, a, g, layer->shared, len);
    if (rest > 0) {
        kernels->gemm(true, false, d, p, rest * t, a + done * d, g + done * p, 0.0f,
                      layer->shared + whole * len);
    }
    kernels->sum_rows(whole + (rest > 0), len, layer->shared, grad);
}
