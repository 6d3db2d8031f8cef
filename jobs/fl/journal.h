/* The rounds of a federation as lines of JSON: what each did, for whoever plots it.
 * Private to this room.
 *
 * {"attempt": 1, "round": 17, "clients": 10, "bytes": 628000, "survivors": 10}
 * {"attempt": 1, "round": 17, "clip_norm": 0.4, "epsilon": 0.5}
 * {"attempt": 1, "round": 18, "clients": 10, "stragglers": 3, "virtual_s": 812.5}
 * {"attempt": 1, "round": 20, "test_accuracy": 0.91}
 * {"attempt": 1, "round": 21, "consent": "between", "registered": 100, "consenting":
 * 80, "withdrawn": 3, "runs": true}
 * {"attempt": 1, "round": 21, "excluded": 2}
 * {"attempt": 1, "round": 100, "personal": "ditto", "clients": 950, "held_out": 11873,
 * "common": {"mean": 0.9, "p10": 0.8, "median": 0.9, "p90": 1}, "own": {...}}
 * `clients`, `survivors` (of secure aggregation) and `refused` (clients that sent what
 * is no update, where a robust rule goes on without them), `hidden_among` (the fewest
 * clients that one sum is of, where the rule sees sums of groups) and `attackers` (of a
 * simulated attack), `bytes` (round.h) and `client_bytes` (the longest compressed
 * message) stand in plain jobs only: in private ones they are secrets. `clip_norm`,
 * where it follows a quantile, is that of the round: made of what rounds before have
 * released. `epsilon` stands in private jobs, in the first and the last round and
 * between them ten times a second at most. There are no times but those of the virtual
 * clock (device.h). An attempt that goes on from a checkpoint tells rounds again that
 * were lost with the one before.
 */
#ifndef PPT_JOBS_FL_JOURNAL_H
#define PPT_JOBS_FL_JOURNAL_H

#include "jobs/fl/personal.h"
#include "jobs/fl/round.h"

/* Rank 0: the round that was made last. Does nothing where io takes no notes.
 * Errors: PPT_EIO, PPT_ENOMEM. */
int journal_round(struct round *round, struct error *err);

/* Rank 0: what a look at the list of consents in the round that is being made came to;
 * `rc` is consent_look's, which is returned if it is not 0. It is told where the list
 * has changed or the round must not go on; that a round is in the journal says that its
 * other looks allowed it. Numbers are the list's, which is public: nothing of who was
 * drawn. Errors: as above. */
int journal_consent(const struct trainer *trainer, const struct consent *consent,
                    enum consent_when when, int rc, struct error *err);

/* Rank 0 of a plain job: so many of the cohort withdrew and were taken out of the sum.
 * Errors: as above. */
int journal_excluded(const struct trainer *trainer, int64_t n, struct error *err);

/* Rank 0: a public look at the test split after that round. Errors: as above. */
int journal_look(struct round *round, double accuracy, struct error *err);

/* Rank 0 of a plain job: how well the clients' own models do. Errors: as above. */
int journal_personal(struct round *round, const struct personal_outcome *outcome,
                     struct error *err);

#endif
