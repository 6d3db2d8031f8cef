#include "jobs/model/net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct spec_model *model, struct spec_layer layer)
{
    model->layers[model->n_layers++] = layer;
}

/* A preset as the list of layers that it stands for. */
static struct spec_model spell_out(const struct spec_model *model)
{
    struct spec_model list = {.preset = PRESET_LAYERS};
    struct spec_layer flatten = {.kind = LAYER_FLATTEN};
    struct spec_layer last = {.kind = LAYER_LINEAR};
    struct spec_layer act = {.kind = LAYER_TANH};
    struct spec_layer pool = {.kind = LAYER_MAX_POOL, .kernel = 2, .stride = 1};
    switch (model->preset) {
    case PRESET_LOGISTIC:
        add(&list, flatten);
        break;
    case PRESET_MLP:
        add(&list, flatten);
        add(&list, (struct spec_layer){.kind = LAYER_LINEAR, .out = model->hidden});
        add(&list, (struct spec_layer){.kind = LAYER_RELU});
        break;
    case PRESET_CNN:
        add(&list, (struct spec_layer){.kind = LAYER_CONV2D,
                                       .out = 16,
                                       .kernel = 8,
                                       .stride = 2,
                                       .padding = 3});
        add(&list, act);
        add(&list, pool);
        add(&list, (struct spec_layer){
                       .kind = LAYER_CONV2D, .out = 32, .kernel = 4, .stride = 2});
        add(&list, act);
        add(&list, pool);
        add(&list, flatten);
        add(&list, (struct spec_layer){.kind = LAYER_LINEAR, .out = 32});
        add(&list, act);
        break;
    default:
        return *model;
    }
    add(&list, last);
    return list;
}

/* dims {n}, {h, w} or {c, h, w}. */
static struct shape shape_of(const struct manifest_split *split)
{
    const int64_t *dims = split->dims;
    switch (split->n_dims) {
    case 1:
        return (struct shape){1, 1, dims[0]};
    case 2:
        return (struct shape){dims[0], dims[1], 1};
    default:
        return (struct shape){dims[1], dims[2], dims[0]};
    }
}

static int fit_layer(struct net *net, struct layer *layer, int number,
                     const struct spec_layer *spec, bool has_base, bool is_last,
                     struct error *err)
{
    *layer = (struct layer){
        .ops = layer_ops_of(spec),
        .spec = *spec,
        .number = number,
        .in = number == 0 ? net->in : layer[-1].out,
        .is_private = net->is_private,
        .n_tokens = net->n_tokens,
        .offset = net->n_params,
    };
    if (is_last && spec->kind == LAYER_LINEAR && spec->out == 0) {
        layer->spec.out = net->n_classes;
    }
    int rc = layer->ops->shape(layer, err);
    if (rc != 0) {
        return rc;
    }
    if (has_base && !is_last && spec->rank == 0) {
        layer->n_frozen = layer->n_params;
        layer->n_params = 0;
    }
    if (layer_size(layer->out) > INT32_MAX || layer->n_params > INT32_MAX ||
        layer->n_frozen > INT32_MAX) {
        return layer_error(layer, err, "more than 2^31 outputs or parameters");
    }
    layer->frozen_offset = net->n_frozen;
    net->n_params += layer->n_params;
    net->n_frozen += layer->n_frozen;
    return 0;
}

int net_build(const struct spec_model *model, const struct manifest_split *split,
              bool is_private, struct net *ret_net, struct error *err)
{
    struct spec_model list = spell_out(model);
    struct net net = {
        .in = shape_of(split), .n_classes = split->n_classes, .is_private = is_private};
    net.n_features = layer_size(net.in);
    net.n_tokens = split->n_tokens;
    net.first = -1;
    if (list.n_layers < 1) {
        return error_set(err, PPT_ESPEC, "model.layers: expected at least one layer");
    }
    if (net.n_tokens > 0 && list.layers[0].kind != LAYER_EMBEDDING) {
        return error_set(err, PPT_ESPEC,
                         "model: the records of this data set are tokens: expected "
                         "layers that begin with embedding");
    }
    for (int i = 0; i < list.n_layers; i++) {
        int rc = fit_layer(&net, &net.layers[i], i, &list.layers[i],
                           list.base.file[0] != '\0', i == list.n_layers - 1, err);
        if (rc != 0) {
            return rc;
        }
        net.n_layers = i + 1;
        net.first = net.first < 0 && net.layers[i].n_params > 0 ? i : net.first;
    }
    const struct layer *last = &net.layers[net.n_layers - 1];
    if (last->out.h != 1 || last->out.w != 1 || last->out.c != net.n_classes) {
        return layer_error(
            last, err,
            "the last layer gives %lld x %lld x %lld values but the data set has %lld "
            "classes; end with a linear layer",
            (long long)last->out.h, (long long)last->out.w, (long long)last->out.c,
            (long long)net.n_classes);
    }
    if (net.first < 0) {
        return error_set(err, PPT_ESPEC, "model.layers: no layer has parameters");
    }
    *ret_net = net;
    return 0;
}

