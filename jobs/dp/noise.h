/* Noise for one rank's part of a sum: the random bits, where they come from, and their
 * positions, none of which is ever used twice. For jobs/dp and jobs/fl.
 *
 * On the host the bits are AES-256-CTR's: draw i of substream s is word i of substream
 * s. A table of kernels with a generator of its own (ChaCha20) makes them beside the
 * arrays, under a key of its own: draws are then numbered from the start of each call.
 * In both cases the key is fresh in every process and on every rank, a step is a
 * substream, and it runs once in a process; and the few pairs that need more bits than
 * their own take them from AES-256-CTR.
 *
 * Noise does not depend on records, so on the host a thread draws a step's while its
 * gradients are computed (noise_begin). One vector at most is ahead; of one of more
 * than NOISE_WHOLE draws the first half, so that memory is not doubled for it. Who
 * draws it, the thread or the caller that did not want to wait, changes no bit of it: a
 * draw is a function of key, substream and position. It is wiped as it is added. On a
 * device the caller draws a step's in a second queue (noise_draw_aside).
 *
 * Memory on the host: at most 8 GRID_CHUNK bytes of bits, and where noise is drawn
 * ahead 8 bytes a draw up to NOISE_WHOLE draws, or 4 bytes a draw of more than twice as
 * many. A device holds the bits of all draws and the draws: 16 bytes each.
 */
#ifndef PPT_JOBS_DP_NOISE_H
#define PPT_JOBS_DP_NOISE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"
#include "kernels/grid.h"
#include "kernels/kernels.h"

#define NOISE_WHOLE ((int64_t)1 << 20)

/* Draws first .. first + n - 1 of a substream. */
struct noise_wish {
    struct grid grid;
    uint64_t substream;
    int64_t first, n;
};

enum noise_ahead { NOISE_NOTHING, NOISE_WANTED, NOISE_DRAWING, NOISE_DRAWN };

struct noise {
    const struct kernels *kernels;
    struct crypto_stream *stream;
    unsigned char own_key[CRYPTO_KEY_SIZE]; /* of the kernels' generator */
    uint64_t *bits;                         /* max_bits, in the kernels' memory */
    int64_t max_n, max_bits;

    /* Drawing ahead, on the host. stream, bits and drawn belong to who set DRAWING. */
    pthread_t thread;
    bool is_started, stop;
    pthread_mutex_t mutex; /* guards what follows, and stop */
    pthread_cond_t changed;
    enum noise_ahead ahead;
    struct noise_wish wish;
    int64_t n_ahead; /* of a wish, so many are drawn ahead at most */
    double *drawn;   /* n_ahead: zeros but for a wish that is drawn and not added yet;
                        on the host NULL before the first */
};

/* For at most max_n draws at a time. Copies the key. Close with noise_close, which
 * wipes everything. Errors: PPT_ENOMEM. */
int noise_open(struct noise *noise, const struct kernels *kernels,
               const unsigned char key[CRYPTO_KEY_SIZE], int64_t max_n,
               struct error *err);
void noise_close(struct noise *noise); /* a zeroed one too */

/* Bytes that it takes, with those that noise_begin will; 0 of a zeroed one. */
size_t noise_memory_bytes(const struct noise *noise, bool is_ahead);

/* Lets a thread draw these while the caller does something else; noise_add with the
 * same arguments adds them. A draw that is not added is wiped by noise_close or the
 * next noise_begin. Does nothing where the kernels have a generator of their own or no
 * thread can be had: noise_add draws then. */
void noise_begin(struct noise *noise, const struct grid *grid, uint64_t substream,
                 int64_t first, int64_t n);

/* The same where the kernels' memory has a beside, by the caller: in the second queue,
 * and when it returns there is nothing left to do there but to wipe. */
void noise_draw_aside(struct noise *noise, const struct grid *grid, uint64_t substream,
                      int64_t first, int64_t n);

/* x[n], in the kernels' memory, += noise on the grid: draws first .. first + n - 1 of
 * this substream (below NOISE_STEPS). n and first are even, n <= max_n. With a
 * generator of the kernels a substream may be used once only. */
void noise_add(struct noise *noise, const struct grid *grid, uint64_t substream,
               int64_t first, int64_t n, double *x);

/* The halves of a draw on the host (grid.h), for who draws a vector in parts (early.h).
 * Not while a thread draws ahead. A part has at most max_bits draws; pair 0 is the
 * wish's first two draws, and goes to x[2]. */
int64_t noise_draw_sure(struct noise *noise, const struct noise_wish *part, double *x,
                        uint16_t *list);
void noise_draw_exact(struct noise *noise, const struct noise_wish *wish, int64_t pair,
                      bool is_wanted, double *x);

/* One value on the host += noise: the first draw of a substream, on the CPU. */
void noise_add_value(struct noise *noise, const struct grid *grid, uint64_t substream,
                     double *value);

/* Substreams from here on are not steps'. */
#define NOISE_STEPS ((uint64_t)1 << 63)
#define NOISE_EVALUATION UINT64_MAX

#endif
