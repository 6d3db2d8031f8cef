#include "jobs/privacy/schedule.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "jobs/privacy/falling.h"

int schedule_releases(const struct schedule *schedule, double first_noise_multiplier,
                      struct pld_release ret_releases[PLD_MAX_RELEASES],
                      int *ret_n_releases, struct error *err)
{
    if (schedule->n_epochs < 1 || schedule->n_epochs > PLD_MAX_RELEASES ||
        schedule->steps_per_epoch < 1 ||
        schedule->steps_per_epoch > PLD_MAX_COUNT / PLD_MAX_RELEASES ||
        !(schedule->decay >= 0.5) || !(schedule->decay <= 1))
        return error_set(
            err, PPT_ERANGE,
            "expected 1 to %d epochs of 1 to %lld steps and a decay of 0.5 "
            "to 1, got %d, %lld and %g",
            PLD_MAX_RELEASES, (long long)(PLD_MAX_COUNT / PLD_MAX_RELEASES),
            schedule->n_epochs, (long long)schedule->steps_per_epoch, schedule->decay);
    bool is_uniform = schedule->decay == 1;
    int n = is_uniform ? 1 : schedule->n_epochs;
    for (int e = 0; e < n; e++)
        ret_releases[e] = (struct pld_release){
            .noise = PAIR_GAUSSIAN,
            .scale = first_noise_multiplier * pow(schedule->decay, e),
            .rate = schedule->sample_rate,
            .count = schedule->steps_per_epoch * (is_uniform ? schedule->n_epochs : 1),
        };
    *ret_n_releases = n;
    return 0;
}

struct target {
    const struct schedule *schedule;
    double epsilon, delta;
};

static int excess(void *state, double log_noise, double *ret_value, struct error *err)
{
    const struct target *target = state;
    struct pld_release releases[PLD_MAX_RELEASES];
    struct pld_plan plan = {.relation = RELATION_ADD_REMOVE, .releases = releases};
    double epsilon;
    int rc =
        schedule_releases(target->schedule, exp(log_noise), releases, &plan.n, err);
    if (rc == 0)
        rc = pld_epsilon(&plan, target->delta, &epsilon, NULL, err);
    if (rc == 0)
        *ret_value = log(fmax(epsilon, 1e-300) / target->epsilon);
    return rc;
}

int schedule_noise_multiplier(const struct schedule *schedule, double epsilon,
                              double delta, double *ret_first_noise_multiplier,
                              struct error *err)
{
    if (!(epsilon > 0) || !isfinite(epsilon))
        return error_set(err, PPT_ERANGE, "expected a positive target, got epsilon %g",
                         epsilon);
    /* the last epoch has the least noise, and must keep enough to be priced; the mean
     * of the schedule, priced as if it were uniform, is where to start */
    double shrink = -log(schedule->decay) * (schedule->n_epochs - 1), start, log_noise;
    struct target target = {schedule, epsilon, delta};
    struct pld_release checked[PLD_MAX_RELEASES];
    int n, rc = schedule_releases(schedule, 1, checked, &n, err);
    if (rc == 0)
        rc = pld_noise_multiplier(epsilon, delta, schedule->sample_rate,
                                  schedule->steps_per_epoch * schedule->n_epochs,
                                  RELATION_ADD_REMOVE, &start, err);
    if (rc != 0)
        return rc;
    struct falling falling = {
        .value = excess,
        .state = &target,
        .start = log(start) + 0.5 * shrink,
        .stride = 0.05,
        .least = log(PAIR_MIN_SCALE) + shrink + 1e-12,
        .most = log(PAIR_MAX_SCALE) - 1e-12,
        .width = 1e-4,
        .closeness = 1e-5,
    };
    rc = falling_root(&falling, &log_noise, err);
    if (rc == 0 && isnan(log_noise))
        rc = error_set(err, PPT_ERANGE,
                       "no noise multiplier up to %g meets epsilon %g at delta %g",
                       PAIR_MAX_SCALE, epsilon, delta);
    if (rc == 0)
        *ret_first_noise_multiplier = exp(log_noise);
    return rc;
}
