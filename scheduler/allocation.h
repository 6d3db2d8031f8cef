/* Jobs that run in an allocation (or shell) which their user already has: what his side
 * and the scheduler tell each other, through one row of the database (sql/008).
 *
 * Trust. The ranks run as the user. He can read the data file, so a privacy officer
 * must have allowed it for the data set, trusting those who can read the file to
 * publish nothing of it but what such jobs make. Meter, checkpoint and report lie where
 * he can write and could be forged: so such a job is charged its WHOLE reservation once
 * its plan was handed out, however it ended and whatever it says it used. What it says
 * of itself (steps, accuracy) is shown, and believed by nobody.
 *
 * Guarantees: a plan is handed out at most once, to the program that submitted the job;
 * until then nothing is charged. There is no second attempt. Who is silent for
 * ALLOCATION_SILENCE_S may be dead: the scheduler waits another minute, then settles in
 * full. Past its time limit and the site's grace a job is settled in full in any case.
 */
#ifndef PPT_SCHEDULER_ALLOCATION_H
#define PPT_SCHEDULER_ALLOCATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"
#include "jobs/report.h"
#include "scheduler/db.h"
#include "scheduler/ledger.h"

#define ALLOCATION_BEAT_S 5
#define ALLOCATION_SILENCE_S 60
/* From offering the plan to taking it back when nobody has come for it. */
#define ALLOCATION_PATIENCE_S 60

/* ---- the officer's ---- */

/* Errors: PPT_ENOTFOUND, PPT_EPERM, PPT_ERANGE. */
int allocation_allow(struct db *db, const char *dataset, bool is_allowed,
                     const char *reason, struct error *err);

/* ---- the user's side ---- */

/* Would such a job be taken on this data set? Errors: PPT_EPOLICY, PPT_ENOTFOUND. */
int allocation_may(struct db *db, const char *dataset, struct error *err);

/* As queue_submit, for a job whose files will lie in base/ppt-ID; base is absolute.
 * `place` is for people: where the allocation is. The plan will be for processes of
 * user `uid`. Errors: queue_submit's, PPT_EPOLICY.
 */
int allocation_submit(struct db *db, const char *name, const char *account,
                      const char *dataset, const char *spec_text, const char *token,
                      const char *base, const char *place, int64_t uid,
                      int64_t *ret_job_id, struct error *err);

/* The same for all jobs of a sweep, as queue_submit_sweep: each has its files in a
 * base/ppt-ID of its own, and they run one after another whatever max_running says;
 * `after` is not heeded. A job's token, for what follows, is TOKEN:NUMBER. */
struct queue_sweep;
int allocation_submit_sweep(struct db *db, const struct queue_sweep *sweep,
                            const char *base, const char *place, int64_t uid,
                            int64_t *ret_sweep_id, struct error *err);

#define ALLOCATION_PLACE_SIZE 256

/* Where a job's allocation is, for people; "" where it has none. Errors: PPT_EDB. */
int allocation_place(struct db *db, int64_t job_id,
                     char ret_place[ALLOCATION_PLACE_SIZE], struct error *err);

struct allocation_plan {
    int64_t attempt;
    char *plan, *manifest; /* texts; allocation_plan_free */
    unsigned char signature[CRYPTO_SIGNATURE_SIZE];
};

/* Takes the plan of a running job; the same token gets it again. *ret_is_there false:
 * not offered yet. From success on the job is charged in full. Errors: PPT_ESTATE
 * (taken back, or over), PPT_ENOTFOUND, PPT_ETRUST, PPT_ENOMEM. */
int allocation_take(struct db *db, int64_t job_id, const char *token,
                    struct allocation_plan *ret_plan, bool *ret_is_there,
                    struct error *err);
void allocation_plan_free(struct allocation_plan *plan);

enum allocation_wish { ALLOCATION_NONE, ALLOCATION_STOP, ALLOCATION_KILL };

/* A sign of life; *ret_wish is what the scheduler wants. Errors: PPT_ENOTFOUND. */
int allocation_beat(struct db *db, int64_t job_id, const char *token,
                    enum allocation_wish *ret_wish, struct error *err);

/* How it ended; may be repeated, the first counts. Errors: PPT_ESTATE (it had not
 * begun), PPT_ERANGE (not a report), PPT_ENOTFOUND. */
int allocation_end(struct db *db, int64_t job_id, const char *token,
                   const struct report *report, struct error *err);

/* ---- the scheduler's side ---- */

/* Errors: PPT_EPOLICY (no longer allowed on its data set), PPT_ESTATE. */
int allocation_offer(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                     int64_t attempt, const char *plan,
                     const unsigned char signature[CRYPTO_SIGNATURE_SIZE],
                     struct error *err);

enum allocation_life {
    ALLOCATION_QUEUED, /* offered, not taken yet */
    ALLOCATION_ALIVE,
    ALLOCATION_GONE, /* ended, as the user's side says or the scheduler has decided */
    ALLOCATION_NEVER /* never offered, or taken back: nobody has or will have it */
};

struct allocation_look {
    enum allocation_life life;
    bool is_late;     /* NEVER, because nobody came for it */
    int64_t ran_s;    /* since it was taken */
    int64_t silent_s; /* since the last sign of life */
    bool has_report;  /* the user's side has told its end; not to be believed */
    struct report report;
};

/* Takes the plan back if nobody has come for it in time. Errors: PPT_ENOTFOUND. */
int allocation_look(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                    int64_t attempt, struct allocation_look *ret_look,
                    struct error *err);

/* Takes the plan back if it was not taken yet, else leaves the wish for the user's
 * side. After ALLOCATION_KILL the job is GONE, whatever that side does. */
int allocation_stop(struct db *db, const struct ledger_lease *lease, int64_t job_id,
                    enum allocation_wish wish, struct error *err);

#endif
