/* A file of which only values change: its bytes once, and where in them each value
 * lies. For files that take a library long to write and are written again and again
 * with the same structure, where no checksum covers a value.
 */
#ifndef PPT_WORKER_MOULD_H
#define PPT_WORKER_MOULD_H

#include <stdbool.h>
#include <stddef.h>

struct mould_value {
    const void *data;
    size_t len; /* bytes */
};

/* Zero-initialise; all zeros holds nothing. */
struct mould {
    char *image;
    size_t len;
    struct mould_hole *holes;
    int n_holes;
};

/* Takes the image over, allocated with malloc, in which each of these marks stands for
 * a value of its length. False, and nothing is held, where a mark is not in it exactly
 * once, or there is no memory. */
bool mould_make(char *image, size_t len, const struct mould_value *marks, int n_marks,
                struct mould *ret_mould);
void mould_free(struct mould *mould);

/* The mould's len bytes with these values in place of its marks, as many and as long;
 * caller frees. NULL: no memory. */
char *mould_cast(const struct mould *mould, const struct mould_value *values);

#endif
