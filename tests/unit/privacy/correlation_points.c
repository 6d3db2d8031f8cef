/* Prints correlated noise for comparison with another library (tests/dev): reads lines
 * "n_bands n_bins n_passes" and prints for each the sensitivity of the whole training
 * that is paid for, what is left in the prefix sums, and the coefficients. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "jobs/privacy/correlation.h"

int main(void)
{
    int64_t n_bands, n_bins, n_passes, parts[CORRELATION_MAX_BANDS];
    while (scanf("%" SCNd64 " %" SCNd64 " %" SCNd64, &n_bands, &n_bins, &n_passes) ==
           3) {
        correlation_parts(n_bands, parts);
        printf("%.17g %.17g", sqrt((double)n_passes) / correlation_priced(1, n_bands),
               correlation_drift(n_bands, n_bins * n_passes));
        for (int64_t j = 0; j < n_bands; j++)
            printf(" %.17g", (double)parts[j] / CORRELATION_ONE);
        printf("\n");
    }
    return 0;
}
