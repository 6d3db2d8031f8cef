/* Batch scripts made from a template: every @NAME@ is replaced by a value.
 *
 * The script is a shell's, so a value holds nothing that a shell or Slurm would read
 * otherwise than as itself.
 */
#ifndef PPT_SCHEDULER_BATCH_SCRIPT_H
#define PPT_SCHEDULER_BATCH_SCRIPT_H

#include "base/error.h"
#include "scheduler/spool.h"

struct batch_value {
    const char *name;
    char text[SPOOL_PATH_SIZE]; /* letters, digits and /._-+=:, */
};

/* Writes `path`, for this user alone, from the template. Errors: PPT_ELAUNCH (a value
 * that a shell would see; no template; a name in it that has no value), PPT_EIO,
 * PPT_ENOMEM. */
int batch_script_write(const char *template, const struct batch_value *values,
                       int n_values, const char *path, struct error *err);

#endif