/* splitmix64 (Steele, Lea, Flood 2014): for initial weights only, where neither secrecy
 * nor long streams matter. */
static double next_uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static void fill(uint64_t *state, double fan_in, int64_t n, float *block)
{
    double width = sqrt(3.0 / fan_in);
    for (int64_t j = 0; j < n; j++) {
        block[j] = (float)(width * (2.0 * next_uniform(state) - 1.0));
    }
}

/* The forget gate's bias begins at 1, so that the cell remembers at first (Jozefowicz
 * et al. 2015). */
static void init_lstm(const struct layer *layer, uint64_t *state, float *block)
{
    int64_t c = layer->out.c, d = layer->in.c;
    fill(state, (double)c, c * 4 * c, block);
    fill(state, (double)d, d * 4 * c, block + c * 4 * c);
    for (int64_t j = 0; j < c; j++) {
        block[layer->n_weights + c + j] = 1.0f;
    }
}

void net_init(const struct net *net, int64_t seed, float *params)
{
    uint64_t state = (uint64_t)seed;
    memset(params, 0, (size_t)net->n_params * sizeof *params);
    for (int i = 0; i < net->n_layers; i++) {
        const struct layer *layer = &net->layers[i];
        float *block = params + layer->offset;
        if (layer->n_params == 0) {
            continue;
        }
        if (layer->spec.rank > 0) {
            fill(&state, (double)layer->in.c, layer->in.c * layer->spec.rank, block);
        } else if (layer->spec.kind == LAYER_GROUP_NORM ||
                   layer->spec.kind == LAYER_LAYER_NORM) {
            for (int64_t j = 0; j < layer->n_weights; j++) {
                block[j] = 1.0f;
            }
        } else if (layer->spec.kind == LAYER_LSTM) {
            init_lstm(layer, &state, block);
        } else if (layer->n_weights > 0) {
            bool is_table = layer->spec.kind == LAYER_EMBEDDING ||
                            layer->spec.kind == LAYER_POSITION;
            double fan_in =
                (double)(is_table ? layer->out.c : layer->n_weights / layer->out.c);
            fill(&state, fan_in, layer->n_weights, block);
        }
    }
}

void net_set_frozen(struct net *net, const float *frozen)
{
    net->place->upload(net->frozen, frozen, (size_t)net->n_frozen * sizeof *frozen);
}

/* What a layer works with: its own block of params, or of the base. */
static const float *params_of(const struct layer *layer, const float *params)
{
    return layer->n_params == 0 ? layer->frozen : params + layer->offset;
}

/* Labels lie before the records, in both memories: one copy takes both. */
static void load(struct net *net, const struct kernels *kernels, int64_t n)
{
    size_t n_bytes = net_block_bytes(net, n);
    if (net->arriving != NULL) {
        kernels->memory->beside->lift_take(net->arriving, net->target, n_bytes);
        net->arriving = NULL;
    } else if (net->read != net->input) {
        kernels->memory->upload(net->target, net->label, n_bytes);
    }
    if (net->layers[0].x != net->input) {
        kernels->channels_last(n, net->in.h * net->in.w, net->in.c, net->input,
                               net->layers[0].x);
    }
}

const float *net_forward(struct net *net, const struct kernels *kernels,
                         const float *params, int64_t n)
{
    load(net, kernels, n);
    for (int i = 0; i < net->n_layers; i++) {
        struct layer *layer = &net->layers[i];
        if (layer->ops->is_in_place && layer->y != layer->x) {
            kernels->memory->copy(layer->y, layer->x,
                                  (size_t)(n * layer_size(layer->in)) *
                                      sizeof *layer->y);
        }
        layer->ops->forward(layer, kernels, params_of(layer, params), n);
    }
    return net->layers[net->n_layers - 1].y;
}

