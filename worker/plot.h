/* A federation's rounds as a picture: test accuracy and epsilon by round, from its
 * journal (jobs/fl/journal.h), as one SVG file that needs nothing else and is readable
 * on light and dark ground. */
#ifndef PPT_WORKER_PLOT_H
#define PPT_WORKER_PLOT_H

#include <stdint.h>

#include "base/error.h"

/* Reads `journal` and replaces `svg`. Where attempts tell a round twice the last word
 * counts. What was neither looked at nor charged has no line in the picture. Errors:
 * PPT_EIO, PPT_ENOMEM. */
int plot_rounds(const char *journal, const char *svg, const char *title,
                int64_t n_rounds, struct error *err);

#endif
