/* What ppt-data imports from: a stream of records with their labels, in one of four
 * formats. Files may be compressed by gzip. Opening checks everything that can be
 * checked before a byte is written. */
#ifndef PPT_WORKER_SOURCE_H
#define PPT_WORKER_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/manifest.h"

/* Zero-initialise. The facts are filled by an open function. */
struct source {
    int64_t n_rows; /* the true count: never printed */
    enum manifest_type x_type;
    int n_dims; /* of one record */
    int64_t dims[MANIFEST_MAX_DIMS];
    int64_t n_tokens; /* records are ids below it; 0: numbers */
    int64_t min_label, max_label;
    void *state;
    /* Up to max records, from where the last call ended: x in rows of x_type, y as
     * int64. *ret_n is less than max only at the end. Errors: PPT_EDATA, PPT_EIO. */
    int (*read)(struct source *source, size_t max, void *ret_x, int64_t *ret_y,
                size_t *ret_n, struct error *err);
    void (*close)(struct source *source);
};

/* Bytes of one record's x. */
size_t source_row_bytes(const struct source *source);

/* Records become ids below n_tokens, or with 0 must be numbers. Whether all ids are
 * below it is seen when they are imported. Errors: PPT_EDATA (floats, or more than one
 * dimension; integers that are no ids), PPT_EUSAGE (n_tokens is none). */
int source_as_tokens(struct source *source, int64_t n_tokens, struct error *err);

/* Frees what it holds and empties it; a source that was never opened is allowed. */
void source_close(struct source *source);

/* IDX as MNIST has it: a file of records (uint8, or float32 in network order) of 1 to 3
 * dimensions and one of uint8 or int32 labels.
 * Errors: PPT_ENOTFOUND, PPT_EIO, PPT_EDATA (says which file and what was expected). */
int source_open_idx(const char *x_path, const char *y_path, struct source *ret_source,
                    struct error *err);

/* NumPy's .npy, versions 1 to 3, C order, little-endian: records of uint8 or float32,
 * or ids of int32 (source_as_tokens); labels of uint8 or int64. Errors as
 * source_open_idx. */
int source_open_npy(const char *x_path, const char *y_path, struct source *ret_source,
                    struct error *err);

struct columns; /* worker/columns.h */

enum csv_header { CSV_HEADER_AUTO, CSV_HEADER_YES, CSV_HEADER_NO };

/* Comma-separated numbers, one record a line; blank lines are skipped. `label` is the
 * label column's heading or its number from 1; NULL: the last column. AUTO takes the
 * first line as a header if any of its cells is not a number. With `columns`, which
 * outlives the source, they say what each column holds and which is the label; AUTO
 * takes the first line as a header if it is their names, YES insists on it. The whole
 * file is read once here, so that a fault is found before anything is written. Errors:
 * as source_open_idx, with file:line:column; PPT_EUSAGE (no such column). */
int source_open_csv(const char *path, const char *label, enum csv_header header,
                    const struct columns *columns, struct source *ret_source,
                    struct error *err);

struct redact;    /* worker/redact.h */
struct tokeniser; /* worker/tokeniser.h */

/* Text, one record a line: a label (a whole number from 0), a tab, the text; blank
 * lines are skipped. Redacted if `redact` is given (what it finds is counted there
 * while the records are read), then its first `length` tokens, padding behind them.
 * Both outlive the source. The whole file is read once here. Errors: as
 * source_open_csv. */
int source_open_text(const char *path, int64_t length,
                     const struct tokeniser *tokeniser, struct redact *redact,
                     struct source *ret_source, struct error *err);

#endif
