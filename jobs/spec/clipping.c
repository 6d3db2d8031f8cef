/* The order of rows is the canonical form's order: never move a row. */
#include "jobs/spec/clipping.h"

#include <string.h>

static const char *clip_mode_word(int i)
{
    return spec_clip_mode_name((enum spec_clip_mode)i);
}

static bool is_automatic(const void *base)
{
    const struct spec_clipping *clipping = base;
    return clipping->mode == CLIP_AUTOMATIC || clipping->mode == CLIP_N;
}

static bool is_quantile(const void *base)
{
    const struct spec_clipping *clipping = base;
    return clipping->mode == CLIP_QUANTILE || clipping->mode == CLIP_N;
}

static const struct field clipping_fields[] = {
    {.key = "mode",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_clipping, mode),
     .is_required = true,
     .word = clip_mode_word,
     .n_words = CLIP_N},
    {.key = "gamma",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_clipping, gamma),
     .range = {1e-6, 1e6, false, false},
     .number_default = 0.01,
     .applies = is_automatic,
     .only_with = "mode: automatic"},
    {.key = "quantile",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_clipping, quantile),
     .range = {0.01, 0.99, false, false},
     .number_default = 0.5,
     .applies = is_quantile,
     .only_with = "mode: quantile"},
    {.key = "count_noise",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_clipping, count_noise),
     .range = {0.05, 1e9, false, false},
     .zero_word = "auto",
     .applies = is_quantile,
     .only_with = "mode: quantile"},
    {.key = "rate",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_clipping, rate),
     .range = {0, 10, true, false},
     .number_default = 0.2,
     .applies = is_quantile,
     .only_with = "mode: quantile"},
};
const struct field_section field_clipping = {
    "privacy.clipping", clipping_fields,
    (int)(sizeof clipping_fields / sizeof clipping_fields[0])};

/* The word alone is the mapping with no more in it. */
void clipping_read(struct ydoc_faults *faults, const struct ydoc_node *node, void *base)
{
    struct spec_privacy *privacy = base;
    struct spec_clipping *clipping = &privacy->clipping;
    *clipping = (struct spec_clipping){.mode = CLIP_FLAT};
    if (node == NULL)
        return;
    if (node->kind != YDOC_SCALAR) {
        field_read(faults, node, &field_clipping, clipping);
        return;
    }
    const char *words[CLIP_N];
    int index = CLIP_N;
    for (int i = 0; i < CLIP_N; i++)
        words[i] = clip_mode_word(i);
    ydoc_word(faults, node, words, CLIP_N, &index);
    clipping->mode = (enum spec_clip_mode)index;
    for (int i = 1; i < field_clipping.n_fields; i++) {
        const struct field *field = &clipping_fields[i];
        if (field->applies(clipping))
            memcpy((char *)clipping + field->offset, &field->number_default,
                   sizeof field->number_default);
    }
}

void clipping_write(struct json *json, const struct field *field, const void *base)
{
    const struct spec_privacy *privacy = base;
    if (privacy->clipping.mode == CLIP_FLAT)
        return;
    json_object(json, field->key);
    field_write(json, &field_clipping, &privacy->clipping);
    json_close_object(json);
}
