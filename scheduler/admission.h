/* May this job run, and who pays? Trusts nothing that the client computed: the spec is
 * parsed again under the site's policy, the price worked out again from the manifest
 * that was registered, the budget reserved by the database.
 */
#ifndef PPT_SCHEDULER_ADMISSION_H
#define PPT_SCHEDULER_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/manifest.h"
#include "jobs/privacy/price.h"
#include "jobs/spec/spec.h"
#include "scheduler/ledger.h"
#include "scheduler/nodes.h"
#include "scheduler/places.h"
#include "scheduler/queue.h"

#define ADMISSION_REASON_SIZE (2 * LEDGER_TEXT_SIZE)

/* A job's spec with what follows from it. */
struct admission_job {
    struct spec spec;
    struct manifest manifest;
    struct ledger_dataset dataset; /* admission_job_free frees its text */
    struct price price;
};

/* Looks up the spec's data set and prices it. `db` may be a submitter's.
 * Errors: PPT_ENOTFOUND (data set), PPT_EPOLICY (privacy: none on data that is not
 * public), PPT_ERANGE, PPT_ESPEC, PPT_EDB. */
int admission_price(struct db *db, const struct spec *spec,
                    struct admission_job *ret_job, struct error *err);
void admission_job_free(struct admission_job *job);

/* The site's bounds on epsilon where the spec gives the noise instead, so that it only
 * comes out of the price. Errors: PPT_EPOLICY. */
int admission_policy(const struct admission_job *job, const struct spec_policy *policy,
                     struct error *err);

/* The request that ledger_reserve or ledger_preview is asked with. */
struct ledger_request admission_request(int64_t job_id,
                                        const struct admission_job *job);

/* Cores and memory of all ranks together. */
struct nodes_room admission_need(const struct spec *spec);

/* The largest request of this job's shape that every one of its pots has room for:
 * epsilon at the job's delta in thousandths, or, where the spec gives the noise
 * multiplier, the number of steps (whole epochs of them where records are dealt). Found
 * by pricing candidates, so what it names does fit. Both 0 where nothing fits that the
 * policy allows. */
struct admission_largest {
    double epsilon;
    int64_t n_steps;
};

/* What fits now; with after_release, what fits once all reservations have come back.
 * Errors: PPT_ENOMEM. */
int admission_largest(const struct admission_job *job, const struct ledger_pots *pots,
                      const struct spec_policy *policy, bool after_release,
                      struct admission_largest *ret_largest, struct error *err);

/* One sentence for the user: which limit is in the way, what is left of it, what the
 * job needs and the largest request that would fit. */
int admission_explain(struct db *db, const struct admission_job *job,
                      const struct ledger_verdict *verdict,
                      const struct spec_policy *policy,
                      char ret_reason[ADMISSION_REASON_SIZE], struct error *err);

struct known;

struct admission {
    struct db *db;
    struct known *known; /* known.h; may be NULL */
    const struct ledger_lease *lease;
    const struct spec_policy *policy;
    struct nodes_room node;      /* all there is, free or not ... */
    const struct places *places; /* ... and node by node */
    /* Called between the jobs of a sweep, whose pricing takes its time; may be NULL. */
    int (*tend)(void *state, struct error *err);
    void *state;
};

/* Judges a submitted or waiting job and moves it: admitted, waiting or refused, told in
 * *ret_answer. A job that was cancelled meanwhile is PPT_ESTATE. Errors: PPT_ESTATE,
 * PPT_EDB, PPT_ENOMEM; a fault of the job itself is a refusal, not an error. */
int admission_judge(const struct admission *admission, const struct queue_job *job,
                    enum ledger_answer *ret_answer, struct error *err);

#define ADMISSION_MAX_GROUP 64

/* Admits the first jobs of a list together where they are of one price: those that
 * follow each other, at most ADMISSION_MAX_GROUP, on one account and data set, waiting
 * for no others and in no sweep that is judged as one. *ret_n: how many are looked at,
 * at least 1. *ret_is_admitted false: none of them was; to be judged one by one, each
 * with its reason. Errors: PPT_EDB, PPT_ESTATE, PPT_ENOMEM. */
int admission_judge_group(const struct admission *admission,
                          const struct queue_job *jobs, int n, int *ret_n,
                          bool *ret_is_admitted, struct error *err);

/* The same for all submitted and waiting jobs of a sweep whose jobs are admitted all or
 * none, each time in one transaction. LEDGER_WAIT also where its jobs have changed
 * meanwhile: then nothing was written, and it is to be judged again. */
int admission_judge_sweep(const struct admission *admission, int64_t sweep_id,
                          enum ledger_answer *ret_answer, struct error *err);

/* ---- the parts that both share ---- */

/* Everything but money: the row's spec parsed, checked and priced. Errors: those that
 * admission_is_jobs_fault names refuse the job; PPT_EDB, PPT_ENOMEM. */
int admission_prepare(const struct admission *admission, const struct queue_job *row,
                      struct admission_job *ret_job, struct error *err);

/* The job's own fault, or something that may pass? */
bool admission_is_jobs_fault(int rc);

/* An error as a reason. */
void admission_reason(const struct error *why, char ret_reason[LEDGER_TEXT_SIZE]);

/* Does it wait for other jobs? LEDGER_ADMITTED if not, or no more; else with the
 * reason. Errors: PPT_EDB. */
int admission_after(const struct admission *admission, const struct queue_job *job,
                    enum ledger_answer *ret_answer, char ret_reason[LEDGER_TEXT_SIZE],
                    struct error *err);

#endif
