#include "jobs/fl/partition.h"

#include <stdlib.h>
#include <string.h>

#include "jobs/fl/draw.h"

enum { READ_AT_ONCE = 256 };

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Records 0 .. n - 1 in random order. */
static void shuffle_all(struct crypto_stream *stream, int64_t *rows, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        rows[i] = i;
    }
    draw_shuffle(stream, rows, n);
}

/* Client c gets n / n_clients of them, and those that are left over go to the first. */
static void cut_evenly(int64_t *first, int64_t n_clients, int64_t n)
{
    int64_t whole = n / n_clients, rest = n % n_clients;
    for (int64_t c = 0; c <= n_clients; c++) {
        first[c] = whole * c + (c < rest ? c : rest);
    }
}

static int read_labels(struct rows *rows, int32_t *ret_labels, struct error *err)
{
    int64_t indices[READ_AT_ONCE];
    float *x = malloc(READ_AT_ONCE * rows->n_features * sizeof *x);
    int rc = x == NULL ? error_set(err, PPT_ENOMEM, "no memory to read labels") : 0;
    for (int64_t at = 0; rc == 0 && at < rows->n_rows; at += READ_AT_ONCE) {
        int64_t left = rows->n_rows - at, n = left < READ_AT_ONCE ? left : READ_AT_ONCE;
        for (int64_t i = 0; i < n; i++) {
            indices[i] = at + i;
        }
        rc = rows->read(rows, indices, (size_t)n, x, ret_labels + at, err);
    }
    free(x);
    return rc;
}

/* rows[n] sorted by label, in their present order within each; ret_first[n_classes + 1]
 * says where each label begins. */
static int sort_by_label(struct rows *from, int64_t *rows, int64_t *ret_first,
                         struct error *err)
{
    size_t n = (size_t)from->n_rows, n_classes = (size_t)from->n_classes;
    int32_t *labels = malloc((n + 1) * sizeof *labels);
    int64_t *before = malloc((n + 1) * sizeof *before);
    int64_t *next = calloc(n_classes + 1, sizeof *next);
    int rc = labels == NULL || before == NULL || next == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory to sort records by label")
                 : 0;
    if (rc == 0) {
        rc = read_labels(from, labels, err);
    }
    if (rc == 0) {
        memcpy(before, rows, n * sizeof *rows);
        for (size_t i = 0; i < n; i++) {
            next[labels[i] + 1]++;
        }
        for (size_t k = 0; k < n_classes; k++) {
            next[k + 1] += next[k];
        }
        memcpy(ret_first, next, (n_classes + 1) * sizeof *next);
        for (size_t i = 0; i < n; i++) {
            rows[next[labels[before[i]]]++] = before[i];
        }
    }
    free(labels);
    free(before);
    free(next);
    return rc;
}

/* `first` has no entry of each client's yet: owner[i] says whose record rows[i] is. */
static int group_by_owner(struct partition *partition, const int64_t *owner, int64_t n,
                          struct error *err)
{
    int64_t n_clients = partition->n_clients, *first = partition->first;
    int64_t *before = malloc(((size_t)n + 1) * sizeof *before);
    if (before == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory to deal records to clients");
    }
    memcpy(before, partition->rows, (size_t)n * sizeof *before);
    memset(first, 0, ((size_t)n_clients + 1) * sizeof *first);
    for (int64_t i = 0; i < n; i++) {
        first[owner[i] + 1]++;
    }
    for (int64_t c = 0; c < n_clients; c++) {
        first[c + 1] += first[c];
    }
    for (int64_t i = 0; i < n; i++) {
        partition->rows[first[owner[i]]++] = before[i];
    }
    memmove(first + 1, first, (size_t)n_clients * sizeof *first);
    first[0] = 0;
    free(before);
    return 0;
}

/* owner[from .. to) of one label, by shares drawn for it; cumulative, so that all are
 * dealt. */
static void deal_label(struct crypto_stream *stream, double alpha, int64_t n_clients,
                       double *shares, int64_t from, int64_t to, int64_t *owner)
{
    double total = 0.0, reached = 0.0;
    int64_t at = from;
    for (int64_t c = 0; c < n_clients; c++) {
        shares[c] = draw_gamma(stream, alpha);
        total += shares[c];
    }
    for (int64_t c = 0; c < n_clients; c++) {
        reached += shares[c];
        int64_t end = from + (int64_t)((double)(to - from) * (reached / total));
        end = c == n_clients - 1 || end > to ? to : end;
        for (; at < end; at++) {
            owner[at] = c;
        }
    }
}

