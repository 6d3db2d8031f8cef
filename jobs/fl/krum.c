#include "jobs/fl/krum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Of those that are not out; INFINITY for the others. */
static void score(const double *square, int64_t n, int64_t n_byzantine,
                  const bool *is_out, double *near, double *ret_scores)
{
    int64_t n_in = 0;
    for (int64_t i = 0; i < n; i++) {
        n_in += !is_out[i];
    }
    int64_t n_near = n_in - n_byzantine - 2;
    n_near = n_near < 1 ? 1 : n_near;
    n_near = n_near > n_in - 1 ? n_in - 1 : n_near;
    for (int64_t i = 0; i < n; i++) {
        int64_t count = 0;
        ret_scores[i] = INFINITY;
        if (is_out[i]) {
            continue;
        }
        for (int64_t k = 0; k < n; k++) {
            if (k != i && !is_out[k]) {
                near[count++] = square[i * n + k];
            }
        }
        qsort(near, (size_t)count, sizeof *near, compare);
        ret_scores[i] = 0.0;
        for (int64_t k = 0; k < n_near; k++) {
            ret_scores[i] += near[k];
        }
    }
}

static int64_t least(const double *scores, const bool *is_out, int64_t n)
{
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++) {
        if (!is_out[i] && (best < 0 || scores[i] < scores[best])) {
            best = i;
        }
    }
    return best;
}

/* Anew before each choice, or once. */
static int choose(const double *square, int64_t n, int64_t n_byzantine,
                  int64_t n_chosen, bool is_anew, bool *is_chosen, struct error *err)
{
    double *near = malloc((size_t)(2 * n + 1) * sizeof *near);
    if (near == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for the scores of Krum");
    }
    double *scores = near + n;
    memset(is_chosen, 0, (size_t)n * sizeof *is_chosen);
    for (int64_t c = 0; c < n_chosen; c++) {
        if (c == 0 || is_anew) {
            score(square, n, n_byzantine, is_chosen, near, scores);
        }
        is_chosen[least(scores, is_chosen, n)] = true;
    }
    free(near);
    return 0;
}

int krum_choose(const double *square, int64_t n, int64_t n_byzantine, int64_t n_chosen,
                bool *is_chosen, struct error *err)
{
    return choose(square, n, n_byzantine, n_chosen, false, is_chosen, err);
}

int krum_repeat(const double *square, int64_t n, int64_t n_byzantine, int64_t n_chosen,
                bool *is_chosen, struct error *err)
{
    return choose(square, n, n_byzantine, n_chosen, true, is_chosen, err);
}
