/* An update as products of thin matrices. Each tensor of two or more dimensions is a
 * matrix M [rows, columns], its columns the last dimension; for a random Q [columns,
 * rank] that the round's seed gives, P = M Q is made orthonormal, and P and M^T P are
 * sent, whose product is the projection of M on P's columns: one step of power
 * iteration, PowerSGD (Vogels et al., NeurIPS 2019, arXiv 1905.13727, algorithm 1) for
 * each client alone. There, workers average P before they go on; here that would be a
 * second exchange in a round, for which clients would have to be trained twice or
 * remembered. Tensors that this makes no smaller are sent as they are. Private to this
 * room. */
#ifndef PPT_JOBS_FL_LOW_RANK_H
#define PPT_JOBS_FL_LOW_RANK_H

#include "base/buf.h"
#include "base/crypto.h"
#include "jobs/model/net.h"

struct low_rank {
    int rank, n_tensors;
    struct net_tensor tensors[NET_MAX_TENSORS];
    double *left, *right; /* P and Q of the largest tensor */
};

/* Of the matrix that the tensor is taken for: all its dimensions but the last, ... */
int64_t low_rank_rows(const struct net_tensor *tensor);
/* ... and that one. */
int64_t low_rank_columns(const struct net_tensor *tensor);
/* Is the tensor sent as thin matrices? */
bool low_rank_splits(const struct low_rank *low_rank, const struct net_tensor *tensor);

/* The columns of a[n, rank] become orthonormal (Gram and Schmidt, modified, twice); one
 * that the others span, as good as, becomes zeros. */
void low_rank_orthonormalise(double *a, int64_t n, int rank);

/* Close with low_rank_close. Errors: PPT_ENOMEM. */
int low_rank_open(struct low_rank *low_rank, const struct net *net, int rank,
                  struct error *err);
void low_rank_close(struct low_rank *low_rank);

/* Appends an update of the net's parameters, finite; `random` stands where the round's
 * draws begin. */
void low_rank_pack(struct low_rank *low_rank, struct crypto_stream *random,
                   const float *update, struct buf *out);

/* False: what arrives is no numbers. A message too short is the reader's to tell. */
bool low_rank_unpack(struct low_rank *low_rank, struct buf_reader *reader,
                     float *ret_update);

#endif
