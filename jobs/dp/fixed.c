#include "jobs/dp/fixed.h"

#include <math.h>

static const double plain_step = 0x1p-30;

int fixed_plan(struct trainer *trainer, struct error *err)
{
    struct threshold *threshold = &trainer->threshold;
    struct grid *grid = &threshold->grid;
    if (trainer->spec->training.sum != SUM_FIXED) {
        return 0;
    }
    if (!trainer->is_private) {
        double size = (double)trainer->env->comm->size;
        *grid = (struct grid){plain_step, 0.0, floor(0x1p52 / size)};
        return 0;
    }
    double most = grid->max_steps / (threshold->clip / grid->step + 1.0);
    if (2.0 * trainer->expected_batch <= most) {
        return 0;
    }
    error_set(err, PPT_ERANGE,
              "training.sum: a batch of %.0f may overflow fixed point: with %lld "
              "parameters and %d ranks %.0f gradients fit",
              trainer->expected_batch, (long long)trainer->net.n_params,
              trainer->env->comm->size, floor(most / 2.0));
    return error_hint(err, "use a smaller batch, or sum: float");
}
