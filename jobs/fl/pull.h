/* Which rank plays which client of a list: costly clients first, taken one by one from
 * a counter that the ranks share (jobs/comm.h), so nobody is idle while there is work.
 * Private to this room, but for tests.
 *
 * Where there is no such counter, or ranks must do the same in each run, shares are
 * made beforehand: the next costly client to the rank that has least (Graham 1969, SIAM
 * J. Appl. Math. 17(2), at most 4/3 of the best there is). Where clients remember
 * (keep.h), each has a rank of its own whatever it costs. Whoever plays a client, its
 * update is the same bits, and sums are of whole numbers, so the model does not depend
 * on it. (The loss that is told is a sum of doubles, and may end in another digit.)
 *
 * A client is taken to cost a + b x seconds for x records that its training goes over,
 * by least squares over what was played so far. Ranks tell each other their figures
 * after 1, 2, 4, 8, ... lists only: a and b say how work is shared beforehand, and the
 * order of x alone is the order of cost. Nobody else is told them; of a private cohort
 * they are secrets.
 */
#ifndef PPT_JOBS_FL_PULL_H
#define PPT_JOBS_FL_PULL_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs/comm.h"
#include "jobs/fl/keep.h"
#include "jobs/fl/partition.h"
#include "jobs/spec/spec.h"

/* Sums over clients that were played: 1, x, x^2, seconds, x seconds. */
enum { PULL_N, PULL_X, PULL_XX, PULL_Y, PULL_XY, PULL_SUMS };

struct pull {
    struct comm *comm;
    const struct spec *spec;
    const struct partition *partition;
    const struct keep *keep;
    struct pull_item *items; /* [n_clients]: of the list, costly ones first */
    double *load;            /* [size]: shares made beforehand */
    int64_t n, at;           /* items, and where this rank is */
    int64_t first;           /* the counter's number for the first item */
    bool is_counted;         /* this list, by the counter */
    int64_t n_lists;
    double own[PULL_SUMS], known[PULL_SUMS]; /* since they were told; of all ranks */
    double a, b;
    double began_s;
};

/* All is kept by the caller for as long; every rank calls it. Close with pull_close.
 * Errors: PPT_ENOMEM, PPT_ECOMM. */
int pull_open(struct pull *pull, struct comm *comm, const struct spec *spec,
              const struct partition *partition, const struct keep *keep,
              struct error *err);
void pull_close(struct pull *pull);

/* A list of clients, all different, the same on every rank; every rank calls it, and
 * only after all have come to the end of the list before and met. Errors: PPT_ECOMM. */
int pull_begin(struct pull *pull, const int64_t *clients, int64_t n, struct error *err);

/* The next client for this rank, -1 at the end of the list. Errors: PPT_ECOMM. */
int pull_next(struct pull *pull, int64_t *ret_client, struct error *err);

/* Records that the client's training goes over in a round. */
double pull_examples(const struct spec_training *training, int64_t n_records);

/* a and b of those sums; 0 and 1 where they tell nothing (fewer than two sizes, or less
 * time for more records). */
void pull_fit(const double sums[PULL_SUMS], double *ret_a, double *ret_b);

#endif
