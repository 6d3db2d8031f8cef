#include "jobs/privacy/price_split.h"

#include <math.h>

#include "jobs/privacy/price.h"
#include "jobs/privacy/split.h"
#include "jobs/spec/spec.h"

int price_split_noise(const struct spec *spec, const struct price *price,
                      double *ret_gradient_noise, double *ret_count_noise,
                      struct error *err)
{
    double count_noise = spec->privacy.clipping.count_noise;
    double units = (double)(spec->kind == JOB_FL ? spec->federation.cohort
                                                 : spec->training.batch_size);
    if (count_noise == 0)
        count_noise = fmax(units / 20, price->noise_multiplier);
    int rc = split_gradient_noise(price->noise_multiplier, count_noise,
                                  ret_gradient_noise, err);
    if (rc == 0 && *ret_gradient_noise > 7 * price->noise_multiplier)
        rc = error_set(err, PPT_ERANGE,
                       "count_noise is %g, half the noise_multiplier of %g or hardly "
                       "more: it would leave the gradients 7 times the noise",
                       count_noise, price->noise_multiplier);
    if (rc == 0)
        *ret_count_noise = count_noise;
    else
        error_prefix(err, "privacy.clipping");
    return rc;
}
