#include "jobs/fl/subspace.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/fl/draw.h"

int subspace_n_states(const struct spec_federation *federation)
{
    return federation->compress.is_on &&
                   federation->compress.kind == COMPRESS_LOW_RANK &&
                   federation->aggregation == AGGREGATION_SECAGG
               ? 1
               : 0;
}

/* Of a tensor in this round: the factor that is there, and the one that is sent. */
struct sides {
    const struct net_tensor *tensor;
    int64_t rows, columns, n_there, n_sent; /* the last two times rank */
    bool is_split, is_even;
};

static struct sides sides_of(const struct subspace *subspace, int t, int64_t round)
{
    const struct low_rank *low_rank = subspace->low_rank;
    const struct net_tensor *tensor = &low_rank->tensors[t];
    struct sides sides = {.tensor = tensor,
                          .rows = low_rank_rows(tensor),
                          .columns = low_rank_columns(tensor),
                          .is_split = low_rank_splits(low_rank, tensor),
                          .is_even = round % 2 == 0};
    sides.n_there = sides.is_even ? sides.columns : sides.rows;
    sides.n_sent = sides.is_even ? sides.rows : sides.columns;
    return sides;
}

static int64_t count_sent(const struct subspace *subspace, int64_t round)
{
    int64_t n = 0;
    for (int t = 0; t < subspace->low_rank->n_tensors; t++) {
        struct sides sides = sides_of(subspace, t, round);
        n += sides.is_split ? sides.n_sent * subspace->low_rank->rank
                            : sides.rows * sides.columns;
    }
    return n;
}

int subspace_open(struct subspace *subspace, const struct spec *spec,
                  struct trainer *trainer, const struct low_rank *low_rank,
                  struct error *err)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    *subspace = (struct subspace){.low_rank = low_rank};
    if (subspace_n_states(&spec->federation) == 0) {
        return 0;
    }
    draw_key_public(spec->training.seed, "subspace", key);
    subspace->random = crypto_stream_new(key);
    subspace->basis = calloc((size_t)trainer->n_padded, sizeof *subspace->basis);
    subspace->values = malloc((size_t)trainer->net.n_params * sizeof *subspace->values);
    subspace->factor = malloc((size_t)trainer->net.n_params * sizeof *subspace->factor);
    if (subspace->basis == NULL || subspace->values == NULL ||
        subspace->factor == NULL) {
        subspace_close(subspace);
        return error_set(err, PPT_ENOMEM, "no memory for a common subspace");
    }
    subspace->trainer = trainer;
    int64_t even = count_sent(subspace, 0), odd = count_sent(subspace, 1);
    subspace->n_sent = even > odd ? even : odd;
    return 0;
}

void subspace_close(struct subspace *subspace)
{
    if (subspace->random != NULL) {
        crypto_stream_free(subspace->random);
    }
    free(subspace->basis);
    free(subspace->values);
    free(subspace->factor);
    *subspace = (struct subspace){0};
}

/* Draws the columns that are zeros; were there any? */
static bool fill(struct subspace *subspace, int64_t n)
{
    int rank = subspace->low_rank->rank;
    bool is_filled = false;
    for (int k = 0; k < rank; k++) {
        double square = 0.0;
        for (int64_t i = 0; i < n; i++) {
            square += subspace->factor[i * rank + k] * subspace->factor[i * rank + k];
        }
        for (int64_t i = 0; square == 0.0 && i < n; i++) {
            subspace->factor[i * rank + k] = draw_normal(subspace->random);
        }
        is_filled = is_filled || square == 0.0;
    }
    return is_filled;
}

/* Makes factor[n, rank] orthonormal, and keeps it as the tensor's. */
static void keep_factor(struct subspace *subspace, const struct net_tensor *tensor,
                        int64_t n)
{
    int rank = subspace->low_rank->rank;
    low_rank_orthonormalise(subspace->factor, n, rank);
    if (fill(subspace, n)) {
        low_rank_orthonormalise(subspace->factor, n, rank);
    }
    for (int64_t i = 0; i < n * rank; i++) {
        subspace->basis[tensor->offset + i] = (float)subspace->factor[i];
    }
}

static void draw_first(struct subspace *subspace)
{
    crypto_stream_seek(subspace->random, 0, 0);
    for (int t = 0; t < subspace->low_rank->n_tensors; t++) {
        struct sides sides = sides_of(subspace, t, 0);
        if (sides.is_split) {
            memset(subspace->factor, 0,
                   (size_t)(sides.n_there * subspace->low_rank->rank) *
                       sizeof *subspace->factor);
            keep_factor(subspace, sides.tensor, sides.n_there);
        }
    }
}