static void loss_gradient(const struct net *net, const struct kernels *kernels,
                          int64_t n)
{
    const struct layer *last = &net->layers[net->n_layers - 1];
    double *loss = net->is_private ? NULL : net->loss; /* nobody may look at it */
    switch (net->objective) {
    case LOSS_MSE:
        kernels->mse(n, net->n_classes, last->y, net->target, last->dy, loss);
        break;
    case LOSS_HINGE:
        kernels->hinge(n, net->n_classes, last->y, net->target, last->dy, loss);
        break;
    default:
        kernels->xent(n, net->n_classes, last->y, net->target, last->dy, loss);
    }
}

/* The gradients of shortcuts that begin at layer i's input, onto that input's. */
static void add_shortcuts(struct net *net, const struct kernels *kernels, int i,
                          int64_t n)
{
    struct layer *layer = &net->layers[i];
    for (int j = i + 1; layer->dx != NULL && j < net->n_layers; j++) {
        const struct layer *end = &net->layers[j];
        if (end->spec.kind == LAYER_RESIDUAL && j - end->spec.over == i) {
            kernels->add_bias(1, n * layer_size(layer->in), end->own, layer->dx);
        }
    }
}

void net_backward(struct net *net, const struct kernels *kernels, const float *params,
                  int64_t n)
{
    loss_gradient(net, kernels, n);
    for (int i = net->n_layers - 1; i >= net->first; i--) {
        struct layer *layer = &net->layers[i];
        layer->ops->backward(layer, kernels, params_of(layer, params), n);
        if (layer->ops->is_in_place && layer->dx != layer->dy) {
            kernels->memory->copy(layer->dx, layer->dy,
                                  (size_t)(n * layer_size(layer->in)) *
                                      sizeof *layer->dx);
        }
        add_shortcuts(net, kernels, i, n);
    }
}

int net_n_factors(const struct net *net)
{
    int n = 0;
    for (int i = 0; i < net->n_layers; i++) {
        n += net->layers[i].n_params > 0;
    }
    return net->clipping.mode == CLIP_PER_LAYER ? n : 1;
}

/* factor NULL: all 1; else each layer goes on by `stride`, 0 where all share them. */
static void sum_layers(struct net *net, const struct kernels *kernels, int64_t n,
                       const float *factor, int64_t stride)
{
    for (int i = net->n_layers - 1; i >= net->first; i--) {
        struct layer *layer = &net->layers[i];
        if (layer->n_params > 0) {
            layer->ops->sum(layer, kernels, n, factor, net->grad + layer->offset);
            factor = factor == NULL ? NULL : factor + stride;
        }
    }
}

/* Terms of different examples are added in float, and the order of a sum depends on who
 * is in the sample. That rounding is some 1e-6 of the clip norm in practice; this much
 * of the norm is kept free for it. */
static const double clip_margin = 0x1p-10;

static void clear_norms(struct net *net, const struct kernels *kernels, int64_t n)
{
    kernels->memory->zero(net->square, (size_t)n * sizeof *net->square);
    kernels->memory->zero(net->slack, (size_t)n * sizeof *net->slack);
}

/* One factor an example, from the norm of its whole gradient. */
static void factors_of_all(struct net *net, const struct kernels *kernels, double clip,
                           int64_t n)
{
    clear_norms(net, kernels, n);
    for (int i = net->n_layers - 1; i >= net->first; i--) {
        struct layer *layer = &net->layers[i];
        if (layer->n_params > 0) {
            layer->ops->norms(layer, kernels, n, net->square, net->slack);
        }
    }
    if (net->clipping.mode == CLIP_AUTOMATIC) {
        kernels->auto_factors(n, clip, net->clipping.gamma, net->square, net->slack,
                              net->factor);
    } else {
        kernels->clip_factors(n, clip, net->square, net->slack, net->factor);
    }
}

/* A factor for each layer. Whom one layer refuses (0), all refuse. */
static void factors_of_each(struct net *net, const struct kernels *kernels, double clip,
                            int64_t n)
{
    int n_factors = net_n_factors(net);
    double share = clip / sqrt((double)n_factors) * (1.0 - 0x1p-50);
    float *factor = net->factor;
    for (int i = net->n_layers - 1; i >= net->first; i--) {
        struct layer *layer = &net->layers[i];
        if (layer->n_params > 0) {
            clear_norms(net, kernels, n);
            layer->ops->norms(layer, kernels, n, net->square, net->slack);
            kernels->clip_factors(n, share, net->square, net->slack, factor);
            kernels->drop_factors(n, factor, net->factor);
            factor += net->max_n;
        }
    }
    for (int f = 1; f < n_factors; f++) {
        kernels->drop_factors(n, net->factor, net->factor + f * net->max_n);
    }
}

