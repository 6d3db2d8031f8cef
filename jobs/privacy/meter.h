/* The meter: counts what a running job has used, durably, before each release.
 *
 * One append-only file in the job's directory, shared by nobody else: fixed-size
 * records (attempt, release index, total used so far, CRC-32C), each synced to disk
 * before meter_charge returns; the first of an attempt says that it has begun, and is
 * there before the attempt may look at a record of the data (on disk too, unless who
 * started it takes it for begun after a power cut anyway). A torn last record (cut
 * short, or its end never written) is ignored: its charge never returned. Any other
 * damage makes the whole reservation count as used.
 * Guarantees: what meter_read returns is never less than what any release already made
 * has used, after a crash at any point. The meter is what binds a run to its job's
 * reservation: there is one from before the first attempt until its directory goes,
 * none is ever made anew, one process at a time holds it, and once it is ended for a
 * settlement nothing can be charged to it, so that a plan which lies there still, or is
 * put back there, releases nothing. Who may write in the directory can replace the file
 * by an older copy of itself: against the owner of the directory there is no guarantee.
 */
#ifndef PPT_JOBS_PRIVACY_METER_H
#define PPT_JOBS_PRIVACY_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/privacy/price.h"

struct meter;

/* Makes an empty one where there is none; before the job's first attempt only. Its name
 * is durable when the caller has synced the directory. Errors: PPT_EIO. */
int meter_create(const char *path, struct error *err);

/* Opens the meter file for one attempt of a job, and writes down that it has begun;
 * earlier attempts' charges stay. The price's counts are the bounds. Caller closes.
 * Errors: PPT_EIO, PPT_ETRUST (damaged), PPT_ESTATE (there is none, it is ended,
 * another process has it open, or a later attempt has begun), PPT_ERANGE (attempt < 1).
 */
int meter_open(const char *path, int attempt, const struct price *price,
               struct meter **ret_meter, struct error *err);

/* The same, but that it has begun goes to disk with its first charge only, or with
 * meter_keep_beginning: a power cut before may undo it, a killed process cannot. */
int meter_open_soon(const char *path, int attempt, const struct price *price,
                    struct meter **ret_meter, struct error *err);
void meter_close(struct meter *meter);

/* Makes `n` more uses of releases[release] durable. Returns only when it is on disk.
 * Errors: PPT_EMETER (would exceed the reserved count; nothing is charged), PPT_ERANGE
 * (n < 1 or no such release; nothing is charged), PPT_EIO (charge unknown: the job must
 * stop, and every later charge fails). */
int meter_charge(struct meter *meter, int release, int64_t n, struct error *err);

/* Uses left of releases[release]. */
int64_t meter_left(const struct meter *meter, int release);

/* For settlement: nobody can charge it any more, durably, and this is the total used of
 * each release. May be repeated. *ret_damaged (there is none, too): every count is set
 * to the reserved one. Errors: PPT_ESTATE (a process has it open), PPT_EIO. */
int meter_end(const char *path, const struct price *price,
              int64_t ret_used[PRICE_MAX_RELEASES], bool *ret_damaged,
              struct error *err);

/* The last attempt that has opened it; 0: none has, so nothing of the data was read.
 * Errors: PPT_ETRUST (it is damaged or gone), PPT_EIO. */
int meter_last_attempt(const char *path, const struct price *price,
                       int64_t *ret_attempt, struct error *err);

/* Has that attempt opened it, or a later one? Then this is on disk when it returns.
 * Errors: PPT_ETRUST, PPT_EIO (*ret_has_begun is false). */
int meter_keep_beginning(const char *path, const struct price *price, int64_t attempt,
                         bool *ret_has_begun, struct error *err);

/* To look at: total used of each release. A missing file means nothing was used.
 * *ret_damaged: every count is set to the reserved one. Errors: PPT_EIO. */
int meter_read(const char *path, const struct price *price,
               int64_t ret_used[PRICE_MAX_RELEASES], bool *ret_damaged,
               struct error *err);

#endif
