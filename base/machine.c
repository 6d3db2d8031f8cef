#include "base/machine.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "max", and what cannot be read, is no bound. */
static int64_t read_bound(const char *path)
{
    char text[64], *end = text;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return INT64_MAX;
    long long value = 0;
    if (fgets(text, sizeof text, file) != NULL)
        value = strtoll(text, &end, 10);
    fclose(file);
    return end != text && value > 0 ? value : INT64_MAX;
}

/* A group is bound by those above it, too. In a container only its own may be there, in
 * place of the root. Changes `group`. */
static int64_t least_bound(const char *mount, char *group, const char *name)
{
    char path[PATH_MAX];
    int64_t least = INT64_MAX;
    for (;;) {
        int len = snprintf(path, sizeof path, "%s%s/%s", mount, group, name);
        int64_t bound = len < PATH_MAX ? read_bound(path) : INT64_MAX;
        if (bound < least)
            least = bound;
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return least;
        *slash = '\0';
    }
}

/* Is `memory` one of the controllers in a list "a,b,c" of len characters? */
static bool has_memory(const char *list, size_t len)
{
    static const char memory[] = "memory";
    for (const char *at = list, *end = list + len; at < end;) {
        size_t n = strcspn(at, ",:");
        if (n == sizeof memory - 1 && memcmp(at, memory, n) == 0)
            return true;
        at += n + 1;
    }
    return false;
}

/* Lines are ID:CONTROLLERS:/GROUP, with no controllers for version 2 (cgroups(7)). */
int64_t machine_cgroup_bytes(const char *root)
{
    char path[PATH_MAX], mount[PATH_MAX], line[PATH_MAX];
    int64_t least = INT64_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *list = strchr(line, ':');
        char *group = list == NULL ? NULL : strchr(list + 1, ':');
        if (group == NULL)
            continue;
        list++;
        int64_t bound = INT64_MAX;
        if (group == list) {
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
            bound = least_bound(mount, group + 1, "memory.max");
        } else if (has_memory(list, (size_t)(group - list))) {
            snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/memory", root);
            bound = least_bound(mount, group + 1, "memory.limit_in_bytes");
        }
        if (bound < least)
            least = bound;
    }
    if (file != NULL)
        fclose(file);
    return least;
}

int64_t machine_memory_bytes(void)
{
    int64_t n_pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    if (n_pages <= 0 || page_bytes <= 0)
        return -1;
    int64_t bound = machine_cgroup_bytes("");
    return n_pages * page_bytes < bound ? n_pages * page_bytes : bound;
}
