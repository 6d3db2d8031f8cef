/* Why a job's processes died, in its launcher's words: rank 0 may be the dead one, so
 * only mpirun and srun can tell, and they do so in the job's log.
 *
 * For people to read; nothing is decided by it.
 */
#ifndef PPT_SCHEDULER_CAUSE_H
#define PPT_SCHEDULER_CAUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jobs/report.h"

#define CAUSE_SIZE REPORT_CAUSE_SIZE

/* Leaves a line in the job's log, if there is one, from which on it speaks of this
 * attempt. The first one needs none. */
void cause_mark(const char *directory, int64_t attempt);

/* A launcher's last words fit in there. */
#define CAUSE_TAIL_BYTES (4u << 10)

/* The last bytes of a file of ours, NUL-terminated; their number, 0 if it cannot be
 * read. */
size_t cause_read_tail(const char *path, char *ret_text, size_t size);

/* Leaves text in the job's log, if there is one. */
void cause_append(const char *directory, const char *text);

/* "rank 1 on node n2: Killed", "rank 0: exit status 13: ...", from what the log says of
 * this attempt; false if it says nothing of the kind or cannot be read. */
bool cause_find(const char *directory, int64_t attempt, char ret_cause[CAUSE_SIZE]);

/* The same from the text of a log. Pure. */
bool cause_in(const char *text, int64_t attempt, char ret_cause[CAUSE_SIZE]);

#endif
