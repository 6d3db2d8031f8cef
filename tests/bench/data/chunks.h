/* How fast rows come out of chunked arrays, beside H5Dread on the same file. */
#ifndef PPT_TESTS_BENCH_DATA_CHUNKS_H
#define PPT_TESTS_BENCH_DATA_CHUNKS_H

#include "base/error.h"

/* Makes and removes a file of some 300 MB at `path`, which lies in the cache then, and
 * shows rows/s: stored as they are and deflated, in one pass and a hundredth of them by
 * chance. */
int chunks_compare(const char *path, struct error *err);

#endif
