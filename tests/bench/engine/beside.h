/* Opacus and a plain PyTorch loop, beside steps of the engine. */
#ifndef PPT_TESTS_BENCH_ENGINE_BESIDE_H
#define PPT_TESTS_BENCH_ENGINE_BESIDE_H

#include <stdint.h>

#define BESIDE_THREADS 2

/* Runs peer.py on BESIDE_THREADS threads for `model` (mlp or cnn), and shows its
 * examples a second beside the engine's, which took so many seconds a step on as many
 * threads. Says so, and shows nothing, where $PPT_PYTHON names no interpreter that has
 * both. */
void beside_show(const char *model, int64_t batch, int64_t n_steps, double private_s,
                 double plain_s);

#endif
