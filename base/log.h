/* What programs print on stderr: errors with detail and hint, warnings, progress.
 * stdout carries a program's answer only. For programs (files with main), not rooms.
 *
 * Never pass record contents, indices, batch sizes or a true record count to these.
 */
#ifndef PPT_BASE_LOG_H
#define PPT_BASE_LOG_H

#include <stdbool.h>

#include "base/error.h"

/* Sets the name that stands before each line; quiet drops log_info. */
void log_init(const char *program, bool quiet);

/* Prints "program: error: text", then "detail:" and "hint:" lines where there are any.
 * Returns the process's exit status for this error (1 to 125). */
int log_error(const struct error *err);

/* One line on stderr; log_info is silent after log_init(.., true). */
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* With an RFC 3339 time stamp before each line: for daemons. */
void log_timestamps(bool on);

/* True if the file descriptor is a terminal and NO_COLOR is not set. */
bool log_colour(int fd);

#endif
