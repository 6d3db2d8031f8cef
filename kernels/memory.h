/* Where a table's arrays lie: in the host's memory, or in a device's. Who computes by a
 * table holds its arrays here, and takes no pointer of it apart unless is_host.
 *
 * upload, copy and zero may be queued behind the slots called before, and keep their
 * order; download waits for all of it. Failures are remembered by each thread until
 * `fault` is asked; what was computed after one is undefined. memory_host never fails
 * but in alloc and stage.
 */
#ifndef PPT_KERNELS_MEMORY_H
#define PPT_KERNELS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory {
    bool is_host; /* its arrays are host memory like any other */
    /* Work is best handed over in parts of at most so many examples, whose arrays take
     * about so many bytes. */
    int64_t most_examples;
    size_t near_bytes;

    /* n_bytes of zeros, aligned to 64; freed by free. NULL if there is not so much. */
    void *(*alloc)(size_t n_bytes);
    void (*free)(void *memory);
    /* Zeros in host memory from and to which copies are fast; freed by unstage. */
    void *(*stage)(size_t n_bytes);
    void (*unstage)(void *memory);

    /* Host memory may be reused when these return. */
    void (*upload)(void *to, const void *from_host, size_t n_bytes);
    void (*download)(void *to_host, const void *from, size_t n_bytes);
    void (*copy)(void *to, const void *from, size_t n_bytes);
    /* Zeros, also to wipe secrets. */
    void (*zero)(void *memory, size_t n_bytes);

    /* Waits, then says in words what failed first on this thread since it was last
     * asked; NULL: nothing. */
    const char *(*fault)(void);
};

extern const struct memory memory_host;

#endif
