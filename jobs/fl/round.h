/* One round of a federation: a cohort is drawn, its clients train on the
 * ranks, their updates are added up as whole numbers of a public step (in the clear;
 * secure.h and robust.h have other ways), and the server moves the model. Private to
 * this room, but for tests.
 *
 * Whole numbers add up exactly in any order, so the model is the same bits for any
 * number of ranks and any placement of clients.
 * Private jobs: what a client adds has L2 norm clip_norm at most, checked in whole
 * numbers after all rounding, so that is what one user moves the sum by, whatever its
 * weight (weight.h). Where the clip norm follows a quantile of the clients' norms
 * (Andrew et al. 2021), each client's vote on it is one coordinate more of the same
 * vector, under the same bound and noise (jobs/dp/threshold.h): it is priced as the
 * rest of the round is. Noise is added once, by jobs/dp/trainer.h; the divisor is
 * public. Plain jobs: the mean over the cohort, by equal weights or numbers of
 * examples.
 */
#ifndef PPT_JOBS_FL_ROUND_H
#define PPT_JOBS_FL_ROUND_H

#include "jobs/dp/trainer.h"
#include "jobs/fl/attack.h"
#include "jobs/fl/cohort.h"
#include "jobs/fl/consent.h"
#include "jobs/fl/device.h"
#include "jobs/fl/keep.h"
#include "jobs/fl/local.h"
#include "jobs/fl/partition.h"
#include "jobs/fl/pull.h"
#include "jobs/fl/randomise.h"
#include "jobs/fl/robust.h"
#include "jobs/fl/scaffold.h"
#include "jobs/fl/secure.h"

struct round {
    const struct spec *spec;
    struct trainer trainer;
    struct partition partition;
    struct cohort cohort;
    struct attack attack;
    struct keep keep;
    struct pull pull;
    struct scaffold scaffold;
    struct compress compress;
    int64_t client_bytes; /* compress: the longest message of the last round */
    struct local local;
    struct consent consent;
    struct device device;
    struct randomise randomise;
    struct secure secure;  /* aggregation: secagg */
    struct robust robust;  /* robust.h: where the spec has a rule, or an attack */
    bool is_gathered;      /* by robust */
    double clip_norm;      /* private: of the last round */
    double epsilon_told_s; /* journal.h; 0: never */
};

/* Where clients compress: the longest message of the last round, over all ranks, to
 * round->client_bytes. Every rank calls it. Errors: PPT_ECOMM. */
int round_count_bytes(struct round *round, struct error *err);

/* Runs round trainer.step, which must have been charged; every rank calls it. Errors:
 * those of rows->read and consent_look, PPT_ERANGE (plain: a client's update is not
 * finite or longer than 256 somewhere: training diverged), those of secure_run and
 * robust_run, PPT_ECOMM, PPT_EINTERNAL (more clients than sums are exact for). */
int round_run(struct round *round, struct error *err);

/* Of the last round: members that secure aggregation went on without; and bytes that
 * went between server and clients, the model to each and an update back (twice so many
 * with SCAFFOLD; compressed: at most so many), or by secure aggregation all messages
 * and the model. Secrets of private jobs. */
int64_t round_dropped(const struct round *round);
int64_t round_bytes(const struct round *round);

/* sum[n] -= the update after - before, clipped to clip_norm, times share (above 0, at
 * most 1) and rounded to multiples of `step`. Whatever the update, the vector's norm is
 * at most clip_norm, in exact arithmetic; one with a NaN or an infinity adds nothing.
 * `step` is a power of two; clip_norm / step is between 2^10 and 2^31.
 * Returns the update's norm before clipping. */
double round_add_clipped(double *sum, const float *after, const float *before,
                         int64_t n, double clip_norm, double share, double step);

#endif
