/* A bounded cache of chunks that threads load ahead of their reader.
 *
 * The reader says in advance which chunks it will want, in order; n_threads threads,
 * the reader among them, load them. A chunk that failed to load is an error only for
 * who takes it. Memory: at most CHUNK_CACHE_BYTES of chunks (never fewer than two) and
 * four times as much of scratch space for the threads, of which there are fewer where
 * that would not do; both are taken as they are first needed. It is small because a
 * sweep comes back to no chunk but its last. Threads start with the first chunk that is
 * wanted ahead.
 */
#ifndef PPT_WORKER_CHUNK_CACHE_H
#define PPT_WORKER_CHUNK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CHUNK_CACHE_BYTES (16u << 20)
#define CHUNK_CACHE_SCRATCH_BYTES (4 * CHUNK_CACHE_BYTES)
#define CHUNK_CACHE_MAX_SLOTS 256

struct chunk_cache;

/* How chunks come about. `load` fills ret_chunk[chunk_bytes]; it is called by several
 * threads at once, each with scratch_bytes of its own. */
struct chunk_source {
    size_t chunk_bytes, scratch_bytes;
    int (*load)(void *state, int64_t chunk, void *scratch, unsigned char *ret_chunk,
                struct error *err);
    void *state;
};

/* Caller closes. n_threads is at least 1. Errors: PPT_ENOMEM. */
int chunk_cache_open(const struct chunk_source *source, int n_threads,
                     struct chunk_cache **ret_cache, struct error *err);

/* Waits for what is being loaded. NULL is allowed. */
void chunk_cache_close(struct chunk_cache *cache);

/* One reader at a time has the cache, from begin to end; what an earlier one wanted and
 * did not take is no longer wanted. */
void chunk_cache_begin(struct chunk_cache *cache);
void chunk_cache_end(struct chunk_cache *cache);

/* Asks for a chunk that will be taken later. False where there is no room for it before
 * another is taken. */
bool chunk_cache_want(struct chunk_cache *cache, int64_t chunk);

/* A chunk, loaded by now; valid until the next take or the end. Errors: those of load;
 * PPT_ENOMEM. */
int chunk_cache_take(struct chunk_cache *cache, int64_t chunk,
                     const unsigned char **ret_chunk, struct error *err);

#endif
