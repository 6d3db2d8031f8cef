/* Which records are which client's: the data set's own users, or clients that are made
 * up of public records. The same on every rank; no record moves.
 *
 * Memory: 8 bytes a record and 8 a client, 16 of a user; 16 more a record while users
 * are sorted, 4 while labels are.
 * Under privacy the number of clients is a secret, like rows->n_rows: it may size loops
 * and nothing else.
 */
#ifndef PPT_JOBS_FL_PARTITION_H
#define PPT_JOBS_FL_PARTITION_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/io.h"
#include "jobs/spec/spec.h"

struct partition {
    int64_t n_clients;
    int64_t *first; /* [n_clients + 1]: client c has rows[first[c] .. first[c + 1]) */
    int64_t *rows;  /* ascending within a client; those held out behind the others */
    int64_t *ids;   /* [n_clients] ascending, the data set's; NULL: their numbers */
    double holdout; /* partition_hold_out; 0: nothing is held out */
};

/* By spec->federation, with draws from spec->training.seed:
 *   users      the data set's own: a client has all records of one user, or where
 *              the data set does not say whose they are, one record
 *   iid        the records shuffled and dealt, numbers differing by 1 at most
 *   dirichlet  of each label, shares of the clients ~ Dirichlet(alpha) (Hsu et al.
 *              2019, arXiv 1909.06335); a client may stay empty
 *   shards     sorted by label, cut in `shards` times n_clients pieces, dealt
 *              (McMahan et al. 2017)
 *
 * `rows` is the whole split. Close with partition_close. Errors: PPT_ENOMEM, PPT_ESPEC
 * (more shards than records), those of rows->read and rows->users. */
int partition_open(struct partition *partition, const struct spec *spec,
                   struct rows *rows, struct error *err);
void partition_close(struct partition *partition);

/* Sets this share of each client's records aside, rounded down, by draws from the
 * spec's seed; who they are does not depend on other clients. Errors: PPT_ENOMEM,
 * PPT_ESPEC (no client has as many records as to hold one out). */
int partition_hold_out(struct partition *partition, double share, int64_t seed,
                       struct error *err);

static inline int64_t partition_n_held(const struct partition *partition,
                                       int64_t client)
{
    int64_t n = partition->first[client + 1] - partition->first[client];
    return (int64_t)((double)n * partition->holdout);
}

/* How many records a client trains on. */
static inline int64_t partition_size(const struct partition *partition, int64_t client)
{
    return partition->first[client + 1] - partition->first[client] -
           partition_n_held(partition, client);
}

/* Its n_held records that are held out, ascending. */
static inline const int64_t *partition_held(const struct partition *partition,
                                            int64_t client)
{
    return partition->rows + partition->first[client + 1] -
           partition_n_held(partition, client);
}

/* Who a client is whoever else takes part: what is drawn for it goes by this, so that
 * its update is a function of its own records and not of who else is there. */
static inline uint64_t partition_id(const struct partition *partition, int64_t client)
{
    return (uint64_t)(partition->ids != NULL ? partition->ids[client] : client);
}

#endif
