/* The scheduler's loop: admit, start, watch, settle.
 *
 * One thread. Each round looks at the database and at the job directories, makes every
 * legal move that is due, then sleeps until a notification, a child's end, a signal or
 * the site's poll_ms. Nothing about a job is kept in memory from one round to the
 * next, so a restart at any point finds the same facts and goes on.
 *
 * Order of writing: the job's row first, then the act. A started attempt is in the
 * spool before its processes are forked. Every write carries the lease.
 */
#ifndef PPT_SCHEDULER_LOOP_H
#define PPT_SCHEDULER_LOOP_H

#include <signal.h>

#include "base/crypto.h"
#include "base/error.h"
#include "scheduler/conf.h"
#include "scheduler/launcher.h"
#include "scheduler/nodes.h"
#include "scheduler/places.h"
#include "scheduler/spool.h"

/* What ppt-schedd has prepared. No ownership. */
struct loop {
    const struct conf *conf;
    const char *database; /* conninfo */
    const struct spool *spool;
    struct launcher *launcher;
    struct nodes_room node; /* all there is to give */
    struct places places;   /* the same, node by node */
    struct hooks *hooks;    /* NULL: none */
    char host[256];
    unsigned char secret_key[CRYPTO_KEY_SIZE];
    const struct crypto_signer *signer; /* of the same key */
    unsigned char public_key[CRYPTO_KEY_SIZE];
};

/* Runs until *stop, which a signal handler sets; the signals in `wake` are let in only
 * while it sleeps. Running jobs are left alone when it returns. While the database is
 * away it is tried again, ever more slowly. Errors: PPT_ESTATE (another scheduler has
 * the lease; the schema is not this program's), PPT_ERANGE (another grid of orders),
 * PPT_EPERM; before the first connection also PPT_EDB. */
int loop_run(struct loop *loop, const volatile sig_atomic_t *stop, const sigset_t *wake,
             struct error *err);

#endif
