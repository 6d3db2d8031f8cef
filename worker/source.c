#include "worker/source.h"

size_t source_row_bytes(const struct source *source)
{
    size_t bytes = source->x_type == TYPE_UINT8    ? 1
                   : source->x_type == TYPE_UINT16 ? sizeof(uint16_t)
                                                   : sizeof(float);
    for (int d = 0; d < source->n_dims; d++)
        bytes *= (size_t)source->dims[d];
    return bytes;
}

int source_as_tokens(struct source *source, int64_t n_tokens, struct error *err)
{
    if (n_tokens == 0 && source->x_type == TYPE_INT32)
        return error_set(err, PPT_EDATA,
                         "elements are integers, expected uint8 or float32, or "
                         "--tokens for ids of tokens");
    if (n_tokens == 0)
        return 0;
    if (n_tokens < 2 || n_tokens > MANIFEST_MAX_TOKENS)
        return error_set(err, PPT_EUSAGE, "--tokens is %lld, expected 2 to %lld",
                         (long long)n_tokens, (long long)MANIFEST_MAX_TOKENS);
    if (source->x_type == TYPE_FLOAT32 || source->n_dims != 1)
        return error_set(err, PPT_EDATA,
                         "records of %s with %d dimensions are no tokens, expected "
                         "uint8 or int32 with one",
                         manifest_type_name(source->x_type), source->n_dims);
    source->n_tokens = n_tokens;
    return 0;
}

void source_close(struct source *source)
{
    if (source->close != NULL)
        source->close(source);
    *source = (struct source){0};
}
