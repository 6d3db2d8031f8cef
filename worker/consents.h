/* The list of consents beside a data set's file: for people.h5 it is people.consents.
 * Whoever keeps it appends lines or replaces the file whole (jobs/fl/consent.h has the
 * format). */
#ifndef PPT_WORKER_CONSENTS_H
#define PPT_WORKER_CONSENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/error.h"
#include "jobs/plan.h"

#define CONSENTS_MAX_BYTES (64u << 20)

/* Zero-initialise. */
struct consents {
    bool is_known;
    struct stat last;
};

/* The list's text, NUL-terminated; caller frees. NULL where the file is as it was at
 * the call before, by its inode, size and times. Errors: PPT_ENOTFOUND, PPT_EIO (also:
 * larger than 64 MiB), PPT_ENOMEM. */
int consents_read(struct consents *consents, const char *data_file, char **ret_text,
                  size_t *ret_len, struct error *err);

#endif
