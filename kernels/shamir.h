/* Shamir's secret sharing over the field of field.h: any `threshold` shares give the
 * secret back, fewer tell nothing of it (Shamir, How to share a secret, CACM 1979).
 *
 * A secret is n_words elements, each shared by a polynomial of its own; a share is as
 * many elements, the polynomials at the share's point. Points are public, different and
 * not 0. Guarantee: time depends on the sizes and points alone. No share proves that it
 * is right: a wrong one gives a wrong secret, so what was rebuilt must be checked by
 * other means.
 */
#ifndef PPT_KERNELS_SHAMIR_H
#define PPT_KERNELS_SHAMIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The share at `point` of secret[n_words]. coefficients[(threshold - 1) * n_words] are
 * random elements, used for this secret only and the same for all its shares.
 * threshold >= 1; with 1 the share is the secret. */
void shamir_share(const uint64_t *secret, size_t n_words, const uint64_t *coefficients,
                  size_t threshold, uint64_t point, uint64_t *ret_share);

/* Lagrange's weights at 0 for points[n], with n the threshold: the secret is then the
 * sum of weight times share. Worked out once, they serve every secret whose shares lie
 * at these points. scratch[n]. False, with nothing written to ret_weights, where a
 * point is 0, no element or there twice. */
bool shamir_weights(const uint64_t *points, size_t n, uint64_t *scratch,
                    uint64_t *ret_weights);

/* secret[n_words] from shares[n][n_words] in the order of the weights. */
void shamir_combine(const uint64_t *weights, size_t n, const uint64_t *shares,
                    size_t n_words, uint64_t *ret_secret);

#endif