void net_clipped_sum(struct net *net, const struct kernels *kernels, double clip_norm,
                     int64_t n)
{
    double clip = clip_norm * (1.0 - clip_margin);
    if (net->clipping.mode == CLIP_PER_LAYER) {
        factors_of_each(net, kernels, clip, n);
        sum_layers(net, kernels, n, net->factor, net->max_n);
    } else {
        factors_of_all(net, kernels, clip, n);
        sum_layers(net, kernels, n, net->factor, 0);
    }
}

void net_plain_sum(struct net *net, const struct kernels *kernels, int64_t n)
{
    sum_layers(net, kernels, n, NULL, 0);
}

/* One tensor of a layer, whose numbers begin at *at, which moves behind them. */
static void add_tensor(const struct layer *layer, const char *part, int n_dims,
                       const int64_t *dims, int64_t *at, struct net_tensor *ret_tensor)
{
    int64_t len = 1;
    *ret_tensor = (struct net_tensor){.n_dims = n_dims, .offset = *at};
    for (int d = 0; d < n_dims; d++) {
        ret_tensor->dims[d] = dims[d];
        len *= dims[d];
    }
    snprintf(ret_tensor->name, sizeof ret_tensor->name, "%d.%s.%s", layer->number,
             layer->ops->name, part);
    *at += len;
}

/* An lstm's, as lstm.c has them. */
static int add_lstm(const struct layer *layer, int64_t at,
                    struct net_tensor *ret_tensors)
{
    const int64_t gates = 4 * layer->out.c;
    const int64_t u[] = {layer->out.c, gates}, w[] = {layer->in.c, gates};
    add_tensor(layer, "recurrent", 2, u, &at, &ret_tensors[0]);
    add_tensor(layer, "weight", 2, w, &at, &ret_tensors[1]);
    add_tensor(layer, "bias", 1, &gates, &at, &ret_tensors[2]);
    return 3;
}

/* The weight and the bias of a layer of n_params, from `at` on; returns how many. */
static int add_tensors(const struct layer *layer, int64_t n_params, int64_t at,
                       struct net_tensor *ret_tensors)
{
    int64_t c = layer->out.c, size = layer->window.size, begin = at;
    const int64_t matrix[] = {layer->in.c, c};
    const int64_t windows[] = {size, size, layer->in.c, c};
    const int64_t table[] = {n_params / c, c};
    switch (layer->spec.kind) {
    case LAYER_LINEAR:
        add_tensor(layer, "weight", 2, matrix, &at, &ret_tensors[0]);
        break;
    case LAYER_CONV2D:
        add_tensor(layer, "weight", 4, windows, &at, &ret_tensors[0]);
        break;
    case LAYER_EMBEDDING:
    case LAYER_POSITION:
        add_tensor(layer, "weight", 2, table, &at, &ret_tensors[0]);
        return 1;
    case LAYER_LSTM:
        return add_lstm(layer, at, ret_tensors);
    default: /* the norms */
        add_tensor(layer, "weight", 1, &c, &at, &ret_tensors[0]);
    }
    int64_t rest = begin + n_params - at;
    add_tensor(layer, "bias", 1, &rest, &at, &ret_tensors[1]);
    return 2;
}

int net_tensors(const struct net *net, struct net_tensor *ret_tensors)
{
    int n = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const struct layer *layer = &net->layers[i];
        const int64_t rank = layer->spec.rank;
        int64_t at = layer->offset;
        if (rank > 0) {
            const int64_t a[] = {layer->in.c, rank}, b[] = {rank, layer->out.c};
            add_tensor(layer, "lora_a", 2, a, &at, &ret_tensors[n++]);
            add_tensor(layer, "lora_b", 2, b, &at, &ret_tensors[n++]);
        } else if (layer->n_params > 0) {
            n += add_tensors(layer, layer->n_params, at, ret_tensors + n);
        }
    }
    return n;
}

int net_frozen_tensors(const struct net *net, struct net_tensor *ret_tensors)
{
    int n = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const struct layer *layer = &net->layers[i];
        if (layer->n_frozen > 0) {
            n += add_tensors(layer, layer->n_frozen, layer->frozen_offset,
                             ret_tensors + n);
        }
    }
    return n;
}
