/* Prices of jobs at single orders, for tests/dev/choose_orders.py.
 *
 * usage: order_points ALPHA... < JOBS
 *
 * Reads lines "noise_multiplier sample_rate n_steps delta" of subsampled Gaussians and
 * writes for each, as doubles: epsilon over all orders, then epsilon at each ALPHA.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "jobs/privacy/renyi.h"

int main(int argc, char **argv)
{
    int n = argc - 1;
    double *alphas = malloc((size_t)n * sizeof *alphas);
    double *rho = malloc((size_t)n * sizeof *rho);
    struct renyi_release release = {mechanism_default(MECHANISM_SUBSAMPLED_GAUSSIAN),
                                    1};
    struct error err = {0};
    double delta, epsilon;
    log_init("order_points", false);
    if (n < 1 || alphas == NULL || rho == NULL) {
        error_set(&err, PPT_EUSAGE, "usage: order_points ALPHA... < JOBS");
        return log_error(&err);
    }
    for (int i = 0; i < n; i++)
        alphas[i] = strtod(argv[i + 1], NULL);
    while (scanf("%lf %lf %" SCNd64 " %lf", &release.mechanism.noise_multiplier,
                 &release.mechanism.sample_rate, &release.count, &delta) == 4) {
        if (renyi_epsilon(&release, 1, delta, &epsilon, NULL, &err) != 0)
            return log_error(&err);
        fwrite(&epsilon, sizeof epsilon, 1, stdout);
        mechanism_rho(&release.mechanism, alphas, n, rho);
        for (int i = 0; i < n; i++) {
            epsilon = cost_epsilon_at(alphas[i], rho[i] * (double)release.count, delta);
            fwrite(&epsilon, sizeof epsilon, 1, stdout);
        }
    }
    free(alphas);
    free(rho);
    return 0;
}
