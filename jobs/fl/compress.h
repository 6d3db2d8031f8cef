/* A client's update as few bytes, and back; plain jobs. Under secure aggregation
 * random_k and low_rank only, the latter on a subspace that clients share (subspace.h):
 * what clients send there must add up. Private to this room, but for tests.
 *
 *   top_k     the k values that are largest in size, k = fraction n rounded up, as
 *             float32 with the gaps between their places (Aji, Heafield 2017, arXiv
 *             1704.05021)
 *   random_k  k values at places drawn from the seed and the round, the same for all
 *             clients, so that no place is sent
 *   qsgd      the L2 norm, and each value as a sign and one of `levels` + 1 parts of
 *             it, rounded at random: right on average (Alistarh et al., NeurIPS 2017,
 *             arXiv 1610.02132, with fixed widths in the place of its code)
 *   eden      a random rotation and 1 to 4 bits a value (eden.h); with 1 it is DRIVE
 *   low_rank  each matrix as the product of two thin ones, PowerSGD (low_rank.h)
 *   zstd      the same numbers, packed (lossless.h)
 * What top_k, random_k and low_rank leave out the client adds to its next update (error
 * feedback: Stich et al., NeurIPS 2018, arXiv 1809.07599), which it remembers in
 * keep.h.
 */
#ifndef PPT_JOBS_FL_COMPRESS_H
#define PPT_JOBS_FL_COMPRESS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "jobs/fl/low_rank.h"
#include "jobs/fl/subspace.h"
#include "jobs/spec/spec.h"

struct compress {
    const struct spec_compress *spec;
    int64_t n; /* values of an update */
    int64_t k; /* of them that are sent: top_k, random_k, low_rank with masks */
    struct crypto_stream *common; /* random_k, low_rank: draws of a round */
    struct crypto_stream *own;    /* qsgd, eden: draws of a client in a round */
    float *sizes;                 /* [n]: top_k; zstd's work */
    double *rotated;              /* [n]: eden */
    struct low_rank low_rank;
    struct subspace subspace;
    struct buf message;
    int64_t most_bytes; /* the longest message since it was set to 0 */
};

/* Does nothing where the spec has no such section. All is kept by the caller for as
 * long. Close with compress_close. Errors: PPT_ENOMEM. */
int compress_open(struct compress *compress, const struct spec *spec,
                  struct trainer *trainer, struct error *err);
void compress_close(struct compress *compress);

/* Under masks: the k values that are sent of update[n] to its front; and from the front
 * back, of the clients' sum, once in a round: a subspace turns by it. */
void compress_gather(struct compress *compress, int64_t round, float *update);
void compress_scatter(struct compress *compress, int64_t round, float *update);

/* Packs update[n], which is finite, as `client` sends it in this round, into
 * compress->message. Errors: PPT_ENOMEM. */
int compress_pack(struct compress *compress, int64_t round, int64_t client,
                  const float *update, struct error *err);

/* What the server reads in this client's message of that round. Errors: PPT_ETRUST (it
 * is none). */
int compress_unpack(struct compress *compress, int64_t round, int64_t client,
                    const struct buf *message, float *ret_update, struct error *err);

/* PPT_EPOLICY: n_bytes are more than federation.max_client_bytes. */
int compress_refuse(int64_t n_bytes, struct error *err);

/* Both: update[n] becomes what arrives of it. residual[n], NULL without error feedback:
 * what was left out before is added first, what is left out now takes its place.
 * Errors: PPT_ENOMEM, PPT_EPOLICY (longer than federation.max_client_bytes). */
int compress_send(struct compress *compress, int64_t round, int64_t client,
                  int64_t max_bytes, float *update, float *residual, struct error *err);

#endif
