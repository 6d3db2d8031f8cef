/* A directory of a test's own, made before it and removed after it. */
#ifndef PPT_TESTS_UNIT_WORKER_SCRATCH_H
#define PPT_TESTS_UNIT_WORKER_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

void scratch_setup(void);
void scratch_teardown(void);

/* The path of a file in it; the last eight stay valid. */
const char *scratch_path(const char *name);

/* Writes a file and returns its path. */
const char *scratch_write(const char *name, const void *data, size_t len);

/* The size of a file, or -1; keeps only its first `len` bytes; flips a bit of a byte.
 */
int64_t scratch_size(const char *path);
void scratch_truncate(const char *path, int64_t len);
void scratch_flip(const char *path, int64_t at);

/* The text contains the words, or the test fails and shows both. */
void scratch_expect(const struct error *err, const char *words);

#endif
