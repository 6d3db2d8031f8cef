/* Devices from a file: when each client is there, and how fast it is then. Private to
 * this room, but for tests.
 *
 *   client,examples_per_s,bytes_per_s,from_s,to_s
 *   17,850,250000,0,28800
 *   17,850,40000,64800,86400
 *
 * The first line is this one; the others are intervals of the clock's period (from_s
 * before to_s, both from 0 to the period), in any order, several for a client where
 * they do not overlap. A client is its number from 0, or where clients are the data
 * set's users, the user's id; one without a line is never there. Empty lines and those
 * that begin with # are skipped. Or the file is JSON lines, without a first line of
 * names, each an interval with all five of them:
 *
 *   {"client": 17, "examples_per_s": 850, "bytes_per_s": 250000, "from_s": 0, "to_s":
 * 28800}
 */
#ifndef PPT_JOBS_FL_TRACE_H
#define PPT_JOBS_FL_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "jobs/fl/partition.h"

struct trace_interval {
    int64_t client; /* its number */
    double examples_per_s, bytes_per_s;
    double from_s, to_s;
    int64_t line; /* of the file, from 1 */
};

struct trace {
    struct trace_interval
        *intervals; /* [n] by client, then by from_s; NULL: no trace */
    int64_t n;
};

/* Of text[len], a zero behind it; `name` is the file's, for errors. The text is
 * changed. Close with trace_close. Errors: PPT_ESPEC with file and line (another first
 * line, no object of these keys, a field that is no number or out of range, no such
 * client, intervals that overlap, no interval at all), PPT_ENOMEM. */
int trace_parse(char *text, size_t len, const char *name,
                const struct partition *partition, double period_s,
                struct trace *ret_trace, struct error *err);
void trace_close(struct trace *trace);

/* The client's interval at that second of the period, NULL: it is not there. */
const struct trace_interval *trace_find(const struct trace *trace, int64_t client,
                                        double second);

/* How many seconds after that one of the period the next interval begins. */
double trace_wait_s(const struct trace *trace, double second, double period_s);

#endif
