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

#include "base/json.h"
#include "tests/unit/fl/federation.h"

enum { N_RUNS = 5 };

struct bench_case {
    uint32_t n, degree, threshold;
    double dropout;
    const char *name;
    double peer_unmask_s, peer_client_s, peer_kib; /* 0: not known */
};

static bool is_json;

static void show(const char *name, const char *what, double value, const char *unit,
                 double peer)
{
    char title[96], *text = NULL;
    struct error err = {0};
    snprintf(title, sizeof title, "%s, %s", name, what);
    if (!is_json) {
        printf("fl    %-58s %10.4g %-4s", title, value, unit);
        if (peer > 0.0)
            printf("   Flower %8.4g   ratio %.1f", peer, peer / value);
        printf("\n");
        return;
    }
    struct json json = {0};
    json_object(&json, NULL);
    json_string(&json, "bench", "fl");
    json_string(&json, "case", title);
    json_number(&json, "value", value);
    json_string(&json, "unit", unit);
    json_string(&json, "peer", peer > 0.0 ? "flower secagg+ 2026-03" : NULL);
    json_number(&json, "peer_value", peer > 0.0 ? peer : (double)NAN);
    json_number(&json, "ratio", peer > 0.0 ? peer / value : (double)NAN);
    json_close_object(&json);
    if (json_end(&json, &text, &err) != 0)
        abort();
    fputs(text, stdout);
    free(text);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
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
    for (uint32_t i = 0; i < n_dropped; i++) /* in the order of the graph's circle */
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
    qsort(client_s, n_timed, sizeof *client_s, by_size);
    *ret_client_s = client_s[n_timed / 2];
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
    is_json = argc > 1 && strcmp(argv[1], "--json") == 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct bench_case *c = &cases[i];
        double server_s[N_RUNS], client_s[N_RUNS], kib = 0.0;
        int n_runs = c->n > 100 ? 3 : N_RUNS;
        for (int r = 0; r < n_runs; r++)
            server_s[r] = run(c, &client_s[r], &kib);
        qsort(server_s, (size_t)n_runs, sizeof *server_s, by_size);
        qsort(client_s, (size_t)n_runs, sizeof *client_s, by_size);
        show(c->name, "server unmasks", server_s[n_runs / 2], "s", c->peer_unmask_s);
        show(c->name, "a client's CPU", 1e3 * client_s[n_runs / 2], "ms",
             1e3 * c->peer_client_s);
        show(c->name, "a client sends", kib, "KiB", c->peer_kib);
    }
    return 0;
}
