#include "jobs/spec/compress.h"

#include "jobs/spec/federation.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])

static const char *const kind_names[COMPRESS_N] = {
    [COMPRESS_TOP_K] = "top_k",       [COMPRESS_RANDOM_K] = "random_k",
    [COMPRESS_QSGD] = "qsgd",         [COMPRESS_EDEN] = "eden",
    [COMPRESS_LOW_RANK] = "low_rank", [COMPRESS_ZSTD] = "zstd",
};

static const char *kind_word(int i)
{
    return kind_names[i];
}

/* COMPRESS_N: of a kind that is none; then no key is a fault beside it. */
static bool is_one_of(const void *base, enum spec_compress_kind kind,
                      enum spec_compress_kind or_kind)
{
    const struct spec_compress *compress = base;
    return compress->kind == kind || compress->kind == or_kind ||
           compress->kind == COMPRESS_N;
}

static bool has_fraction(const void *base)
{
    return is_one_of(base, COMPRESS_TOP_K, COMPRESS_RANDOM_K);
}

static bool has_levels(const void *base)
{
    return is_one_of(base, COMPRESS_QSGD, COMPRESS_QSGD);
}

static bool has_bits(const void *base)
{
    return is_one_of(base, COMPRESS_EDEN, COMPRESS_EDEN);
}

static bool has_rank(const void *base)
{
    return is_one_of(base, COMPRESS_LOW_RANK, COMPRESS_LOW_RANK);
}

bool spec_compress_leaves_out(const struct spec_compress *compress)
{
    return compress->is_on &&
           (compress->kind == COMPRESS_TOP_K || compress->kind == COMPRESS_RANDOM_K ||
            compress->kind == COMPRESS_LOW_RANK);
}

static const struct field compress_fields[] = {
    {.key = "kind",
     .type = FIELD_WORD,
     .offset = offsetof(struct spec_compress, kind),
     .is_required = true,
     .word = kind_word,
     .n_words = COMPRESS_N},
    {.key = "fraction",
     .type = FIELD_NUMBER,
     .offset = offsetof(struct spec_compress, fraction),
     .range = {0, 1, true, false},
     .number_default = 0.01,
     .applies = has_fraction,
     .only_with = "kind: top_k or random_k"},
    {.key = "levels",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_compress, levels),
     .n_least = 1,
     .n_most = 65535,
     .n_default = 255,
     .applies = has_levels,
     .only_with = "kind: qsgd"},
    {.key = "bits",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_compress, bits),
     .n_least = 1,
     .n_most = 4,
     .n_default = 2,
     .applies = has_bits,
     .only_with = "kind: eden"},
    {.key = "rank",
     .type = FIELD_INTEGER,
     .offset = offsetof(struct spec_compress, rank),
     .n_least = 1,
     .n_most = 64,
     .n_default = 4,
     .applies = has_rank,
     .only_with = "kind: low_rank"},
};
const struct field_section field_compress = {"federation.compress", compress_fields,
                                             COUNT(compress_fields)};

void compress_read(struct ydoc_faults *faults, const struct ydoc_node *node, void *base)
{
    struct spec_compress *compress = &((struct spec_federation *)base)->compress;
    if (node == NULL)
        return;
    field_read(faults, node, &field_compress, compress);
    compress->is_on = true;
}

void compress_write(struct json *json, const struct field *field, const void *base)
{
    const struct spec_compress *compress =
        &((const struct spec_federation *)base)->compress;
    if (!compress->is_on)
        return;
    json_object(json, field->key);
    field_write(json, &field_compress, compress);
    json_close_object(json);
}

void compress_check(struct ydoc_faults *faults, const struct ydoc_node *node,
                    const struct spec *spec)
{
    const struct spec_federation *federation = &spec->federation;
    if (federation->max_client_bytes > 0 && !federation->compress.is_on)
        ydoc_fault_at(faults, node, "max_client_bytes", "expected only with compress");
    if (!federation->compress.is_on)
        return;
    if (spec->privacy.is_private)
        ydoc_fault_at(faults, node, "compress",
                      "expected no such section, or privacy: none: what a client sends "
                      "would be longer than clip_norm, or depend on earlier rounds");
    else if (federation->aggregation == AGGREGATION_SECAGG &&
             !is_one_of(&federation->compress, COMPRESS_RANDOM_K, COMPRESS_LOW_RANK))
        ydoc_fault_at(
            faults, node, "compress",
            "expected kind: random_k or low_rank, or aggregation: clear: what others "
            "send does not add up under masks; secagg.bits says how many bytes a "
            "masked update has");
    else if (federation->secagg.group > 0 &&
             federation->compress.kind == COMPRESS_LOW_RANK)
        ydoc_fault_at(faults, node, "compress",
                      "expected another kind than low_rank with secagg.group: its "
                      "subspace is that of one sum a round");
}
