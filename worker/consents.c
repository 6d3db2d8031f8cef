#include "worker/consents.h"

#include <stdio.h>
#include <string.h>

#include "base/pathsafe.h"

static int list_path(const char *data_file, char ret_path[PLAN_PATH_SIZE],
                     struct error *err)
{
    size_t len = strlen(data_file);
    if (len > 3 && strcmp(data_file + len - 3, ".h5") == 0)
        len -= 3;
    int n = snprintf(ret_path, PLAN_PATH_SIZE, "%.*s.consents", (int)len, data_file);
    return n > 0 && n < PLAN_PATH_SIZE
               ? 0
               : error_set(err, PPT_EIO, "the path of %s is too long for its consents",
                           data_file);
}

static bool is_same(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool has_changed(const struct consents *consents, const struct stat *now)
{
    const struct stat *last = &consents->last;
    return !consents->is_known || now->st_ino != last->st_ino ||
           now->st_size != last->st_size || !is_same(&now->st_mtim, &last->st_mtim) ||
           !is_same(&now->st_ctim, &last->st_ctim);
}

int consents_read(struct consents *consents, const char *data_file, char **ret_text,
                  size_t *ret_len, struct error *err)
{
    char path[PLAN_PATH_SIZE];
    struct stat now;
    int rc = list_path(data_file, path, err);
    if (rc != 0)
        return rc;
    if (stat(path, &now) != 0) {
        error_set(
            err, PPT_ENOTFOUND,
            "%s: no list of consents, which the job's federation.consent asks for",
            path);
        return error_hint(err, "write \"consents NAME\" there, a line for each client");
    }
    *ret_text = NULL;
    *ret_len = 0;
    if (!has_changed(consents, &now))
        return 0;
    rc = pathsafe_read_file(path, CONSENTS_MAX_BYTES, ret_text, ret_len, err);
    if (rc != 0)
        return rc;
    /* what changed between the two calls is seen at the next one */
    consents->last = now;
    consents->is_known = true;
    return 0;
}
