/* Signals that ask a job to stop, and a clock against waiting for ever, as flags. */
#ifndef PPT_WORKER_STOP_H
#define PPT_WORKER_STOP_H

#include <signal.h>

/* Set to 1 by SIGTERM, SIGINT and SIGUSR1 once stop_watch was called. */
extern volatile sig_atomic_t stop_requested;

/* Set to 1 when the time of stop_within is over: the control channel then gives up. */
extern volatile sig_atomic_t stop_overdue;

/* Installs the handlers. Call after MPI has started, whose own would replace them. */
void stop_watch(void);

/* From now on the end of a child is such a request too. */
void stop_on_child(void);

/* Starts the clock, for a rank that has failed and cannot know whether the others still
 * listen; stop_at_ease stops it. */
void stop_within(unsigned seconds);
void stop_at_ease(void);

#endif
