/* Whose privacy a price protects, and what "neighbouring data sets" means. Curves of
 * different units or relations must never be added. */
#ifndef PPT_JOBS_PRIVACY_UNIT_H
#define PPT_JOBS_PRIVACY_UNIT_H

enum privacy_unit { UNIT_EXAMPLE, UNIT_USER, UNIT_N };

enum privacy_relation {
    RELATION_ADD_REMOVE,  /* one unit is added or removed */
    RELATION_REPLACE_ONE, /* one unit is replaced by another */
    RELATION_N
};

/* "example", "user"; "add_remove", "replace_one". The reverse returns -1 for an unknown
 * name. */
const char *unit_name(enum privacy_unit unit);
int unit_from_name(const char *name);
const char *relation_name(enum privacy_relation relation);
int relation_from_name(const char *name);

#endif
