/* Progress on stderr: one line a second at most; on a terminal the line is rewritten.
 * A federation's rounds are rows of a table instead. Shows nothing but what struct
 * progress holds, which is public or paid for. */
#ifndef PPT_WORKER_PROGRESS_H
#define PPT_WORKER_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "jobs/env.h"

/* Set file and is_terminal; the rest starts as 0. */
struct progress_line {
    FILE *file;
    bool is_terminal;
    bool has_started, is_open, has_head;
    double started_s, shown_s; /* monotonic clock */
    int64_t first_step;
};

/* For struct env: `state` is a struct progress_line. */
void progress_show(void *state, const struct progress *progress);

/* Ends a line that is being rewritten. */
void progress_end(struct progress_line *line);

#endif
