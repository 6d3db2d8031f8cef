#include "kernels/shamir.h"

#include <string.h>

#include "kernels/field.h"

void shamir_share(const uint64_t *secret, size_t n_words, const uint64_t *coefficients,
                  size_t threshold, uint64_t point, uint64_t *ret_share)
{
    for (size_t w = 0; w < n_words; w++) {
        uint64_t value = 0;
        for (size_t c = threshold - 1; c > 0; c--) { /* Horner, highest power first */
            value = field_add(value, coefficients[(c - 1) * n_words + w]);
            value = field_mul(value, point);
        }
        ret_share[w] = field_add(value, secret[w]);
    }
}

/* The denominators prod_{j != i} (x_j - x_i); false if one is 0. */
static bool differences(const uint64_t *points, size_t n, uint64_t *ret_products)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t product = 1;
        for (size_t j = 0; j < n; j++) {
            if (j != i) {
                product = field_mul(product, field_sub(points[j], points[i]));
            }
        }
        ret_products[i] = product;
        if (product == 0 || points[i] == 0) {
            return false;
        }
    }
    return true;
}

/* weight_i = prod_{j != i} x_j / (x_j - x_i) = X / (x_i prod_{j != i} (x_j - x_i)) with
 * X the product of all points; the n divisors are inverted together (Montgomery's
 * trick: running products, one inversion, and back). */
bool shamir_weights(const uint64_t *points, size_t n, uint64_t *scratch,
                    uint64_t *ret_weights)
{
    uint64_t all = 1, running = 1;
    for (size_t i = 0; i < n; i++) {
        if (!field_is_element(points[i])) {
            return false;
        }
    }
    if (!differences(points, n, scratch)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        scratch[i] = field_mul(scratch[i], points[i]);
        all = field_mul(all, points[i]);
        ret_weights[i] = running; /* the product of the divisors before this one */
        running = field_mul(running, scratch[i]);
    }
    uint64_t inverse = field_inverse(running);
    for (size_t i = n; i-- > 0;) {
        ret_weights[i] = field_mul(all, field_mul(inverse, ret_weights[i]));
        inverse = field_mul(inverse, scratch[i]);
    }
    return true;
}

void shamir_combine(const uint64_t *weights, size_t n, const uint64_t *shares,
                    size_t n_words, uint64_t *ret_secret)
{
    memset(ret_secret, 0, n_words * sizeof *ret_secret);
    for (size_t i = 0; i < n; i++) {
        for (size_t w = 0; w < n_words; w++) {
            uint64_t term = field_mul(weights[i], shares[i * n_words + w]);
            ret_secret[w] = field_add(ret_secret[w], term);
        }
    }
}
