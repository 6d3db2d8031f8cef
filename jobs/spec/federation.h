/* The section of jobs of kind fl: who the clients are and what a round does. */
#ifndef PPT_JOBS_SPEC_FEDERATION_H
#define PPT_JOBS_SPEC_FEDERATION_H

#include "jobs/spec/consent.h"
#include "jobs/spec/devices.h"
#include "jobs/spec/field.h"
#include "jobs/spec/robust.h"

/* The tables, for fields.c; those of robust.c, attack.c and compress.c are among them.
 */
extern const struct field_section field_federation, field_server, field_secagg,
    field_robust, field_noise, field_attack, field_compress;

/* Reads `federation` of a whole spec, whose kind was read before: it must be there with
 * kind fl and nowhere else. Writes it with kind fl only. */
void federation_read(struct ydoc_faults *faults, const struct ydoc_node *node,
                     void *spec);
void federation_write(struct json *json, const struct field *field, const void *spec);

/* Adds a fault for each combination that is impossible with kind fl. */
void federation_check(struct ydoc_faults *faults, const struct ydoc_node *root,
                      const struct spec *spec);

#endif
