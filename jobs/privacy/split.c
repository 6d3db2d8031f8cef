#include "jobs/privacy/split.h"

#include <float.h>
#include <math.h>

int split_gradient_noise(double noise_multiplier, double count_noise,
                         double *ret_gradient_noise, struct error *err)
{
    if (!(noise_multiplier > 0 && noise_multiplier <= 1e100))
        return error_set(err, PPT_ERANGE,
                         "noise_multiplier is %g, expected a number in (0, 1e+100]",
                         noise_multiplier);
    if (!(count_noise > 0 && count_noise <= 1e100))
        return error_set(err, PPT_ERANGE,
                         "count_noise is %g, expected a number in (0, 1e+100]",
                         count_noise);
    double ratio = noise_multiplier / (2 * count_noise);
    double left = (1 - ratio) * (1 + ratio);
    if (!(left > 16 * DBL_EPSILON)) {
        int rc = error_set(
            err, PPT_ERANGE,
            "count_noise is %g, expected more than half the noise_multiplier of "
            "%g",
            count_noise, noise_multiplier);
        error_hint(err, "a twentieth of the batch size is usual");
        return rc;
    }
    /* 1 - ratio is right to half a unit of 1, not of itself */
    *ret_gradient_noise =
        noise_multiplier / sqrt(left - 8 * DBL_EPSILON) * (1 + 8 * DBL_EPSILON);
    return 0;
}
