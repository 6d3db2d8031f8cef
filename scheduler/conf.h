/* The site's configuration, configs/site.yaml: every knob, checked, with defaults.
 *
 * All faults of the file are reported in one go. It holds no secret: keys are files of
 * their own, and a password in the connection string is refused (libpq has ~/.pgpass).
 */
#ifndef PPT_SCHEDULER_CONF_H
#define PPT_SCHEDULER_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/spec/spec.h"
#include "scheduler/places.h"

#define CONF_PATH_SIZE 1024
#define CONF_DEFAULT_PATH "/etc/ppt/site.yaml"
#define CONF_MAX_BYTES (64u << 10)
#define CONF_MAX_ARGUMENTS 16
#define CONF_ARGUMENT_SIZE 256

enum conf_launcher { CONF_MPIRUN, CONF_SBATCH, CONF_POOL, CONF_N_LAUNCHERS };

#define CONF_MAX_EXCEPT 16
#define CONF_HOST_SIZE 64

/* Ranks that are kept alive between jobs; what it is too small for goes to mpirun. */
struct conf_pool {
    int64_t n_ranks;              /* in all its worlds; 0: twice the node's cores */
    int64_t n_spare, spare_ranks; /* worlds that wait for a first job, and their size */
    int64_t max_jobs;             /* of one world */
    int64_t idle_s;               /* a world that waits for so long ends */
    int64_t ahead_ms; /* a world is given as many orders ahead as end within that */
    int64_t max_memory_bytes, max_time_limit_s; /* of a job */
    int n_except;                               /* accounts whose jobs never go there */
    char except[CONF_MAX_EXCEPT][CONF_ARGUMENT_SIZE];
};

/* Does the account, or one above it, keep out of the pool? */
bool conf_pool_excepts(const struct conf_pool *pool, const char *account);

/* Allocations of Slurm's that are kept for one login's jobs, with launcher.within. */
struct conf_pilots {
    int64_t n_nodes, n_cores, memory_bytes; /* of one; cores and memory of each node */
    int64_t time_s;                         /* of one */
    int64_t most;                           /* at one time */
    int64_t idle_s;                         /* one without jobs for so long ends */
    char template[CONF_PATH_SIZE];          /* absolute; "": ppt's own */
};

/* The site's own programs (hooks.h). */
struct conf_hooks {
    char end[CONF_PATH_SIZE]; /* absolute: run when a job has ended; "": none */
    int64_t time_limit_s;     /* of one run */
};

/* Another machine for mpirun. */
struct conf_host {
    char name[CONF_HOST_SIZE]; /* of letters, digits, points and dashes */
    struct places_room room;
};

/* In the order of the file. Copy freely. */
struct conf {
    char path[CONF_PATH_SIZE]; /* that was read; "" if only defaults stand here */
    /* libpq connection string or URI; "": libpq's own environment variables */
    char database[CONF_PATH_SIZE];
    char spool[CONF_PATH_SIZE];           /* absolute; of the job directories */
    char secret_key[CONF_PATH_SIZE];      /* absolute; signs plans (Ed25519 seed) */
    char public_key[CONF_PATH_SIZE];      /* absolute; workers verify them by it */
    char checkpoint_keys[CONF_PATH_SIZE]; /* absolute; of the checkpoints' keys; "":
                                             each beside its checkpoint */
    bool hands_keys_over; /* the scheduler makes them there and gives each to the ranks
                             it is for; false: workers make them */

    int64_t n_cores;      /* of this node for jobs; 0: all it has */
    int64_t memory_bytes; /* the same; 0: all it has */
    int64_t n_gpus;       /* the same; 0: none */

    enum conf_launcher launcher;
    bool is_within_sbatch;       /* the pool is pilots in Slurm's allocations */
    char mpirun[CONF_PATH_SIZE]; /* a name to be looked for in PATH, or absolute */
    char
        worker[CONF_PATH_SIZE]; /* absolute, or a name beside the scheduler's program */
    char template[CONF_PATH_SIZE]; /* absolute: sbatch's script; "": ppt's own */
    char scratch[CONF_PATH_SIZE]; /* absolute: where the prolog of Slurm's nodes makes a
                                     job's directory; "": nowhere */
    int n_hosts;                  /* for mpirun's ranks; 0: this machine */
    struct conf_host hosts[PLACES_MAX];
    char agent[CONF_ARGUMENT_SIZE]; /* runs a command on a host, as ssh */
    int n_arguments; /* more for mpirun (before the worker's name) or for sbatch */
    char arguments[CONF_MAX_ARGUMENTS][CONF_ARGUMENT_SIZE];

    struct conf_pool pool;
    struct conf_pilots pilots;
    struct conf_hooks hooks;

    int64_t max_restarts; /* attempts after the first */
    int64_t poll_ms;      /* longest sleep between two looks at the queue */
    int64_t lease_s;    /* a scheduler that is silent for so long has lost its right */
    int64_t grace_s;    /* from asking a job to stop to killing it */
    int64_t patience_s; /* a job that waited so long is not overtaken any more */

    /* Of every place where a job runs; checked there (worker/demands.h). */
    bool needs_encrypted_disk, needs_confidential_gpu;

    struct spec_policy policy;
};

/* Are jobs handed to Slurm, so that their wishes to it make sense? */
bool conf_uses_slurm(const struct conf *conf);

/* Might these arguments of mpirun's put ranks on other machines? */
bool conf_may_name_hosts(int n_arguments, const char (*arguments)[CONF_ARGUMENT_SIZE]);

/* What holds where no site file is at hand; database is "". */
struct conf conf_default(void);

/* Parses the text of a site file; `path` is for messages and ret_conf->path. What the
 * file leaves out has its default. Errors: PPT_ESPEC with path:line:column lines in
 * err->detail; PPT_ENOMEM. */
int conf_parse(const char *text, size_t len, const char *path, struct conf *ret_conf,
               struct error *err);

/* Reads the site file: `option` (from --config; may be NULL), else $PPT_CONFIG, else
 * CONF_DEFAULT_PATH. A file that was named must be there; without the last one the
 * defaults hold. Errors: PPT_ENOTFOUND, PPT_EIO, PPT_ESPEC, PPT_ENOMEM. */
int conf_read(const char *option, struct conf *ret_conf, struct error *err);

#endif
