/* Secure aggregation on one core: the server's unmasking, a client's CPU time and the
 * bytes it sends. bench_fl [--json]
 *
 * The peer is Flower's own SecAgg+ functions (2026-03, CPython 3.11): not run here, its
 * figures were measured on the same kind of core, without Ray and network: one run
 * each.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/figure.h"
#include "tests/unit/fl/federation.h"

enum { N_RUNS = 5 };

struct bench_case {
    uint32_t n, degree, threshold;
    double dropout;
    const char *name;
    double peer_unmask_s, peer_client_s, peer_kib; /* 0: not known */
};

/* A peer's figure of 0: not known. */
static void show(const char *name, const char *what, double value, const char *unit,
                 double peer)
{
    char title[96];
    snprintf(title, sizeof title, "%s, %s", name, what);
    figure_show(title, value, unit, peer > 0.0 ? "Flower, 2026-03" : NULL, peer,
                peer / value);
}

/* Clients vanish before they send their masked vectors: the dearest moment. */
static double run(const struct bench_case *c, double *ret_client_s, double *ret_kib)
{
    struct session_terms terms = {.round = 1,
                                  .n_clients = c->n,
                                  .degree = c->degree,
                                  .threshold = c->threshold,
                                  .min_clients = 2,
                                  .n_coords = 100000,
                                  .n_bits = 20};
    struct federation federation;
    struct error err = {0};
    uint32_t n_survivors, n_dropped = (uint32_t)(c->dropout * c->n);
    uint32_t *sum = malloc(terms.n_coords * sizeof *sum);
    double *client_s = malloc(c->n * sizeof *client_s), most_bytes = 0.0;
    size_t n_timed = 0;
    federation_open(&federation, &terms);
    for (uint32_t i = 0; i < n_dropped; i++) /* evenly over the cohort */
        federation.leaves[(uint32_t)((uint64_t)i * c->n / n_dropped)] = SECAGG_MASKED;
    if (sum == NULL || client_s == NULL || federation_run(&federation, &err) != 0 ||
        secagg_server_sum(federation.server, sum, &n_survivors, &err) != 0 ||
        !federation_is_exact(&federation, sum)) {
        fprintf(stderr, "bench_fl: %s: %s\n", c->name, err.text);
        exit(1);
    }
    for (uint32_t u = 0; u < c->n; u++) {
        if (federation.leaves[u] == SECAGG_SUMMED)
            client_s[n_timed++] = federation.client_s[u];
        most_bytes = fmax(most_bytes, (double)federation.sent_bytes[u]);
    }
    *ret_client_s = figure_median(client_s, n_timed);
    *ret_kib = most_bytes / 1024.0;
    double server_s = federation.server_s;
    federation_close(&federation);
    free(client_s);
    free(sum);
    return server_s;
}

int main(int argc, char **argv)
{
    const struct bench_case cases[] = {
        {100, 20, 6, 0.10, "100 clients, k=20, t=6, 10 % vanish", 45.6, 0.77, 793.0},
        {1000, 66, 31, 0.20, "1000 clients, k=66, t=31, 20 % vanish", 0.0, 0.0, 0.0},
    };
    figure_begin("fl", argc > 1 && strcmp(argv[1], "--json") == 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct bench_case *c = &cases[i];
        double server_s[N_RUNS], client_s[N_RUNS], kib = 0.0;
        int n_runs = c->n > 100 ? 3 : N_RUNS;
        for (int r = 0; r < n_runs; r++)
            server_s[r] = run(c, &client_s[r], &kib);
        show(c->name, "server unmasks", figure_median(server_s, (size_t)n_runs), "s",
             c->peer_unmask_s);
        show(c->name, "a client's CPU", 1e3 * figure_median(client_s, (size_t)n_runs),
             "ms", 1e3 * c->peer_client_s);
        show(c->name, "a client sends", kib, "KiB", c->peer_kib);
    }
    figure_end();
    return 0;
}
