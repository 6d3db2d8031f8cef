/* notify: whom to write to when a job has come to its end, and of which ends.
 *
 * The address goes to a mail program in the end (scheduler/hooks.h), so it has nothing
 * that one could take for an option or a second address.
 */
#ifndef PPT_JOBS_SPEC_NOTIFY_H
#define PPT_JOBS_SPEC_NOTIFY_H

#include "jobs/spec/field.h"
#include "jobs/spec/spec.h"

/* For the man page's test. */
extern const struct field_section field_notify;

/* A key of the top; base is a struct spec. NULL: nobody is written to. */
void notify_read(struct ydoc_faults *faults, const struct ydoc_node *node, void *base);
void notify_write(struct json *json, const struct field *field, const void *base);

/* An e-mail address, or a login of this host; left as it is where there is a fault. */
void notify_read_address(struct ydoc_faults *faults, const struct ydoc_node *node,
                         char ret_address[SPEC_NAME_SIZE]);

#endif
