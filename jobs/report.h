/* What the worker hands back: one small JSON file, report.json, written atomically by
 * rank 0 when the run ends in any way that it can still speak of. No file means that
 * the run died, and settlement charges everything; whoever started the ranks then
 * writes one (the scheduler after it has settled, ppt-submit --here at their end), and
 * adds the cause to one that only says that a rank was lost.
 */
#ifndef PPT_JOBS_REPORT_H
#define PPT_JOBS_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/price.h"

#define REPORT_CAUSE_SIZE 384

/* Of more hosts and ranks the report says how many there are, and no more. */
#define REPORT_MAX_HOSTS 64
#define REPORT_MAX_RANKS 128
#define REPORT_NAME_SIZE 64
#define REPORT_CPUS_SIZE 48

struct report_host {
    char name[REPORT_NAME_SIZE];
    int64_t n_ranks; /* listed or not */
};

struct report_rank {
    int64_t rank;
    int64_t host;                /* index in hosts */
    int64_t gpu;                 /* its number among those the rank sees; -1: none */
    char cpus[REPORT_CPUS_SIZE]; /* "0-3,8", cut with "..."; "": not known */
};

/* Where the ranks ran: all of them, or the first by rank. */
struct report_places {
    int64_t n_hosts; /* of the job; 0: not known */
    int n_hosts_listed, n_ranks_listed;
    struct report_host hosts[REPORT_MAX_HOSTS];
    struct report_rank ranks[REPORT_MAX_RANKS];
};

enum report_outcome { REPORT_DONE, REPORT_INTERRUPTED, REPORT_FAILED, REPORT_N };

struct report {
    int64_t job_id;
    int64_t attempt;
    enum report_outcome outcome;
    int error_code;                   /* enum ppt_error, 0 if done */
    char error_text[ERROR_TEXT_SIZE]; /* "" if done */
    char cause[REPORT_CAUSE_SIZE];    /* which rank died, where and by what, in its
                                         launcher's words; "": none did, or not known */
    int64_t used[PRICE_MAX_RELEASES]; /* what the meter says at the end */
    int64_t n_steps;                  /* steps behind the final model */
    bool has_test_accuracy;           /* public or paid for */
    double test_accuracy;             /* in [0, 1]; paid: noisy, clamped */
    double wall_s;                    /* training, without start-up */
    double expected_examples_per_s;   /* from the public expected batch size */
    bool is_sealed;                   /* messages between ranks were encrypted */
    int64_t n_damaged_checkpoints;    /* newer than the one that this attempt began
                                         from: their steps were paid for twice */
    char attack[REPORT_NAME_SIZE];    /* simulated false clients: "alie by 5 clients" */
    char model[1024];                 /* path, "" if none */
    struct report_places places;
};

/* "done", "interrupted", "failed". */
const char *report_outcome_name(enum report_outcome outcome);

/* Errors: PPT_EIO. */
int report_write(const char *path, const struct report *report, struct error *err);

/* The same without waiting for the disk: a power cut may leave none, or a torn one,
 * which report_read refuses. For a job that can only start over then. */
int report_write_soon(const char *path, const struct report *report, struct error *err);

/* Errors: PPT_ENOTFOUND (no file), PPT_EIO, PPT_ESPEC (not a report). */
int report_read(const char *path, struct report *ret_report, struct error *err);

#endif
