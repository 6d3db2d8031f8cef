/* Clients as devices, by a virtual clock: each has a speed, a line and hours of the day
 * at which it is there, drawn from (seed, its id)
 * or told by a file (trace.h). A round asks over_commit times as
 * many as it wants, of those who are there, and keeps the first that finish; the
 * others are stragglers, whose work is not done (over-commit and the order of finishes
 * as in Lai et al., FedScale, ICML 2022). Private to this room, but for tests.
 *
 * Plain jobs only: who is there and fast would choose the cohort of a private one. The
 * clock depends on the spec, the seed and the trace alone, so a run that goes on from a
 * checkpoint has the same: it draws the cohorts of the rounds before once more.
 */
#ifndef PPT_JOBS_FL_DEVICE_H
#define PPT_JOBS_FL_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/error.h"
#include "jobs/fl/cohort.h"
#include "jobs/fl/partition.h"
#include "jobs/fl/trace.h"
#include "jobs/io.h"
#include "jobs/spec/spec.h"

struct device {
    const struct spec *spec;
    const struct spec_devices *terms; /* NULL: no clock */
    const struct partition *partition;
    struct trace trace; /* empty: drawn */
    int64_t n_params;
    double *examples_per_s, *bytes_per_s, *phase; /* [n_clients] */
    bool *is_there;                               /* [n_clients]: in the last round */
    struct finish *finishes;                      /* [n_clients] */
    int64_t n_rounds;                             /* played by the clock */
    double clock_s;                               /* at the end of the last */
    int64_t n_late;                               /* its stragglers */
};

/* A model is n_params floats each way. All is kept by the caller for as long. Close
 * with device_close. Errors: PPT_ENOMEM, those of io->trace and trace_parse. */
int device_open(struct device *device, const struct spec *spec,
                const struct partition *partition, int64_t n_params, struct io *io,
                struct error *err);
void device_close(struct device *device);

/* Makes `cohort` that of a round, and the clock what it is at its end: those who are
 * there when it begins are asked, the first federation.cohort finishers are its
 * members, ascending. A round for which nobody is there begins when somebody is. */
void device_draw(struct device *device, struct cohort *cohort, int64_t round);

/* How many a round asks. */
int64_t device_asked(const struct spec_federation *federation, int64_t n_clients);

/* How long a client takes for a round, by the last look at the trace. */
double device_time_s(const struct device *device, int64_t client);

#endif
