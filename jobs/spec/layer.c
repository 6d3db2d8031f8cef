#include "jobs/spec/layer.h"

#include <stdio.h>
#include <string.h>

#include "jobs/spec/field.h"

/* The word or the one key that names a layer; NULL after a fault. *ret_options gets
 * its mapping, NULL if there is none. */
static const char *layer_word(struct ydoc_faults *faults, const struct ydoc_node *node,
                              const struct ydoc_node **ret_options)
{
    *ret_options = NULL;
    if (node->kind == YDOC_SCALAR && !ydoc_is_null(node))
        return node->text;
    if (node->kind == YDOC_MAPPING && node->n_children == 1) {
        if (!ydoc_is_null(node->first))
            *ret_options = node->first;
        return node->first->key;
    }
    ydoc_fault(faults, node,
               "expected one layer, such as tanh or conv2d: {out: 16, kernel: 8}");
    return NULL;
}

static int layer_kind(struct ydoc_faults *faults, const struct ydoc_node *node,
                      const char *word, enum spec_layer_kind *ret_kind)
{
    for (int k = 0; k < LAYER_N_KINDS; k++)
        if (strcmp(word, field_layer[k].path) == 0) {
            *ret_kind = (enum spec_layer_kind)k;
            return 0;
        }
    char words[400] = "";
    size_t len = 0;
    for (int k = 0; k < LAYER_N_KINDS && len < sizeof words; k++)
        len += (size_t)snprintf(words + len, sizeof words - len, "%s%s",
                                k == 0                   ? ""
                                : k == LAYER_N_KINDS - 1 ? " or "
                                                         : ", ",
                                field_layer[k].path);
    ydoc_fault(faults, node, "expected a layer: %s, found \"%.40s\"", words, word);
    return -PPT_ESPEC;
}

static const char *first_required(const struct field_section *section)
{
    for (int f = 0; f < section->n_fields; f++)
        if (section->fields[f].is_required)
            return section->fields[f].key;
    return NULL;
}

static int read_layer(struct ydoc_faults *faults, const struct ydoc_node *node,
                      struct spec_layer *layer)
{
    const struct ydoc_node *options;
    const char *word = layer_word(faults, node, &options);
    if (word == NULL || layer_kind(faults, node, word, &layer->kind) != 0)
        return -PPT_ESPEC;
    int n_before = faults->n;
    const struct field_section *section = &field_layer[layer->kind];
    const char *required = first_required(section);
    if (options == NULL && required != NULL)
        ydoc_fault(faults, node, "expected options for %s: {%s: ...}", word, required);
    field_read(faults, options, section, layer);
    bool is_pool = layer->kind == LAYER_MAX_POOL || layer->kind == LAYER_AVG_POOL;
    if (is_pool && layer->stride == 0)
        layer->stride = layer->kernel;
    if (layer->kind == LAYER_CONV2D && layer->kernel > 0 &&
        layer->padding >= layer->kernel)
        ydoc_fault_at(faults, options, "padding",
                      "expected less padding than the kernel's %lld",
                      (long long)layer->kernel);
    return faults->n > n_before ? -PPT_ESPEC : 0;
}

/* What a list of layers is doing to the data so far. */
struct shape {
    bool is_flat;       /* after flatten, token_mean, lstm's last state or an image's
                           linear */
    bool is_image;      /* a layer that needs an image came before */
    bool is_sequence;   /* embedding came before */
    int64_t n_channels; /* 0: not known */
};

static void follow_image(struct ydoc_faults *faults, const struct ydoc_node *node,
                         const struct spec_layer *layer, struct shape *shape)
{
    const char *name = spec_layer_name(layer->kind);
    if (shape->is_sequence)
        ydoc_fault(faults, node, "expected no %s behind an embedding: it is for images",
                   name);
    else if (shape->is_flat)
        ydoc_fault(faults, node, "expected %s before any flatten or linear", name);
    if (layer->kind == LAYER_GROUP_NORM && shape->n_channels % layer->groups != 0)
        ydoc_fault(faults, node,
                   "expected a number of groups that divides the %lld channels",
                   (long long)shape->n_channels);
    if (layer->kind == LAYER_CONV2D)
        shape->n_channels = layer->out;
    shape->is_image = true;
}

