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

void source_close(struct source *source)
{
    if (source->close != NULL)
        source->close(source);
    *source = (struct source){0};
}
