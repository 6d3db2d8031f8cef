/* How long a job would take, as far as jobs that have run can tell. */
#ifndef PPT_SCHEDULER_ESTIMATE_H
#define PPT_SCHEDULER_ESTIMATE_H

#include <stdint.h>

#include "base/error.h"
#include "jobs/spec/spec.h"
#include "scheduler/db.h"

struct estimate {
    int64_t job_id;    /* whose rate it is; 0: no such job was found */
    double step_s;     /* of that job, start-up left out */
    double training_s; /* so many steps at that rate */
};

/* For n_steps steps of this spec: the rate of the newest job of the same kind, data
 * set, model, federation, batch, sampling, way to add and clipping on as many ranks,
 * cores and GPUs that was done, among the last 200 on the data set that this login may
 * see. It knows nothing of other hosts and of what else ran on them. Errors: those of
 * db_run; PPT_ENOMEM. */
int estimate_training(struct db *db, const struct spec *spec, int64_t n_steps,
                      struct estimate *ret_estimate, struct error *err);

#endif
