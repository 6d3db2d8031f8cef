/* Which words may name things: jobs, data sets, groups, files, accounts.
 *
 * A name has letters, digits, dots, underscores and dashes, and begins with neither a
 * dot nor a dash: it is safe in a path, on a command line and in a message.
 */
#ifndef PPT_JOBS_SPEC_NAME_H
#define PPT_JOBS_SPEC_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ydoc.h"

#define NAME_MAX_DEPTH 16 /* segments of an account's path */

/* 1 to 127 bytes. */
bool name_is_valid(const char *text);

/* One to NAME_MAX_DEPTH names with slashes between: acme/research/vision. */
bool name_is_account(const char *text);

/* Reads a name into ret_name[size], size at most 128. Returns 0, or adds a fault and
 * returns -PPT_ESPEC with ret_name untouched. */
int name_read(struct ydoc_faults *faults, const struct ydoc_node *node, size_t size,
              char *ret_name);

/* The same for an account's path. */
int name_read_account(struct ydoc_faults *faults, const struct ydoc_node *node,
                      size_t size, char *ret_path);

/* What a model file's name ends in says which format it gets. */
#define NAME_HDF5 ".h5"
#define NAME_SAFETENSORS ".safetensors"

/* Has something before the suffix, too. */
bool name_has_suffix(const char *name, const char *suffix);

/* name_read for a model file. */
int name_read_model(struct ydoc_faults *faults, const struct ydoc_node *node,
                    size_t size, char *ret_name);

#endif