static int cut_dirichlet(struct partition *partition, const struct spec *spec,
                         struct crypto_stream *stream, struct rows *rows,
                         struct error *err)
{
    int64_t n = rows->n_rows;
    int64_t *label_first = malloc(((size_t)rows->n_classes + 1) * sizeof *label_first);
    int64_t *owner = malloc(((size_t)n + 1) * sizeof *owner);
    double *shares = malloc((size_t)partition->n_clients * sizeof *shares);
    int rc = label_first == NULL || owner == NULL || shares == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory to deal records to clients")
                 : sort_by_label(rows, partition->rows, label_first, err);
    for (int64_t k = 0; rc == 0 && k < rows->n_classes; k++) {
        deal_label(stream, spec->federation.alpha, partition->n_clients, shares,
                   label_first[k], label_first[k + 1], owner);
    }
    if (rc == 0) {
        rc = group_by_owner(partition, owner, n, err);
    }
    free(label_first);
    free(owner);
    free(shares);
    return rc;
}

static int cut_shards(struct partition *partition, const struct spec *spec,
                      struct crypto_stream *stream, struct rows *rows,
                      struct error *err)
{
    int64_t n = rows->n_rows, per_client = spec->federation.shards;
    int64_t n_shards = partition->n_clients * per_client;
    if (n_shards > n) {
        return error_set(err, PPT_ESPEC,
                         "federation: %lld clients with %lld shards each, more than "
                         "the data set has records",
                         (long long)partition->n_clients, (long long)per_client);
    }
    int64_t *label_first = malloc(((size_t)rows->n_classes + 1) * sizeof *label_first);
    int64_t *owner = malloc(((size_t)n + 1) * sizeof *owner);
    int64_t *shards = malloc((size_t)n_shards * sizeof *shards);
    int rc = label_first == NULL || owner == NULL || shards == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory to deal records to clients")
                 : sort_by_label(rows, partition->rows, label_first, err);
    if (rc == 0) {
        shuffle_all(stream, shards, n_shards);
        int64_t whole = n / n_shards, rest = n % n_shards, at = 0;
        for (int64_t s = 0; s < n_shards; s++) {
            int64_t end = at + whole + (s < rest);
            for (; at < end; at++) {
                owner[at] = shards[s] / per_client;
            }
        }
        rc = group_by_owner(partition, owner, n, err);
    }
    free(label_first);
    free(owner);
    free(shards);
    return rc;
}

/* A record and whose it is. */
struct owned {
    int64_t user, row;
};

static int by_user(const void *a, const void *b)
{
    const struct owned *x = a, *y = b;
    return x->user != y->user ? (x->user > y->user) - (x->user < y->user)
                              : (x->row > y->row) - (x->row < y->row);
}

static int sort_by_user(struct rows *rows, struct owned *owned, struct error *err)
{
    int64_t n = rows->n_rows;
    int64_t *users = malloc(((size_t)n + 1) * sizeof *users);
    int rc = users == NULL ? error_set(err, PPT_ENOMEM, "no memory to read users")
                           : rows->users(rows, users, err);
    for (int64_t i = 0; rc == 0 && i < n; i++) {
        owned[i] = (struct owned){users[i], i};
    }
    free(users);
    if (rc == 0) {
        qsort(owned, (size_t)n, sizeof *owned, by_user);
    }
    return rc;
}

