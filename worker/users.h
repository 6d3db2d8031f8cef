/* Whose each record is, at import: a text file with a name of any kind a line, one line
 * for each record in order; gzip too. A name becomes the first 8 bytes of its SHA-256,
 * so that a user keeps its id whoever else comes or goes: what a job draws for one user
 * then depends on no other. Ids are no pseudonyms: who has the file can try names. */
#ifndef PPT_WORKER_USERS_H
#define PPT_WORKER_USERS_H

#include <stdint.h>

#include "base/error.h"

struct users {
    int64_t n; /* records */
    int64_t *ids;
};

/* Caller frees by users_free, also where it was never read. Errors: those of
 * lines_open and lines_next; PPT_EDATA (two names with one id: rename one). */
int users_read(const char *path, struct users *ret_users, struct error *err);
void users_free(struct users *users);

#endif
