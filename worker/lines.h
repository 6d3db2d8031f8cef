/* Lines of a text file that may be compressed by gzip. */
#ifndef PPT_WORKER_LINES_H
#define PPT_WORKER_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct lines;

/* Caller closes. Errors: PPT_ENOTFOUND, PPT_EIO, PPT_ENOMEM. */
int lines_open(const char *path, struct lines **ret_lines, struct error *err);
void lines_close(struct lines *lines);

/* The next line that is not blank: its text without its end (\n or \r\n), which may be
 * changed and is valid until the next call; NULL at the end of the file.
 * Errors: PPT_EDATA (more than 16 MiB, a zero byte, damaged gzip), PPT_EIO, PPT_ENOMEM.
 */
int lines_next(struct lines *lines, char **ret_text, struct error *err);

/* Of the line that was read last, from 1, and of the file. */
int64_t lines_number(const struct lines *lines);
/* As it was opened. */
const char *lines_path(const struct lines *lines);

/* Back to the first line. Errors: PPT_EIO. */
int lines_rewind(struct lines *lines, struct error *err);

#endif
