/* privacy.clipping: a mode's name, or a mapping with it; flat is not written. */
#ifndef PPT_JOBS_SPEC_CLIPPING_H
#define PPT_JOBS_SPEC_CLIPPING_H

#include "jobs/spec/field.h"

extern const struct field_section field_clipping;

/* As a field's own read and write; base is a struct spec_privacy. */
void clipping_read(struct ydoc_faults *faults, const struct ydoc_node *node,
                   void *base);
void clipping_write(struct json *json, const struct field *field, const void *base);

#endif