/* Makes the arrays, whose size is known once the users are. */
static int cut_users(struct partition *partition, struct rows *rows, struct error *err)
{
    size_t n = (size_t)rows->n_rows, n_clients = 0;
    struct owned *owned = malloc((n + 1) * sizeof *owned);
    int rc = owned == NULL ? error_set(err, PPT_ENOMEM, "no memory to sort users")
                           : sort_by_user(rows, owned, err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        n_clients += i == 0 || owned[i].user != owned[i - 1].user;
    }
    if (rc == 0) {
        partition->first = malloc((n_clients + 1) * sizeof *partition->first);
        partition->ids = malloc((n_clients + 1) * sizeof *partition->ids);
        partition->rows = malloc((n + 1) * sizeof *partition->rows);
        partition->n_clients = (int64_t)n_clients;
        rc = partition->first == NULL || partition->ids == NULL ||
                     partition->rows == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory for clients")
                 : 0;
    }
    for (size_t i = 0, c = 0; rc == 0 && i < n; i++) {
        if (i == 0 || owned[i].user != owned[i - 1].user) {
            partition->ids[c] = owned[i].user;
            partition->first[c++] = (int64_t)i;
        }
        partition->rows[i] = owned[i].row;
    }
    if (rc == 0) {
        partition->first[n_clients] = (int64_t)n;
    } else {
        partition_close(partition);
    }
    free(owned);
    return rc;
}

static int cut(struct partition *partition, const struct spec *spec, struct rows *rows,
               struct error *err)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    enum spec_partition kind = spec->federation.partition;
    cut_evenly(partition->first, partition->n_clients, rows->n_rows);
    if (kind == PARTITION_USERS) {
        for (int64_t i = 0; i < rows->n_rows; i++) {
            partition->rows[i] = i;
        }
        return 0;
    }
    draw_key_public(spec->training.seed, "partition", key);
    struct crypto_stream *stream = crypto_stream_new(key);
    shuffle_all(stream, partition->rows, rows->n_rows);
    int rc = kind == PARTITION_DIRICHLET
                 ? cut_dirichlet(partition, spec, stream, rows, err)
             : kind == PARTITION_SHARDS ? cut_shards(partition, spec, stream, rows, err)
                                        : 0;
    crypto_stream_free(stream);
    return rc;
}

int partition_open(struct partition *partition, const struct spec *spec,
                   struct rows *rows, struct error *err)
{
    bool is_users = spec->federation.partition == PARTITION_USERS;
    *partition = (struct partition){.n_clients = is_users ? rows->n_rows
                                                          : spec->federation.clients};
    if (is_users && rows->users != NULL) {
        return cut_users(partition, rows, err);
    }
    size_t n = (size_t)rows->n_rows, n_clients = (size_t)partition->n_clients;
    partition->first = malloc((n_clients + 1) * sizeof *partition->first);
    partition->rows = malloc((n + 1) * sizeof *partition->rows);
    int rc = partition->first == NULL || partition->rows == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory to deal records to clients")
                 : 0;
    if (rc == 0 && n_clients == 0) { /* nobody is left in the data set */
        partition->first[0] = 0;
        return 0;
    }
    if (rc == 0) {
        rc = cut(partition, spec, rows, err);
    }
    for (size_t c = 0; rc == 0 && c < n_clients; c++) {
        qsort(partition->rows + partition->first[c],
              (size_t)partition_size(partition, (int64_t)c), sizeof *partition->rows,
              compare);
    }
    if (rc != 0) {
        partition_close(partition);
    }
    return rc;
}

static int by_row(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int partition_hold_out(struct partition *partition, double share, int64_t seed,
                       struct error *err)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    int64_t n_all_held = 0;
    draw_key_public(seed, "hold out", key);
    struct crypto_stream *stream = crypto_stream_new(key);
    if (stream == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory to hold records out");
    }
    partition->holdout = share;
    for (int64_t c = 0; c < partition->n_clients; c++) {
        int64_t *rows = partition->rows + partition->first[c];
        int64_t n_held = partition_n_held(partition, c);
        int64_t n_left = partition_size(partition, c);
        n_all_held += n_held;
        crypto_stream_seek(stream, partition_id(partition, c), 0);
        draw_shuffle(stream, rows, n_left + n_held);
        qsort(rows, (size_t)n_left, sizeof *rows, by_row);
        qsort(rows + n_left, (size_t)n_held, sizeof *rows, by_row);
    }
    crypto_stream_free(stream);
    if (n_all_held > 0) {
        return 0;
    }
    error_set(err, PPT_ESPEC,
              "federation.personal: no client has enough records to hold one out");
    return error_hint(err, "raise holdout, or make fewer clients up");
}

void partition_close(struct partition *partition)
{
    free(partition->first);
    free(partition->rows);
    free(partition->ids);
    *partition = (struct partition){0};
}
