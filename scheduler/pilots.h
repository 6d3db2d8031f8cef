/* Pilots: allocations of Slurm's that are kept while there are jobs for them, each for
 * one login.
 *
 * A pilot is a batch job whose script (slurm/ppt-pilot.sbatch.in) runs what stands in
 * its folder `orders`, in worlds that stay or as steps, until it finds a file `leave`.
 * Its directory is
 * spool/pilots/ID, on the file system that the nodes share; numbers are never used
 * twice. A new scheduler finds the pilots of the last one by these directories.
 */
#ifndef PPT_SCHEDULER_PILOTS_H
#define PPT_SCHEDULER_PILOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/pool.h"
#include "scheduler/conf.h"
#include "scheduler/launch_sbatch.h"
#include "scheduler/places.h"
#include "scheduler/spool.h"
#include "scheduler/squeue.h"

#define PILOTS_MAX 256

enum pilot_state {
    PILOT_COMING,  /* handed to Slurm; it waits, or nobody has seen it yet */
    PILOT_RUNNING, /* takes orders */
    PILOT_LEAVING, /* was told to leave, or is ending */
    PILOT_ENDED
};

struct pilot {
    int64_t id;
    char name[SQUEUE_NAME_SIZE]; /* in Slurm */
    char directory[SPOOL_PATH_SIZE];
    char login[POOL_LOGIN_SIZE]; /* whose jobs it runs */
    int64_t time_s;              /* for which it was asked for */
    int64_t slurm_id;            /* 0: not known yet */
    enum pilot_state state;
    bool was_told;         /* to leave */
    bool is_ours;          /* this scheduler has asked for it, not one before it */
    int64_t missing_ms;    /* since when Slurm does not know it; 0: it does */
    int64_t idle_since_ms; /* no jobs since then */
    int64_t ends_ms;       /* RUNNING: when its time is over */
    int n_jobs;
    struct places free;    /* of its nodes, now */
    struct places planned; /* COMING: what no job of this round waits for */
    struct places whole;
};

struct pilots {
    const struct conf_pilots *conf;
    const struct spool *spool;
    struct launch_sbatch *sbatch;
    const char *template;
    int64_t max_jobs; /* of one world in it; 1: none stay */
    char directory[SPOOL_PATH_SIZE];
    int64_t last_id;
    int n_failures;
    int64_t broken_until_ms;
    int n;
    struct pilot *pilots[PILOTS_MAX];
};

/* Makes spool/pilots and finds those that are there. No ownership of what it is given;
 * pair with pilots_close, which leaves the pilots alone. Errors: PPT_EIO, PPT_ETRUST,
 * PPT_ENOMEM. */
int pilots_open(struct pilots *pilots, const struct conf *conf,
                const struct spool *spool, struct launch_sbatch *sbatch,
                const char *template, struct error *err);
void pilots_close(struct pilots *pilots);

/* spool/pilots/ID and the name in Slurm, of one that may have gone long since. Errors:
 * PPT_EIO (too long). */
int pilots_name(const struct pilots *pilots, int64_t id,
                char ret_directory[SPOOL_PATH_SIZE], char ret_name[SQUEUE_NAME_SIZE],
                struct error *err);

/* NULL: there is none. */
struct pilot *pilots_find(struct pilots *pilots, int64_t id);

/* Asks Slurm for one more. What cannot be had is logged and counted; NULL then. */
struct pilot *pilots_start(struct pilots *pilots, const char *login);

/* They cannot be had now: too many have failed of late. */
bool pilots_are_broken(const struct pilots *pilots);

/* Brings all of them up to what squeue says: the listing is there (squeue_ask). */
void pilots_refresh(struct pilots *pilots);

/* Tells it to end; its jobs run to their ends first. */
void pilots_dismiss(struct pilot *pilot);

/* Clears an ENDED one without jobs away; it is not to be used any more. */
void pilots_remove(struct pilots *pilots, struct pilot *pilot);

/* The world of it that has the order for this attempt gets no other one from now on, so
 * that its ranks may be signalled. False: none has, or that job has ended. */
bool pilots_close_world(const struct pilot *pilot, int64_t job_id, int64_t attempt,
                        int64_t *ret_world);

/* Has it been told to leave, by us or by Slurm? Sooner known than by squeue. */
bool pilots_is_leaving(struct pilot *pilot);

/* How long it will run still, seconds. */
int64_t pilots_left_s(const struct pilot *pilot);

#endif
