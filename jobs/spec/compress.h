/* The section federation.compress: how clients send fewer bytes. */
#ifndef PPT_JOBS_SPEC_COMPRESS_H
#define PPT_JOBS_SPEC_COMPRESS_H

#include "jobs/spec/field.h"

/* Reads and writes the key of a struct spec_federation. */
void compress_read(struct ydoc_faults *faults, const struct ydoc_node *node,
                   void *federation);
void compress_write(struct json *json, const struct field *field,
                    const void *federation);

/* Adds a fault for each combination that is impossible; `node` is the federation's. */
void compress_check(struct ydoc_faults *faults, const struct ydoc_node *node,
                    const struct spec *spec);

#endif
