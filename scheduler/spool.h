/* The scheduler's directory: one directory a job, and what must be remembered about a
 * job between two steps of the scheduler and cannot wait for the database.
 *
 * Guarantees: one scheduler at a time uses a spool (a lock on its file `schedd.lock`);
 * directories are of mode 0700; a job's state is the last whole line of its file, which
 * is on disk when spool_save returns. A save that was interrupted has not happened.
 * What spool_job and spool_note write is not waited for by the disk: a power cut may
 * undo it, a killed scheduler cannot. It says so itself, by naming the boot of the
 * machine that it was written in, and is in doubt when it is read in any other.
 */
#ifndef PPT_SCHEDULER_SPOOL_H
#define PPT_SCHEDULER_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define SPOOL_PATH_SIZE 1024

struct spool {
    char root[SPOOL_PATH_SIZE]; /* absolute, without links */
    int lock;
};

/* Creates the directory where it is missing (not its parents), locks it, and on ext4
 * gives it chattr's attribute T, so that jobs' directories are spread over the disk.
 * Errors: PPT_EIO, PPT_ETRUST (another's, or writable by others), PPT_ESTATE (another
 * ppt-schedd uses it). */
int spool_open(const char *root, struct spool *ret_spool, struct error *err);
void spool_close(struct spool *spool);

/* Is it a directory of this user's, where nobody else may write? Errors: PPT_EIO,
 * PPT_ETRUST. */
int spool_check_owner(const char *path, struct error *err);

/* directory/name. Errors: PPT_EIO (too long). */
int spool_path(const char *directory, const char *name, char ret_path[SPOOL_PATH_SIZE],
               struct error *err);

/* The lock that a job's processes hold while they live: an open file description to
 * hand to them. Caller closes. Errors: PPT_ESTATE (held already), PPT_EIO. */
int spool_lock(const char *directory, int *ret_fd, struct error *err);

/* Does anybody hold it? Without a directory nobody does. Errors: PPT_EIO (cannot tell).
 */
int spool_is_locked(const char *directory, bool *ret_is_locked, struct error *err);

enum spool_stop { SPOOL_STOP_NONE, SPOOL_STOP_CANCEL, SPOOL_STOP_TIME, SPOOL_STOP_N };

#define SPOOL_BOOT_SIZE 40

struct spool_state {
    int64_t started_attempt; /* the last whose processes may have run; 0: none */
    int64_t started_at_s;    /* Unix time of that */
    enum spool_stop stop;    /* the scheduler has asked that attempt to stop */
    int64_t stop_at_s;       /* when it did */
    int64_t n_losses;  /* attempts that ended in a way that may tell of the data */
    int64_t last_loss; /* the last such attempt */
    int64_t missing_since_s; /* fewer ranks are there than should be; 0: all there */
    int64_t n_early;         /* attempts in a row that Slurm ended before they began */
    int64_t last_early;      /* the last such attempt */
    int64_t held_since_s;    /* gone, but somebody holds the meter; 0: nobody seen */
    int64_t ahead_attempt;   /* the last that was ordered to follow others */
    char boot[SPOOL_BOOT_SIZE]; /* it may not be on disk, and was written in that boot
                                   of the machine (random(4), boot_id); "": it is */
    bool is_doubtful; /* by spool_load: that was another boot. Later lines may be lost:
                         any attempt that the database knows may have been started.
                         Stays so when it is saved, until boot is cleared */
};

/* root/ID of the job, and its state: both made where they are missing, and then not on
 * disk yet. Errors: PPT_EIO, PPT_ETRUST (another's; an unreadable state). */
int spool_job(const struct spool *spool, int64_t job_id,
              char ret_directory[SPOOL_PATH_SIZE], struct spool_state *ret_state,
              struct error *err);

/* Errors: PPT_ENOTFOUND (no directory or no state: somebody removed it, or a power cut
 * took it), PPT_ETRUST (unreadable), PPT_EIO. */
int spool_load(const char *directory, struct spool_state *ret_state, struct error *err);

/* Errors: PPT_EIO. */
int spool_save(const char *directory, const struct spool_state *state,
               struct error *err);

/* The same at once: state->boot is set and the disk is not waited for. For jobs whose
 * ranks a power cut ends too. Errors: PPT_EIO. */
int spool_note(const char *directory, struct spool_state *state, struct error *err);

/* Brings to disk what was noted, after the names of all that lies in the directory, and
 * clears state->boot. Errors: PPT_EIO. */
int spool_keep(const char *directory, struct spool_state *state, struct error *err);

#endif
