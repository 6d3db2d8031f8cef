/* A step's noise, drawn by lanes that wait: one lane reads a round's records, and the
 * others would have nothing to do meanwhile. For the trainer, where it has several
 * lanes.
 *
 * Parts of a few microseconds go to whoever asks first, so who draws what depends on
 * timing; but a draw is a function of key, substream and position alone (noise.h), and
 * whole steps of a grid add up exactly: the released sum does not. What is left when
 * the total is there all lanes draw, in the same way. Pairs in doubt are listed, and a
 * number of pairs that depends on the number of draws only is worked out exactly, once
 * for all parts (grid.h).
 *
 * Memory: 8 bytes a draw, of at most the first NOISE_WHOLE draws of a vector, and a few
 * KiB a lane. Draws are wiped as they are added.
 */
#ifndef PPT_JOBS_DP_EARLY_H
#define PPT_JOBS_DP_EARLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/dp/noise.h"

/* Draws of a part: each lane's noise is open for so many at least. */
#define EARLY_PART 1024
/* A vector of which more pairs are worked out exactly is not drawn early. */
#define EARLY_DOUBTS 128

/* What a lane has of its own. */
struct early_lane {
    int64_t n_doubts, doubts[EARLY_DOUBTS]; /* pairs of the wish */
    uint16_t list[EARLY_PART / 2 + 1];
};

struct early {
    int64_t n_most; /* 0: zeroed */
    int n_lanes;
    double *drawn; /* n_most: zeros but for draws that are not added yet */
    struct early_lane *lanes;
    struct noise_wish wish; /* n 0: none; n <= n_most */
    double *x;              /* where draws go once it is settled; NULL before */
    int64_t n_wished;       /* by the caller: of these the first wish.n */
    _Atomic int64_t next;   /* the first draw that nobody has taken, or beyond wish.n */
    atomic_bool is_drawing;
};

/* For vectors of n_slice draws. Close with early_close, which wipes. Errors: PPT_ENOMEM
 */
int early_open(struct early *early, int64_t n_slice, int n_lanes, struct error *err);
void early_close(struct early *early); /* a zeroed one too */
size_t early_memory_bytes(const struct early *early);

/* From now on these draws, of a step that is paid for, are wanted. Does nothing on a
 * zeroed one. What was drawn and not added is wiped. */
void early_begin(struct early *early, const struct grid *grid, uint64_t substream,
                 int64_t first, int64_t n);

/* Lets lanes draw, if anything is left: then the caller has each but its own call
 * early_draw, tells them to come to an end, and waits for them. Both return whether
 * there are such lanes. */
bool early_begin_drawing(struct early *early);
bool early_stop_drawing(struct early *early);

/* On any lane, with the lane's own noise: draws until
 * early_stop_drawing, or until all is drawn. */
void early_draw(struct early *early, struct noise *noise, int lane);

/* Once no lane draws any more, and x[n], the total that these draws are for, is there:
 * how many of them, the first ones, wait to be added; 0, and all is wiped, where others
 * were wished for. From now on draws go to x itself: if early_begin_drawing says so,
 * all lanes draw what is left of the first wish.n. */
int64_t early_settle(struct early *early, const struct grid *grid, uint64_t substream,
                     int64_t first, int64_t n, double *x);

/* On each lane, when all is drawn: its share of the pairs in doubt, to x. */
void early_exact(struct early *early, struct noise *noise, int lane);

/* x[from .. to - 1] += the draws that wait there. Not while another lane does something
 * to the same values. */
void early_add(struct early *early, int64_t from, int64_t to);

/* All that waited has been added. */
void early_end(struct early *early);

#endif
