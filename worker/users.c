#include "worker/users.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "worker/lines.h"

/* A name's digest in two halves: the id, and what tells two names with one id apart. */
struct name {
    int64_t id, rest;
};

static int by_id(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    return x->id != y->id ? (x->id > y->id) - (x->id < y->id)
                          : (x->rest > y->rest) - (x->rest < y->rest);
}

static int read_names(struct lines *lines, struct name **names, int64_t *ret_n,
                      struct error *err)
{
    int64_t n = 0, room = 0;
    for (;;) {
        unsigned char digest[CRYPTO_SHA256_SIZE];
        char *text;
        int rc = lines_next(lines, &text, err);
        if (rc != 0)
            return rc;
        if (text == NULL)
            break;
        if (n == room) {
            room = room == 0 ? 4096 : 2 * room;
            struct name *more = realloc(*names, (size_t)room * sizeof *more);
            if (more == NULL)
                return error_set(err, PPT_ENOMEM, "no memory to read %s",
                                 lines_path(lines));
            *names = more;
        }
        crypto_sha256(text, strlen(text), digest);
        memcpy(&(*names)[n].id, digest, sizeof(int64_t));
        memcpy(&(*names)[n].rest, digest + sizeof(int64_t), sizeof(int64_t));
        n++;
    }
    *ret_n = n;
    return n > 0 ? 0
                 : error_set(err, PPT_EDATA, "%s: empty, expected a name a line",
                             lines_path(lines));
}

static int check_names(const char *path, struct name *names, int64_t n,
                       struct error *err)
{
    qsort(names, (size_t)n, sizeof *names, by_id);
    for (int64_t i = 1; i < n; i++)
        if (names[i].id == names[i - 1].id && names[i].rest != names[i - 1].rest) {
            error_set(err, PPT_EDATA, "%s: two users' names have the same digest",
                      path);
            return error_hint(err, "put the same letter before every name");
        }
    return 0;
}

int users_read(const char *path, struct users *ret_users, struct error *err)
{
    struct lines *lines = NULL;
    struct name *names = NULL;
    struct users users = {0};
    int rc = lines_open(path, &lines, err);
    if (rc != 0)
        return rc;
    rc = read_names(lines, &names, &users.n, err);
    if (rc == 0) {
        users.ids = malloc((size_t)users.n * sizeof *users.ids);
        rc = users.ids == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory to read %s", path)
                 : 0;
    }
    for (int64_t i = 0; rc == 0 && i < users.n; i++)
        users.ids[i] = names[i].id;
    if (rc == 0)
        rc = check_names(path, names, users.n, err);
    lines_close(lines);
    free(names);
    if (rc != 0) {
        users_free(&users);
        return rc;
    }
    *ret_users = users;
    return 0;
}

void users_free(struct users *users)
{
    free(users->ids);
    *users = (struct users){0};
}
