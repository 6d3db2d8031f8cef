#include "jobs/dp/schedule.h"

#include <math.h>

double schedule_rate(const struct spec_training *training, int64_t step,
                     int64_t n_steps)
{
    double rate = training->learning_rate;
    if (training->schedule == SCHEDULE_COSINE) {
        double done = (double)step / (double)n_steps;
        return rate * 0.5 * (1.0 + cos(3.14159265358979324 * done));
    }
    if (training->schedule == SCHEDULE_STEP && training->schedule_every > 0) {
        double n_drops = (double)(step / training->schedule_every);
        return rate * pow(training->schedule_factor, n_drops);
    }
    return rate;
}
