#include "jobs/fl/weight.h"

#include <math.h>

int64_t weight_of(const struct spec_federation *federation, int64_t n_records)
{
    int64_t most =
        federation->weighting == WEIGHTING_EXAMPLES ? federation->max_weight : 1;
    return most > 0 && n_records > most ? most : n_records;
}

double weight_share(const struct spec_federation *federation, int64_t n_records)
{
    return federation->weighting == WEIGHTING_EXAMPLES
               ? (double)weight_of(federation, n_records) /
                     (double)federation->max_weight
               : 1.0;
}

double weight_expected(const struct spec_federation *federation, double mean_records)
{
    return federation->weighting == WEIGHTING_EXAMPLES
               ? fmin(1.0, mean_records / (double)federation->max_weight)
               : 1.0;
}

int weight_plan(int64_t max_weight, int n_bits, uint32_t n_clients,
                struct weight_digits *ret_digits, struct error *err)
{
    struct weight_digits digits = {.n_bits = n_bits};
    while ((uint64_t)n_clients * ((UINT64_C(1) << digits.n_bits) - 1) >> n_bits != 0) {
        digits.n_bits--;
    }
    if (digits.n_bits < 1) {
        return error_set(err, PPT_ERANGE,
                         "%d bits are too few for the weights of %u clients", n_bits,
                         (unsigned)n_clients);
    }
    while (digits.n == 0 || max_weight >> (digits.n * digits.n_bits) != 0) {
        digits.n++;
    }
    *ret_digits = digits;
    return 0;
}

void weight_write(const struct weight_digits *digits, int64_t weight,
                  uint32_t *ret_ring)
{
    for (int d = 0; d < digits->n; d++) {
        ret_ring[d] = (uint32_t)(weight >> (d * digits->n_bits) &
                                 ((INT64_C(1) << digits->n_bits) - 1));
    }
}

int64_t weight_read(const struct weight_digits *digits, const uint32_t *sum)
{
    int64_t weight = 0;
    for (int d = 0; d < digits->n; d++) {
        weight += (int64_t)sum[d] << (d * digits->n_bits);
    }
    return weight;
}
