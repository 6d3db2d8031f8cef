/* What one client does in a round: SGD on its own records from the model that was
 * handed out, by the spec's `training` (epochs or steps of one round, batch_size,
 * learning_rate with its schedule by rounds, loss) and federation.prox.
 *
 * With federation.personal: fedrep the client's first passes fit the last layer alone,
 * training then goes over the others, and what comes out has the last layer that was
 * handed out (personal.h). With apfl its own model moves beside, from which nothing is
 * sent (apfl.h).
 *
 * What a client remembers between rounds lies in keep.h, so one object per rank plays
 * all of them. The order of a client's records is drawn from (seed, its id, round), so
 * what comes out is the same bits on whichever rank it runs, and depends on no other
 * client's records: a number that shifts when another user leaves would not do.
 */
#ifndef PPT_JOBS_FL_LOCAL_H
#define PPT_JOBS_FL_LOCAL_H

#include "jobs/dp/trainer.h"
#include "jobs/fl/apfl.h"
#include "jobs/fl/attack.h"
#include "jobs/fl/compress.h"
#include "jobs/fl/keep.h"
#include "jobs/fl/partition.h"
#include "jobs/fl/scaffold.h"
#include "jobs/fl/walk.h"

struct local {
    struct trainer *trainer; /* its net, model and rows; the kernels' memory is the
                                host's */
    const struct spec *spec; /* the job's: training is the client's */
    const struct partition *partition;
    const struct attack *attack; /* who turns labels */
    struct keep *keep;
    struct compress *compress;
    const struct scaffold *scaffold; /* NULL: none */
    struct apfl apfl;
    bool is_turned; /* the client that trains */
    struct crypto_stream *stream;
    int64_t *order;    /* the client's records: as many as the largest has */
    int64_t *batch;    /* batch_size, or order's size if that is less */
    float *params;     /* [n_params]: after training */
    double *grad;      /* [n_params], and one more where that is odd */
    struct walk *walk; /* noise in each step; NULL, as at first: none */
    /* Of what is being trained: the parameters from .. to - 1, the pull towards the
     * model that was handed out, and the rate. */
    int64_t from, to;
    double prox, learning_rate;
    float *control;  /* the client's own, in local_train with scaffold; else NULL */
    int64_t n_steps; /* done */
};

/* All of it is kept by the caller for as long. Close with local_close.
 * Errors: PPT_ENOMEM. */
int local_open(struct local *local, struct trainer *trainer, const struct spec *spec,
               const struct partition *partition, const struct attack *attack,
               struct keep *keep, struct compress *compress,
               const struct scaffold *scaffold, struct error *err);
void local_close(struct local *local);

/* Who sits where no client does: it has no records. */
#define LOCAL_NOBODY (-1)

/* Trains in round trainer->step; leaves local->params. A client without records leaves
 * the model as it is, but for the noise of a walk. In plain jobs the examples' losses
 * go to the trainer's. With federation.client_momentum, beta, the client's update u
 * becomes its momentum m = beta m + (1 - beta) u (Karimireddy, He, Jaggi, ICML 2021,
 * arXiv 2012.10333). With federation.compress params are what the server reads in the
 * client's message. Errors: those of rows->read, PPT_ENOMEM, PPT_EPOLICY (the message
 * is too long). */
int local_train(struct local *local, int64_t client, struct error *err);

/* Makes the client's own model of the present one as federation.personal says; leaves
 * it in local->params. Plain jobs, after the last round. Errors: those of rows->read.
 */
int local_personalise(struct local *local, int64_t client, struct error *err);

#endif
