/* What the commands share: which database, whose site, how to come back to it.
 *
 * The database is --database, else the site's configuration, else libpq's environment.
 */
#ifndef PPT_SCHEDULER_CLIENT_H
#define PPT_SCHEDULER_CLIENT_H

#include "base/error.h"
#include "base/opt.h"
#include "jobs/spec/spec.h"
#include "scheduler/db.h"
#include "scheduler/queue.h"

/* Zero-initialise; the options fill the first two. */
struct client {
    const char *database; /* --database, or NULL */
    const char *config;   /* --config, or NULL */
    const char *program;  /* for the database's list of connections */
    char conninfo[1024];  /* what was used */
    struct db *db;        /* NULL until client_connect */
};

/* The two options, to stand last in a table of options. */
#define CLIENT_OPTIONS(client)                                                         \
    {"database", 0,                                                                    \
     OPT_STRING, &(client).database,                                                   \
     "CONNINFO", "default: the site's, or PGHOST and so on",                           \
     NULL},                                                                            \
    {                                                                                  \
        "config", 0, OPT_STRING, &(client).config, "FILE", "the site's configuration", \
            NULL                                                                       \
    }

/* Reads the configuration for the database's name and connects.
 * Errors: PPT_EDB, PPT_ESPEC and PPT_ENOTFOUND (a configuration named by --config). */
int client_connect(struct client *client, const char *program, struct error *err);

/* After a lost connection: tries for at most wait_s seconds. Errors: PPT_EDB. */
int client_reconnect(struct client *client, int wait_s, struct error *err);
void client_close(struct client *client);

/* The site's bounds on specs, for a first check on the user's side.
 * Errors: as client_connect, but no PPT_EDB. */
int client_policy(const struct client *client, struct spec_policy *ret_policy,
                  struct error *err);

/* For commands of two words: moves argv on to `word`, unless an option stands in its
 * place (--help). Errors: PPT_EUSAGE. */
int client_expect(int *argc, char ***argv, const char *word,
                  const struct opt_program *program, struct error *err);

/* Tells on stderr the moves made since event *last, and moves it on. Errors: PPT_EDB.
 */
int client_tell_moves(struct client *client, int64_t job_id, int64_t *last,
                      struct error *err);

/* Follows a job to its end, telling each move on stderr where tell is true. 0 when it
 * is done. Comes back after a lost connection.
 * Errors: PPT_EJOB (failed, refused, cancelled: the text says which and why),
 * PPT_ENOTFOUND, PPT_EDB. */
int client_wait(struct client *client, int64_t job_id, bool tell, struct error *err);

/* The same from event *last on, where client_tell_moves has told those before it. */
int client_wait_on(struct client *client, int64_t job_id, int64_t *last, bool tell,
                   struct error *err);

/* The same for all jobs of a sweep; those that were not done are told on stderr.
 * Errors: also PPT_EJOB with their number. */
int client_wait_sweep(struct client *client, int64_t sweep_id, bool tell,
                      struct error *err);

/* An operand or a part of one: "12" is a job, "s12" a sweep.
 * Errors: PPT_EUSAGE. */
int client_id(const char *text, int64_t *ret_id, bool *ret_is_sweep, struct error *err);

/* The jobs of a sweep. Caller calls queue_jobs_free. Errors: PPT_ENOTFOUND (none that
 * this login sees). */
int client_sweep(struct client *client, int64_t sweep_id, struct queue_jobs *ret_jobs,
                 struct error *err);

/* The path of another of ppt's programs: a name is looked for beside this one, then
 * where a build tree has it (../room). Errors: PPT_ELAUNCH, PPT_EIO. */
int client_program(const char *name, const char *room, char *ret_path, size_t size,
                   struct error *err);

#endif
