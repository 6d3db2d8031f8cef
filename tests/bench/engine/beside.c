#include "tests/bench/engine/beside.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "tests/bench/figure.h"

/* Examples a second. */
struct peer {
    double opacus; /* in its fastest mode, indexing a tensor */
    double loaded; /* with its own loader */
    double plain;
    char mode[16];
};

static bool ask(const char *model, int64_t batch, int64_t n_steps,
                struct peer *ret_peer)
{
    const char *python = getenv("PPT_PYTHON"), *source = getenv("PPT_SOURCE_DIR");
    char command[4096];
    if (python == NULL || source == NULL) {
        return false;
    }
    snprintf(command, sizeof command,
             "'%s' '%s/tests/bench/engine/peer.py' %s %lld %lld %d", python, source,
             model, (long long)batch, (long long)n_steps, BESIDE_THREADS);
    FILE *pipe = popen(command, "r");
    if (pipe == NULL) {
        return false;
    }
    bool is_told = fscanf(pipe, "%lf %lf %lf %15s", &ret_peer->opacus,
                          &ret_peer->loaded, &ret_peer->plain, ret_peer->mode) == 4;
    return pclose(pipe) == 0 && is_told;
}

void beside_show(const char *model, int64_t batch, int64_t n_steps, double private_s,
                 double plain_s)
{
    char label[64], name[64];
    struct peer peer;
    double ours = (double)batch / private_s, ours_plain = (double)batch / plain_s;
    if (!ask(model, batch, n_steps, &peer)) {
        log_warning(
            "%s beside Opacus: skipped, PPT_PYTHON names no interpreter that has "
            "torch and opacus",
            model);
        return;
    }
    snprintf(label, sizeof label, "%s dp, %d threads", model, BESIDE_THREADS);
    snprintf(name, sizeof name, "Opacus (%s)", peer.mode);
    figure_show(label, ours, "1/s", name, peer.loaded, ours / peer.loaded);
    snprintf(name, sizeof name, "Opacus (%s), no loader", peer.mode);
    figure_show(label, ours, "1/s", name, peer.opacus, ours / peer.opacus);
    figure_show(label, ours, "1/s", "PyTorch, not private", peer.plain,
                ours / peer.plain);
    snprintf(label, sizeof label, "%s plain, %d threads", model, BESIDE_THREADS);
    figure_show(label, ours_plain, "1/s", "PyTorch, not private", peer.plain,
                ours_plain / peer.plain);
}
