/* What the columns of a CSV file mean: a small YAML file that says which become
 * numbers, which become one of a list of words, which is the label. Everything in it is
 * public and fixed before the records are looked at: a mean, a bin's edge or a list of
 * words that is computed from secret records is a leak.
 */
#ifndef PPT_WORKER_COLUMNS_H
#define PPT_WORKER_COLUMNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct columns;

/* Reads a file of at most 256 KiB; ppt-data(1) has the format. Caller frees.
 * Errors: PPT_ENOTFOUND, PPT_EIO, PPT_ENOMEM; PPT_ESPEC with file:line:column lines in
 * err->detail. */
int columns_read(const char *path, struct columns **ret_columns, struct error *err);
void columns_free(struct columns *columns);

/* Cells of a line. */
int64_t columns_count(const struct columns *columns);
/* Floats that a record becomes: at least 1. */
int64_t columns_n_features(const struct columns *columns);
/* Which column, from 0. */
int64_t columns_label(const struct columns *columns);
/* As the file has it; a header says the same. */
const char *columns_name(const struct columns *columns, int64_t column);

/* One cell: *ret_x, which has room, gets its *ret_n features. False if it is not what
 * the column holds; *ret_wanted then says what was expected. A word that is not in its
 * list becomes zeros. Not for the label. */
bool columns_feature(const struct columns *columns, int64_t column, const char *text,
                     float *ret_x, int64_t *ret_n, const char **ret_wanted);

/* How many words the label has; 0: it is a number, and the caller's to read. */
int64_t columns_n_labels(const struct columns *columns);
/* The label's words count from 0. False: not among them. */
bool columns_label_value(const struct columns *columns, const char *text,
                         int64_t *ret_y);

#endif