int subspace_begin(struct subspace *subspace, struct error *err)
{
    struct trainer *trainer = subspace->trainer;
    if (trainer == NULL) {
        return 0;
    }
    if (trainer->step == 0) {
        draw_first(subspace);
        return 0;
    }
    struct comm *comm = trainer->env->comm;
    return comm->ops->all_gather_f32(comm, trainer_own_states(trainer), subspace->basis,
                                     (size_t)trainer->n_slice, err);
}

/* M Q or M^T P. */
static void project(const struct sides *sides, int rank, const float *basis,
                    const float *m, float *ret)
{
    for (int64_t s = 0; s < sides->n_sent; s++) {
        for (int k = 0; k < rank; k++) {
            double sum = 0.0;
            for (int64_t j = 0; j < sides->n_there; j++) {
                int64_t at =
                    sides->is_even ? s * sides->columns + j : j * sides->columns + s;
                sum += (double)m[at] * (double)basis[j * rank + k];
            }
            ret[s * rank + k] = (float)sum;
        }
    }
}

/* The matrix that it stands for. */
static void expand(const struct sides *sides, int rank, const float *basis,
                   const float *sent, float *ret)
{
    const float *left = sides->is_even ? sent : basis;
    const float *right = sides->is_even ? basis : sent;
    for (int64_t i = 0; i < sides->rows; i++) {
        for (int64_t j = 0; j < sides->columns; j++) {
            double sum = 0.0;
            for (int k = 0; k < rank; k++) {
                sum += (double)left[i * rank + k] * (double)right[j * rank + k];
            }
            ret[i * sides->columns + j] = (float)sum;
        }
    }
}

void subspace_gather(struct subspace *subspace, float *update)
{
    int rank = subspace->low_rank->rank;
    float *out = subspace->values;
    memset(out, 0, (size_t)subspace->n_sent * sizeof *out);
    for (int t = 0; t < subspace->low_rank->n_tensors; t++) {
        struct sides sides = sides_of(subspace, t, subspace->trainer->step);
        const float *m = update + sides.tensor->offset;
        int64_t n = sides.rows * sides.columns;
        if (sides.is_split) {
            project(&sides, rank, subspace->basis + sides.tensor->offset, m, out);
            n = sides.n_sent * rank;
        } else {
            memcpy(out, m, (size_t)n * sizeof *out);
        }
        out += n;
    }
    memcpy(update, subspace->values, (size_t)subspace->n_sent * sizeof *update);
}

void subspace_scatter(struct subspace *subspace, float *update)
{
    int rank = subspace->low_rank->rank;
    const float *in = subspace->values;
    memcpy(subspace->values, update, (size_t)subspace->n_sent * sizeof *update);
    for (int t = 0; t < subspace->low_rank->n_tensors; t++) {
        struct sides sides = sides_of(subspace, t, subspace->trainer->step);
        float *m = update + sides.tensor->offset;
        int64_t n = sides.rows * sides.columns;
        if (sides.is_split) {
            expand(&sides, rank, subspace->basis + sides.tensor->offset, in, m);
            n = sides.n_sent * rank;
        } else {
            memcpy(m, in, (size_t)n * sizeof *m);
        }
        in += n;
    }
}

void subspace_turn(struct subspace *subspace, const float *sum)
{
    struct trainer *trainer = subspace->trainer;
    const struct low_rank *low_rank = subspace->low_rank;
    crypto_stream_seek(subspace->random, (uint64_t)trainer->step + 1, 0);
    for (int t = 0; t < low_rank->n_tensors; t++) {
        struct sides sides = sides_of(subspace, t, trainer->step);
        int64_t n = sides.n_sent * low_rank->rank;
        if (!sides.is_split) {
            sum += sides.rows * sides.columns;
            continue;
        }
        for (int64_t i = 0; i < n; i++) {
            subspace->factor[i] = (double)sum[i];
        }
        keep_factor(subspace, sides.tensor, sides.n_sent);
        sum += n;
    }
    memcpy(trainer_own_states(trainer),
           subspace->basis + trainer->env->comm->rank * trainer->n_slice,
           (size_t)trainer->n_slice * sizeof *subspace->basis);
}
