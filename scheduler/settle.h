/* What becomes of a job whose processes have gone, and what it has spent.
 *
 * How much: a job that ran to its end, was interrupted, cancelled by a person or ran
 * out of time has spent what its meter says. A job that died without a word, or failed
 * in a way that could depend on the records it read (a crash, memory used up, a
 * damaged record), has spent its WHOLE reservation, because that it died there is
 * itself a release that no mechanism paid for; this holds for every attempt, so a later
 * attempt that succeeds does not undo it. So has a job whose meter, plan or state is
 * damaged or gone. A job of which no process was ever started has spent nothing; an
 * attempt whose processes died before it opened its meter, which it does before it
 * reads a record, adds nothing to what the earlier ones have spent.
 * A job in its user's own allocation has spent everything once its plan was handed out
 * (scheduler/allocation.h), and there is no other attempt then.
 *
 * What next: interrupted -> another attempt, from the checkpoint. Died -> another, as
 * long as the number of deaths is at most max_restarts. Ended before it began (by
 * Slurm, for a node's prolog or its log; by mpirun, for a host that it cannot reach)
 * -> another, until SETTLE_MAX_EARLY in a row. Else it ends.
 */
#ifndef PPT_SCHEDULER_SETTLE_H
#define PPT_SCHEDULER_SETTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/report.h"
#include "scheduler/ledger.h"
#include "scheduler/queue.h"
#include "scheduler/spool.h"

#define SETTLE_MAX_EARLY 3

/* What is known of an attempt whose processes have gone. */
struct settle_facts {
    int64_t attempt; /* the database's */
    bool has_state;  /* the spool's state could be read */
    struct spool_state state;
    bool has_report; /* of this attempt */
    struct report report;
    bool is_cancel_requested;
    int64_t max_restarts;
    const char *cause; /* why its processes died, for people (cause.h); NULL: unknown */
    const char *early; /* why it ended before it began; NULL: it did not */
    bool has_only_died; /* early: its processes died before they had opened the meter */
    bool is_allocation; /* its user's; early: why its plan was taken back */
};

enum settle_charge {
    SETTLE_NOTHING,
    SETTLE_METER,
    SETTLE_UNOPENED, /* the meter, where the last attempt has not opened it: else ALL */
    SETTLE_ALL
};

struct settle_verdict {
    bool is_loss; /* this attempt counts as one; write it down before anything else */
    bool runs_again;
    enum queue_state state; /* where it ends, if it does not run again */
    int error_code;         /* enum ppt_error, 0 if done */
    char reason[LEDGER_TEXT_SIZE];
    enum settle_charge charge;
};

/* Pure: decides by the rules above. */
void settle_decide(const struct settle_facts *facts,
                   struct settle_verdict *ret_verdict);

/* Could a worker's failure with this code depend on the records? True for every code
 * but those that it can only end with before it has opened the data or by the count of
 * its own steps. */
bool settle_may_tell(int error_code);

/* Ends the meter (jobs/privacy/meter.h), so that what lies in the directory can release
 * nothing more, and only then says what the verdict's charge comes to for a job in
 * `directory` that reserved `reserved`, shown as `price`: by the meter's counts and the
 * signed plan's price, never more than was reserved. *ret_epsilon is the same as an
 * epsilon, for showing. SETTLE_NOTHING is believed unless the meter of a signed plan
 * knows better. A plan or meter that cannot be trusted costs everything; *ret_note then
 * says so ("" otherwise). A caller that dies before it has settled asks again and gets
 * the same answer. Errors: PPT_ESTATE (a process holds the meter; not for SETTLE_ALL),
 * PPT_EIO (it cannot be read or ended now), PPT_ENOMEM. */
int settle_cost(enum settle_charge charge, const char *directory,
                const unsigned char public_key[32], const struct cost *reserved,
                double price, struct cost *ret_spent, double *ret_epsilon,
                char ret_note[LEDGER_TEXT_SIZE], struct error *err);

/* Leaves a report.json of an attempt that was lost, once it is settled: its own, or the
 * one that it could not write any more, with what the meter says; and the cause, if
 * that is known (facts->cause). For people: what cannot be written is left out. */
void settle_tell(const struct settle_facts *facts, int64_t job_id,
                 const char *directory, const unsigned char public_key[32]);

/* What the meter says, for a report; left as it is where no plan or no meter can be
 * trusted. */
void settle_find_used(const char *directory, const unsigned char public_key[32],
                      int64_t ret_used[PRICE_MAX_RELEASES]);

/* Has this attempt of a private job never opened its meter, by the plan that lies
 * there? Then nothing of its data was read. False where anything is in doubt. */
bool settle_is_unopened(const char *directory, const unsigned char public_key[32],
                        int64_t attempt);

/* Has this attempt opened its meter, and is that on disk now? True too where it is not
 * private; false where anything is in doubt. */
bool settle_keep_beginning(const char *directory, const unsigned char public_key[32],
                           int64_t attempt);

/* report.json of this job and attempt, if there is one that can be read. */
bool settle_find_report(const char *directory, int64_t job_id, int64_t attempt,
                        struct report *ret_report);

#endif
