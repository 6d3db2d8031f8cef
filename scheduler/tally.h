/* Jobs of one account and data set counted one after the other, as the ledger would
 * take them at this moment: how many of a sweep fit, and what they cost together.
 *
 * Asks the database with sums (ledger_preview), so its own rule decides. Writes
 * nothing.
 */
#ifndef PPT_SCHEDULER_TALLY_H
#define PPT_SCHEDULER_TALLY_H

#include "base/error.h"
#include "scheduler/ledger.h"

/* Start as {.account = ..., .dataset = ...}. */
struct tally {
    const char *account, *dataset;
    int n_jobs, n_fit;         /* those added, those that tally_fit found room for */
    struct ledger_request all; /* of all private ones: their summed cost, largest delta;
                                  not private: of none of them, and one that is not */
    struct ledger_request fit; /* of those that have found room */
};

/* One more job. Errors: PPT_ERANGE (of another unit than those before). */
int tally_add(struct tally *tally, const struct ledger_request *request,
              struct error *err);

/* Is there room for it beside those before it that had room? It then counts for the
 * next, and the answer is LEDGER_ADMITTED. Errors: ledger_preview's, PPT_ERANGE. */
int tally_fit(struct tally *tally, struct db *db, const struct ledger_request *request,
              struct ledger_verdict *ret_verdict, struct error *err);

/* What the ledger says to all of them at once, in one reservation: an order that has
 * room for the sum has room for each in turn. Requires n_jobs > 0. Errors:
 * ledger_preview's.
 */
int tally_judge(const struct tally *tally, struct db *db,
                struct ledger_verdict *ret_verdict, struct error *err);

/* One sentence why all of them at once are not admitted: which limit is in the way,
 * what is left of it, what they need and how many have room. */
void tally_explain(const struct tally *tally, const struct ledger_verdict *verdict,
                   char ret_reason[LEDGER_TEXT_SIZE]);

#endif
