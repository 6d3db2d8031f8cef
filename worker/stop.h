/* Signals that ask a job to stop, as a flag, and a last resort against waiting for
 * ever.
 */
#ifndef PPT_WORKER_STOP_H
#define PPT_WORKER_STOP_H

#include <signal.h>

#include "base/error.h"

/* Set to 1 by SIGTERM, SIGINT and SIGUSR1 once stop_watch was called. */
extern volatile sig_atomic_t stop_requested;

/* Installs the handlers. Call after MPI has started, whose own would replace them. */
void stop_watch(void);

/* Unless stop_at_ease is called within so many seconds, prints the error's text on
 * stderr and ends the process with its code. For a rank that cannot know whether the
 * others still listen. */
void stop_within(unsigned seconds, const struct error *err);
void stop_at_ease(void);

#endif