static void follow_sequence(struct ydoc_faults *faults, const struct ydoc_node *node,
                            const struct spec_layer *layer, struct shape *shape)
{
    const char *name = spec_layer_name(layer->kind);
    if (!shape->is_sequence)
        ydoc_fault(faults, node, "expected %s behind an embedding as the first layer",
                   name);
    else if (shape->is_flat)
        ydoc_fault(
            faults, node,
            "expected %s before flatten, token_mean and an lstm whose states are last",
            name);
    if (layer->kind == LAYER_TOKEN_MEAN ||
        (layer->kind == LAYER_LSTM && layer->states == STATES_LAST))
        shape->is_flat = true;
    if (layer->kind == LAYER_LSTM)
        shape->n_channels = layer->out;
    if (layer->kind != LAYER_ATTENTION)
        return;
    if (shape->n_channels % (3 * layer->heads) != 0)
        ydoc_fault(faults, node,
                   "expected a linear before it whose out is a multiple of %lld: "
                   "queries, keys and values of each head",
                   (long long)(3 * layer->heads));
    shape->n_channels /= 3;
}

static void follow_linear(struct ydoc_faults *faults, const struct ydoc_node *node,
                          const struct spec_layer *layer, bool is_last,
                          struct shape *shape)
{
    if (shape->is_image && !shape->is_flat)
        ydoc_fault(faults, node, "expected flatten between an image and linear");
    if (layer->out == 0 && !is_last)
        ydoc_fault(faults, node,
                   "expected the number of units in out: only the last layer has "
                   "as many as there are classes");
    if (is_last && shape->is_sequence && !shape->is_flat)
        ydoc_fault(
            faults, node,
            "expected token_mean, flatten or an lstm whose states are last between "
            "a sequence and the last linear");
    if (shape->is_sequence)
        shape->n_channels = layer->out;
    else
        shape->is_flat = true;
}

static void follow_kind(struct ydoc_faults *faults, const struct ydoc_node *node,
                        const struct spec_layer *layer, bool is_last,
                        struct shape *shape)
{
    switch (layer->kind) {
    case LAYER_CONV2D:
    case LAYER_MAX_POOL:
    case LAYER_AVG_POOL:
    case LAYER_GROUP_NORM:
        follow_image(faults, node, layer, shape);
        break;
    case LAYER_LINEAR:
        follow_linear(faults, node, layer, is_last, shape);
        break;
    case LAYER_EMBEDDING:
        if (node->index != 0)
            ydoc_fault(faults, node, "expected embedding as the first layer");
        shape->is_sequence = true;
        shape->n_channels = layer->out;
        break;
    case LAYER_POSITION:
    case LAYER_ATTENTION:
    case LAYER_TOKEN_MEAN:
    case LAYER_LSTM:
        follow_sequence(faults, node, layer, shape);
        break;
    case LAYER_RESIDUAL:
        if (layer->over > node->index)
            ydoc_fault_at(faults, node->first, "over",
                          "expected at most the %d layers before it", node->index);
        break;
    case LAYER_FLATTEN:
        shape->is_flat = true;
        break;
    case LAYER_LAYER_NORM:
    case LAYER_RELU:
    case LAYER_TANH:
    case LAYER_TEMPERED_SIGMOID:
    case LAYER_GELU:
    case LAYER_N_KINDS:
        break;
    }
}

static void follow(struct ydoc_faults *faults, const struct ydoc_node *node,
                   const struct spec_layer *layer, bool is_last, struct shape *shape)
{
    follow_kind(faults, node, layer, is_last, shape);
    if (!is_last)
        return;
    if (layer->kind != LAYER_LINEAR)
        ydoc_fault(faults, node, "expected linear as the last layer, found %s",
                   spec_layer_name(layer->kind));
    else if (layer->out != 0)
        ydoc_fault(faults, node,
                   "expected the last linear without out: it has as many units as "
                   "there are classes");
}

void layer_read_list(struct ydoc_faults *faults, const struct ydoc_node *node,
                     struct spec_model *model)
{
    if (node->kind != YDOC_SEQUENCE || node->n_children < 1 ||
        node->n_children > SPEC_MAX_LAYERS) {
        ydoc_fault(faults, node, "expected a list of 1 to %d layers", SPEC_MAX_LAYERS);
        return;
    }
    int rc = 0;
    for (const struct ydoc_node *n = node->first; n != NULL; n = n->next)
        if (read_layer(faults, n, &model->layers[model->n_layers++]) != 0)
            rc = -PPT_ESPEC;
    if (rc != 0)
        return;
    struct shape shape = {0};
    for (const struct ydoc_node *n = node->first; n != NULL; n = n->next)
        follow(faults, n, &model->layers[n->index], n->next == NULL, &shape);
}

void layer_write_list(struct json *json, const char *key,
                      const struct spec_model *model)
{
    json_array(json, key);
    for (int l = 0; l < model->n_layers; l++) {
        const struct field_section *section = &field_layer[model->layers[l].kind];
        if (section->n_fields == 0) {
            json_string(json, NULL, section->path);
            continue;
        }
        json_object(json, NULL);
        json_object(json, section->path);
        field_write(json, section, &model->layers[l]);
        json_close_object(json);
        json_close_object(json);
    }
    json_close_array(json);
}
