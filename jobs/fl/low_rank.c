#include "jobs/fl/low_rank.h"

#include <math.h>
#include <stdlib.h>

#include "jobs/fl/bits.h"
#include "jobs/fl/draw.h"

int64_t low_rank_columns(const struct net_tensor *tensor)
{
    return tensor->dims[tensor->n_dims - 1];
}

int64_t low_rank_rows(const struct net_tensor *tensor)
{
    int64_t rows = 1;
    for (int d = 0; d < tensor->n_dims - 1; d++) {
        rows *= tensor->dims[d];
    }
    return rows;
}

bool low_rank_splits(const struct low_rank *low_rank, const struct net_tensor *tensor)
{
    int64_t rows = low_rank_rows(tensor), columns = low_rank_columns(tensor);
    return low_rank->rank * (rows + columns) < rows * columns;
}

int low_rank_open(struct low_rank *low_rank, const struct net *net, int rank,
                  struct error *err)
{
    int64_t most_rows = 1, most_columns = 1;
    *low_rank = (struct low_rank){.rank = rank};
    low_rank->n_tensors = net_tensors(net, low_rank->tensors);
    for (int i = 0; i < low_rank->n_tensors; i++) {
        const struct net_tensor *tensor = &low_rank->tensors[i];
        if (low_rank_splits(low_rank, tensor)) {
            most_rows =
                low_rank_rows(tensor) > most_rows ? low_rank_rows(tensor) : most_rows;
            most_columns = low_rank_columns(tensor) > most_columns
                               ? low_rank_columns(tensor)
                               : most_columns;
        }
    }
    low_rank->left = malloc((size_t)(most_rows * rank) * sizeof(double));
    low_rank->right = malloc((size_t)(most_columns * rank) * sizeof(double));
    if (low_rank->left == NULL || low_rank->right == NULL) {
        low_rank_close(low_rank);
        return error_set(err, PPT_ENOMEM, "no memory for matrices of low rank");
    }
    return 0;
}

void low_rank_close(struct low_rank *low_rank)
{
    free(low_rank->left);
    free(low_rank->right);
    *low_rank = (struct low_rank){0};
}

void low_rank_orthonormalise(double *a, int64_t n, int rank)
{
    for (int k = 0; k < rank; k++) {
        double before = 0.0, square = 0.0;
        for (int64_t i = 0; i < n; i++) {
            before += a[i * rank + k] * a[i * rank + k];
        }
        for (int other = 0; other < 2 * k; other++) {
            int o = other % k;
            double product = 0.0;
            for (int64_t i = 0; i < n; i++) {
                product += a[i * rank + k] * a[i * rank + o];
            }
            for (int64_t i = 0; i < n; i++) {
                a[i * rank + k] -= product * a[i * rank + o];
            }
        }
        for (int64_t i = 0; i < n; i++) {
            square += a[i * rank + k] * a[i * rank + k];
        }
        double factor = square > 1e-20 * before ? 1.0 / sqrt(square) : 0.0;
        for (int64_t i = 0; i < n; i++) {
            a[i * rank + k] *= factor;
        }
    }
}

/* P of m[rows, columns], then Q. */
static void factorise(struct low_rank *low_rank, struct crypto_stream *random,
                      const float *m, int64_t rows, int64_t columns)
{
    const int rank = low_rank->rank;
    double *left = low_rank->left, *right = low_rank->right;
    for (int64_t j = 0; j < columns * rank; j++) {
        right[j] = draw_normal(random);
    }
    for (int64_t i = 0; i < rows; i++) {
        for (int k = 0; k < rank; k++) {
            double sum = 0.0;
            for (int64_t j = 0; j < columns; j++) {
                sum += (double)m[i * columns + j] * right[j * rank + k];
            }
            left[i * rank + k] = sum;
        }
    }
    low_rank_orthonormalise(left, rows, rank);
    for (int64_t j = 0; j < columns * rank; j++) {
        right[j] = 0.0;
    }
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            for (int k = 0; k < rank; k++) {
                right[j * rank + k] += (double)m[i * columns + j] * left[i * rank + k];
            }
        }
    }
}

void low_rank_pack(struct low_rank *low_rank, struct crypto_stream *random,
                   const float *update, struct buf *out)
{
    for (int t = 0; t < low_rank->n_tensors; t++) {
        const struct net_tensor *tensor = &low_rank->tensors[t];
        const float *m = update + tensor->offset;
        int64_t rows = low_rank_rows(tensor), columns = low_rank_columns(tensor);
        if (!low_rank_splits(low_rank, tensor)) {
            for (int64_t j = 0; j < rows * columns; j++) {
                bits_put_float(out, m[j]);
            }
            continue;
        }
        factorise(low_rank, random, m, rows, columns);
        for (int64_t i = 0; i < rows * low_rank->rank; i++) {
            bits_put_float(out, (float)low_rank->left[i]);
        }
        for (int64_t j = 0; j < columns * low_rank->rank; j++) {
            bits_put_float(out, (float)low_rank->right[j]);
        }
    }
}

static void read_doubles(struct buf_reader *reader, double *ret, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        ret[i] = (double)bits_read_float(reader);
    }
}

static void multiply(const struct low_rank *low_rank, int64_t rows, int64_t columns,
                     float *ret)
{
    const int rank = low_rank->rank;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            double sum = 0.0;
            for (int k = 0; k < rank; k++) {
                sum += low_rank->left[i * rank + k] * low_rank->right[j * rank + k];
            }
            ret[i * columns + j] = (float)sum;
        }
    }
}

bool low_rank_unpack(struct low_rank *low_rank, struct buf_reader *reader,
                     float *ret_update)
{
    bool is_good = true;
    for (int t = 0; t < low_rank->n_tensors; t++) {
        const struct net_tensor *tensor = &low_rank->tensors[t];
        float *m = ret_update + tensor->offset;
        int64_t rows = low_rank_rows(tensor), columns = low_rank_columns(tensor);
        if (low_rank_splits(low_rank, tensor)) {
            read_doubles(reader, low_rank->left, rows * low_rank->rank);
            read_doubles(reader, low_rank->right, columns * low_rank->rank);
            multiply(low_rank, rows, columns, m);
        } else {
            for (int64_t j = 0; j < rows * columns; j++) {
                m[j] = bits_read_float(reader);
            }
        }
        for (int64_t j = 0; j < rows * columns; j++) {
            is_good = is_good && isfinite(m[j]);
        }
    }
    return is_good;
}
