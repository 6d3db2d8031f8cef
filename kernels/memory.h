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

struct lift; /* what brings blocks up; the table's own */

/* What goes on beside the queue that slots and the calls of struct memory are put in,
 * for tables whose work is queued. */
struct beside {
    /* A lift brings blocks of at most n_bytes from the host to this memory while what
     * is queued is worked on: two on the host, which are filled in turns, and one here.
     * NULL: no memory. Close it when what was taken has been waited for. */
    struct lift *(*lift_open)(size_t n_bytes);
    void (*lift_close)(struct lift *lift);
    /* Where the next block is written, on the host: waits until the last but one, which
     * lay there, is up. */
    void *(*lift_room)(struct lift *lift);
    /* Begins to bring that block's first n_bytes up, when the block before has been
     * taken; the room is the lift's again. */
    void (*lift_send)(struct lift *lift, size_t n_bytes);
    /* Queued: `to` gets the first n_bytes of the block sent last. Each block is taken
     * once, before the next is sent. */
    void (*lift_take)(struct lift *lift, void *to, size_t n_bytes);

    /* From aside(true) to aside(false) what this thread calls is put in a second queue,
     * which is worked on beside the first and in no order with it, but for meet: there
     * each waits for what was put in the other before. What the one wrote the other may
     * use only behind a meet. */
    void (*aside)(bool is_aside);
    void (*meet)(void);
};

struct memory {
    bool is_host; /* its arrays are host memory like any other */
    /* Work is best handed over in parts of at most so many examples, whose arrays take
     * about so many bytes. */
    int64_t most_examples;
    size_t near_bytes;
    const struct beside *beside; /* NULL: nothing is queued */

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
