/* Whether training waits for its records: the same private training, fed from the file
 * by the thread that reads ahead, and from memory. */
#ifndef PPT_TESTS_BENCH_DATA_FED_H
#define PPT_TESTS_BENCH_DATA_FED_H

#include "base/error.h"
#include "worker/data_h5.h"

/* Of the file's split "part" of uint8 records of n_features, as many lanes as cores.
 * Shows seconds of all steps of the one and of the other. Errors: those of a trainer
 * and of shard_open. */
int fed_compare(const struct data_h5 *data, int64_t n_features, struct error *err);

#endif
