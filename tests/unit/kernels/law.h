/* Many draws of a discrete law against its probabilities: chi-square and the tails. The
 * key is fixed, so a run is reproducible; for a key drawn at random each test would
 * fail with a probability under 1e-8 (normal quantile 6). */
#ifndef PPT_TESTS_UNIT_KERNELS_LAW_H
#define PPT_TESTS_UNIT_KERNELS_LAW_H

#include <stdint.h>

#include "base/crypto.h"
#include "kernels/discrete.h"

enum { LAW_BLOCK = 1 << 16, LAW_REACH = 200000 };
#define LAW_MAX_SIGMAS 6.0

struct law_stream {
    struct crypto_stream *crypto;
    int64_t n_words;
};

struct law_stream law_open(unsigned char seed);
void law_words(void *state, uint64_t *ret_words, int64_t n); /* of a law_stream */

struct law_tested {
    const void *of;
    void (*draw)(const void *of, int64_t n, const struct discrete_source *source,
                 int64_t *x);
    double (*weight)(const void *of, int64_t k); /* not normalised */
};

/* Of all whole numbers up to +-LAW_REACH. */
double law_total_weight(const struct law_tested *tested);

/* n_draws or a little more, in cells of `width` integers, the outer two to infinity;
 * and the share of those beyond `far`. */
void law_check(const struct law_tested *tested, int64_t n_draws, int n_cells,
               int64_t width, int64_t far, unsigned char seed);

#endif
