#include "jobs/fl/cohort.h"

#include <math.h>
#include <stdlib.h>

#include "jobs/fl/draw.h"

struct lot {
    double key; /* larger ones first */
    int64_t client;
};

static int allocate(struct cohort *cohort, struct error *err)
{
    size_t n = (size_t)cohort->n_clients + 1;
    bool is_fixed = cohort->selection == SELECTION_FIXED;
    bool is_weighted =
        cohort->selection == SELECTION_WEIGHTED || cohort->selection == SELECTION_DEALT;
    cohort->members = malloc(n * sizeof *cohort->members);
    size_t n_seats = cohort->n_least > cohort->n_clients ? (size_t)cohort->n_least : n;
    cohort->scratch = is_fixed ? malloc(n_seats * sizeof *cohort->scratch) : NULL;
    cohort->lots = is_weighted ? malloc(n * sizeof *cohort->lots) : NULL;
    bool has_all = cohort->members != NULL && (cohort->scratch != NULL || !is_fixed) &&
                   (cohort->lots != NULL || !is_weighted);
    return has_all ? 0 : error_set(err, PPT_ENOMEM, "no memory for a cohort");
}

/* Another key than the deal's, whose streams it may not use. */
static void open_seats(struct cohort *cohort, const unsigned char key[CRYPTO_KEY_SIZE])
{
    unsigned char own[CRYPTO_KEY_SIZE];
    crypto_hkdf("ppt fl", 6, key, CRYPTO_KEY_SIZE, "seats", 5, own, sizeof own);
    cohort->stream = crypto_stream_new(own);
    crypto_wipe(own, sizeof own);
}

int cohort_open(struct cohort *cohort, enum spec_selection selection,
                double sample_rate, int64_t n_fixed, int64_t n_least,
                const struct partition *partition,
                const unsigned char key[CRYPTO_KEY_SIZE], struct error *err)
{
    *cohort = (struct cohort){.selection = selection,
                              .partition = partition,
                              .n_clients = partition->n_clients,
                              .n_fixed = n_fixed,
                              .n_least = n_least};
    bool is_dealt = selection == SELECTION_DEALT || selection == SELECTION_FIXED_ORDER;
    if (spec_selection_is_exact(selection) && n_fixed > partition->n_clients &&
        n_fixed > n_least) {
        return error_set(err, PPT_ERANGE, "federation.cohort is %lld of %lld clients",
                         (long long)n_fixed, (long long)partition->n_clients);
    }
    int rc = allocate(cohort, err);
    if (rc == 0 && is_dealt) {
        rc = sampler_open_dealt(&cohort->sampler, key, llrint(1.0 / sample_rate),
                                selection == SELECTION_FIXED_ORDER,
                                partition->n_clients, err);
        open_seats(cohort, key);
    } else if (rc == 0 && selection != SELECTION_POISSON) {
        cohort->stream = crypto_stream_new(key);
    } else if (rc == 0) {
        rc =
            sampler_open(&cohort->sampler, key, sample_rate, partition->n_clients, err);
    }
    if (rc != 0) {
        cohort_close(cohort);
    }
    return rc;
}

void cohort_close(struct cohort *cohort)
{
    if (cohort->sampler.stream != NULL) {
        sampler_close(&cohort->sampler);
    }
    if (cohort->stream != NULL) {
        crypto_stream_free(cohort->stream);
    }
    if (cohort->members != NULL) {
        crypto_wipe(cohort->members,
                    ((size_t)cohort->n_clients + 1) * sizeof *cohort->members);
    }
    free(cohort->members);
    free(cohort->scratch);
    free(cohort->lots);
    *cohort = (struct cohort){0};
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The first n_fixed of a shuffle of all who are able, and of empty seats. */
static void draw_fixed(struct cohort *cohort, int64_t round, const bool *is_able)
{
    int64_t n = 0;
    crypto_stream_seek(cohort->stream, (uint64_t)round, 0);
    for (int64_t c = 0; c < cohort->n_clients; c++) {
        if (is_able == NULL || is_able[c]) {
            cohort->scratch[n++] = c;
        }
    }
    while (n < cohort->n_least) {
        cohort->scratch[n++] = -1;
    }
    int64_t n_drawn = cohort->n_fixed < n ? cohort->n_fixed : n;
    cohort->n = 0;
    for (int64_t i = 0; i < n_drawn; i++) {
        int64_t j = i + draw_below(cohort->stream, n - i), client = cohort->scratch[j];
        cohort->scratch[j] = cohort->scratch[i];
        if (client >= 0) {
            cohort->members[cohort->n++] = client;
        }
    }
    qsort(cohort->members, (size_t)cohort->n, sizeof *cohort->members, compare);
}

static int by_key(const void *a, const void *b)
{
    const struct lot *x = a, *y = b;
    return x->key != y->key ? (x->key < y->key) - (x->key > y->key)
                            : (x->client > y->client) - (x->client < y->client);
}

/* The largest of ln(U) / records; those without records come last. */
static void draw_weighted(struct cohort *cohort, int64_t round, const bool *is_able)
{
    int64_t n = 0;
    crypto_stream_seek(cohort->stream, (uint64_t)round, 0);
    for (int64_t c = 0; c < cohort->n_clients; c++) {
        double u = draw_uniform(cohort->stream);
        double size = (double)partition_size(cohort->partition, c);
        if (is_able == NULL || is_able[c]) {
            cohort->lots[n++] = (struct lot){log(u) / size, c};
        }
    }
    qsort(cohort->lots, (size_t)n, sizeof *cohort->lots, by_key);
    cohort->n = cohort->n_fixed < n ? cohort->n_fixed : n;
    for (int64_t i = 0; i < cohort->n; i++) {
        cohort->members[i] = cohort->lots[i].client;
    }
    qsort(cohort->members, (size_t)cohort->n, sizeof *cohort->members, compare);
}

/* Where more were dealt than there are seats: those with the largest of random numbers
 * that depend on nobody else. */
static void seat(struct cohort *cohort, int64_t round)
{
    int64_t n = cohort->n;
    for (int64_t i = 0; i < n; i++) {
        int64_t client = cohort->members[i];
        crypto_stream_seek(cohort->stream, partition_id(cohort->partition, client),
                           (uint64_t)round << 32);
        cohort->lots[i] = (struct lot){draw_uniform(cohort->stream), client};
    }
    qsort(cohort->lots, (size_t)n, sizeof *cohort->lots, by_key);
    cohort->n = cohort->n_fixed;
    for (int64_t i = 0; i < cohort->n; i++) {
        cohort->members[i] = cohort->lots[i].client;
    }
    qsort(cohort->members, (size_t)cohort->n, sizeof *cohort->members, compare);
}

void cohort_draw(struct cohort *cohort, int64_t round, const bool *is_able)
{
    if (cohort->selection == SELECTION_FIXED) {
        draw_fixed(cohort, round, is_able);
        return;
    }
    if (cohort->selection == SELECTION_WEIGHTED) {
        draw_weighted(cohort, round, is_able);
        return;
    }
    sampler_begin(&cohort->sampler, round);
    cohort->n = (int64_t)sampler_next(&cohort->sampler, cohort->members,
                                      (size_t)cohort->n_clients);
    int64_t n = 0;
    for (int64_t i = 0; i < cohort->n; i++) {
        if (is_able == NULL || is_able[cohort->members[i]]) {
            cohort->members[n++] = cohort->members[i];
        }
    }
    cohort->n = n;
    if (cohort->selection == SELECTION_DEALT && n > cohort->n_fixed) {
        seat(cohort, round);
    }
}
