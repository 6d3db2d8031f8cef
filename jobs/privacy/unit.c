#include "jobs/privacy/unit.h"

#include <stddef.h>
#include <string.h>

static const char *const unit_names[UNIT_N] = {
    [UNIT_EXAMPLE] = "example",
    [UNIT_USER] = "user",
};

static const char *const relation_names[RELATION_N] = {
    [RELATION_ADD_REMOVE] = "add_remove",
    [RELATION_REPLACE_ONE] = "replace_one",
};

static int find(const char *name, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (name != NULL && strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

const char *unit_name(enum privacy_unit unit)
{
    return unit_names[unit];
}

int unit_from_name(const char *name)
{
    return find(name, unit_names, UNIT_N);
}

const char *relation_name(enum privacy_relation relation)
{
    return relation_names[relation];
}

int relation_from_name(const char *name)
{
    return find(name, relation_names, RELATION_N);
}
