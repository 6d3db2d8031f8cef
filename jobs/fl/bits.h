/* Numbers in a message: floats, and numbers of a few bits, the lowest bits first, one
 * behind the other without gaps. Private to this room. */
#ifndef PPT_JOBS_FL_BITS_H
#define PPT_JOBS_FL_BITS_H

#include <string.h>

#include "base/buf.h"

static inline void bits_put_float(struct buf *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    buf_u32(out, bits);
}

static inline float bits_read_float(struct buf_reader *in)
{
    uint32_t bits = buf_read_u32(in);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Of 1 .. 32 bits each; the rest zeros. */
struct bits_writer {
    struct buf *out;
    int width, n_held;
    uint64_t held;
};

static inline void bits_put(struct bits_writer *writer, uint32_t value)
{
    writer->held |= (uint64_t)value << writer->n_held;
    writer->n_held += writer->width;
    for (; writer->n_held >= 8; writer->n_held -= 8, writer->held >>= 8) {
        buf_u8(writer->out, (uint8_t)writer->held);
    }
}

/* After the last one: fills the last byte with zeros. */
static inline void bits_end(struct bits_writer *writer)
{
    if (writer->n_held > 0) {
        buf_u8(writer->out, (uint8_t)writer->held);
    }
}

struct bits_reader {
    struct buf_reader *in;
    int width, n_held;
    uint64_t held;
};

static inline uint32_t bits_read(struct bits_reader *reader)
{
    for (; reader->n_held < reader->width; reader->n_held += 8) {
        reader->held |= (uint64_t)buf_read_u8(reader->in) << reader->n_held;
    }
    uint32_t value = (uint32_t)(reader->held & (((uint64_t)1 << reader->width) - 1));
    reader->held >>= reader->width;
    reader->n_held -= reader->width;
    return value;
}

#endif
