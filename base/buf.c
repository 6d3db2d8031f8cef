#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

void buf_free(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->has_failed = false;
}

static bool grow(struct buf *buf, size_t len)
{
    size_t capacity = buf->capacity > 0 ? buf->capacity : 64;
    if (buf->has_failed || len > SIZE_MAX / 2 - buf->len) {
        buf->has_failed = true;
        return false;
    }
    while (capacity < buf->len + len) {
        capacity *= 2;
    }
    unsigned char *data = realloc(buf->data, capacity);
    if (data == NULL) {
        buf->has_failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

unsigned char *buf_space(struct buf *buf, size_t len)
{
    if (buf->has_failed ||
        (buf->capacity - buf->len < len + (buf->data == NULL) && !grow(buf, len))) {
        return NULL;
    }
    unsigned char *space = buf->data + buf->len;
    memset(space, 0, len);
    buf->len += len;
    return space;
}

void buf_bytes(struct buf *buf, const void *data, size_t len)
{
    unsigned char *space = buf_space(buf, len);
    if (space != NULL && len > 0) {
        memcpy(space, data, len);
    }
}

static void put(struct buf *buf, uint64_t value, size_t n_bytes)
{
    unsigned char *space = buf_space(buf, n_bytes);
    for (size_t i = 0; space != NULL && i < n_bytes; i++) {
        space[i] = (unsigned char)(value >> (8 * i));
    }
}

void buf_u8(struct buf *buf, uint8_t value)
{
    put(buf, value, 1);
}

void buf_u32(struct buf *buf, uint32_t value)
{
    put(buf, value, 4);
}

void buf_u64(struct buf *buf, uint64_t value)
{
    put(buf, value, 8);
}

int buf_check(const struct buf *buf, struct error *err)
{
    return buf->has_failed ? error_set(err, PPT_ENOMEM, "no memory for a message") : 0;
}

struct buf_reader buf_reader(const void *data, size_t len)
{
    return (struct buf_reader){.at = data, .left = len};
}

const unsigned char *buf_read_bytes(struct buf_reader *reader, size_t len)
{
    const unsigned char *at = reader->at;
    if (reader->is_short || len > reader->left) {
        reader->is_short = true;
        return NULL;
    }
    reader->at += len;
    reader->left -= len;
    return at;
}

static uint64_t get(struct buf_reader *reader, size_t n_bytes)
{
    const unsigned char *at = buf_read_bytes(reader, n_bytes);
    uint64_t value = 0;
    for (size_t i = 0; at != NULL && i < n_bytes; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

uint8_t buf_read_u8(struct buf_reader *reader)
{
    return (uint8_t)get(reader, 1);
}

uint32_t buf_read_u32(struct buf_reader *reader)
{
    return (uint32_t)get(reader, 4);
}

uint64_t buf_read_u64(struct buf_reader *reader)
{
    return get(reader, 8);
}

bool buf_is_done(const struct buf_reader *reader)
{
    return !reader->is_short && reader->left == 0;
}
