/* Bounded bytes: a writer that grows and a reader that never runs over, for messages
 * and file formats. Integers are little endian.
 *
 * Neither needs a check at every step: a writer without memory remembers it and writes
 * no more, a reader at its end hands out zeros and remembers it. Ask once, at the end.
 */
#ifndef PPT_BASE_BUF_H
#define PPT_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Zero-initialise; free with buf_free. */
struct buf {
    unsigned char *data; /* owned; NULL while empty */
    size_t len, capacity;
    bool has_failed; /* no memory: the content is worthless */
};

/* Frees its memory; it is then empty and may be written again. */
void buf_free(struct buf *buf);

/* Empties it and keeps its memory. */
void buf_clear(struct buf *buf);

/* Each adds to the end. */
void buf_u8(struct buf *buf, uint8_t value);
void buf_u32(struct buf *buf, uint32_t value);
void buf_u64(struct buf *buf, uint64_t value);
void buf_bytes(struct buf *buf, const void *data, size_t len);

/* len bytes of zeros to be filled by the caller, valid until the next write; NULL if
 * there is no memory. */
unsigned char *buf_space(struct buf *buf, size_t len);

/* 0, or -PPT_ENOMEM where a write has failed. */
int buf_check(const struct buf *buf, struct error *err);

/* Over memory that the caller keeps. */
struct buf_reader {
    const unsigned char *at;
    size_t left;
    bool is_short; /* more was asked for than there is */
};

/* At the first of len bytes. */
struct buf_reader buf_reader(const void *data, size_t len);

/* The next integer, and past it; 0 if there is none. */
uint8_t buf_read_u8(struct buf_reader *reader);
uint32_t buf_read_u32(struct buf_reader *reader);
uint64_t buf_read_u64(struct buf_reader *reader);

/* The next len bytes where they lie, and past them; NULL if there are not so many. */
const unsigned char *buf_read_bytes(struct buf_reader *reader, size_t len);

/* All was there and all was read. */
bool buf_is_done(const struct buf_reader *reader);

#endif
