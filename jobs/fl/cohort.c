#include "jobs/fl/cohort.h"

#include <stdlib.h>

#include "jobs/fl/draw.h"

int cohort_open(struct cohort *cohort, const struct spec_federation *federation,
                double sample_rate, int64_t n_clients,
                const unsigned char key[CRYPTO_KEY_SIZE], struct error *err)
{
    bool is_fixed = federation->selection == SELECTION_FIXED;
    size_t n = (size_t)n_clients + 1;
    *cohort = (struct cohort){.selection = federation->selection,
                              .n_clients = n_clients,
                              .n_fixed = federation->cohort};
    if (is_fixed && cohort->n_fixed > n_clients) {
        return error_set(err, PPT_ERANGE, "federation.cohort is %lld of %lld clients",
                         (long long)cohort->n_fixed, (long long)n_clients);
    }
    cohort->members = malloc(n * sizeof *cohort->members);
    cohort->scratch = is_fixed ? malloc(n * sizeof *cohort->scratch) : NULL;
    int rc = cohort->members == NULL || (is_fixed && cohort->scratch == NULL)
                 ? error_set(err, PPT_ENOMEM, "no memory for a cohort")
                 : 0;
    if (rc == 0 && is_fixed) {
        cohort->stream = crypto_stream_new(key);
    } else if (rc == 0) {
        rc = sampler_open(&cohort->sampler, key, sample_rate, n_clients, err);
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
    *cohort = (struct cohort){0};
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The first n_fixed of a shuffle. */
static void draw_fixed(struct cohort *cohort, int64_t round, const bool *is_able)
{
    int64_t n = 0;
    crypto_stream_seek(cohort->stream, (uint64_t)round, 0);
    for (int64_t c = 0; c < cohort->n_clients; c++) {
        if (is_able == NULL || is_able[c]) {
            cohort->scratch[n++] = c;
        }
    }
    cohort->n = cohort->n_fixed < n ? cohort->n_fixed : n;
    for (int64_t i = 0; i < cohort->n; i++) {
        int64_t j = i + draw_below(cohort->stream, n - i);
        cohort->members[i] = cohort->scratch[j];
        cohort->scratch[j] = cohort->scratch[i];
    }
    qsort(cohort->members, (size_t)cohort->n, sizeof *cohort->members, compare);
}

void cohort_draw(struct cohort *cohort, int64_t round, const bool *is_able)
{
    if (cohort->selection == SELECTION_FIXED) {
        draw_fixed(cohort, round, is_able);
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
}
