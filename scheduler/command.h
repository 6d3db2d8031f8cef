/* Runs another program and waits for it, but never longer than it is told to.
 *
 * No shell. Standard input is empty; output and errors are kept. Whatever the program
 * has started in its process group is killed with it when time is up.
 */
#ifndef PPT_SCHEDULER_COMMAND_H
#define PPT_SCHEDULER_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define COMMAND_MAX_BYTES (16u << 20) /* of output; more is an error */

struct command_result {
    bool has_timed_out;
    int status;        /* exit status; 128 + the signal that ended it */
    char *output;      /* NUL-terminated; command_result_free */
    char errors[1024]; /* the first words on standard error, in one line */
};

/* `argv` ends with NULL and begins with a name to be looked for in PATH, or a path;
 * `environment` ends with NULL. Success says only that it was started.
 * Errors: PPT_ELAUNCH (cannot be started), PPT_EIO, PPT_ENOMEM. */
int command_run(const char *const *argv, char *const *environment, int64_t timeout_ms,
                struct command_result *ret_result, struct error *err);

/* Also of a zeroed one. */
void command_result_free(struct command_result *result);

#endif
