#include "jobs/dp/lease.h"

#include <time.h>

#include "jobs/dp/verdict.h"
#include "jobs/privacy/meter.h"

double lease_clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Rank 0: how many steps to ask for. The first lease is one step, to time it. */
static int64_t lease_size(struct lease *lease, int64_t n_wanted)
{
    double now_s = lease_clock_s();
    int64_t n = 1;
    if (lease->n_last > 0) {
        lease->step_time_s = (now_s - lease->started_s) / (double)lease->n_last;
        double fit = LEASE_TARGET_S / (lease->step_time_s + 1e-9);
        n = fit < 1.0 ? 1 : fit > LEASE_MAX_STEPS ? LEASE_MAX_STEPS : (int64_t)fit;
    }
    lease->started_s = now_s;
    return n < n_wanted ? n : n_wanted;
}

/* Rank 0: steps of an epoch that is paid for, n of them at most; pays where it is not.
 * Who begins in the middle of an epoch pays for a whole one: records are dealt anew
 * then, so one may be in a step that an earlier process has made and in one of this
 * one's. */
static int charge_epoch(struct lease *lease, struct env *env, int64_t n_wanted,
                        int64_t *n, struct error *err)
{
    if (lease->n_paid == 0) {
        int rc = meter_charge(env->meter, PRICE_TRAINING_STEP, 1, err);
        if (rc != 0) {
            return rc;
        }
        lease->n_paid = (n_wanted - 1) % lease->n_bins + 1;
    }
    *n = *n < lease->n_paid ? *n : lease->n_paid;
    lease->n_paid -= *n;
    return 0;
}

/* Rank 0: steps that cost one use each, n of them at most. */
static int charge_steps(struct env *env, int64_t *n, struct error *err)
{
    int64_t left = meter_left(env->meter, PRICE_TRAINING_STEP);
    *n = left > 0 && left < *n ? left : *n;
    return meter_charge(env->meter, PRICE_TRAINING_STEP, *n, err);
}

/* Rank 0: charges; *ret_n is 0 when the meter refuses. */
static int charge(struct lease *lease, struct env *env, bool is_private,
                  int64_t n_wanted, int64_t *ret_n, struct error *err)
{
    int64_t n = lease_size(lease, n_wanted);
    if (is_private) {
        int rc = lease->n_bins > 0 ? charge_epoch(lease, env, n_wanted, &n, err)
                                   : charge_steps(env, &n, err);
        if (rc == -PPT_EMETER) {
            n = 0;
        } else if (rc != 0) {
            return rc;
        }
    }
    *ret_n = n;
    return 0;
}

int lease_renew(struct lease *lease, struct env *env, bool is_private, int64_t n_wanted,
                enum lease_answer *ret_answer, struct error *err)
{
    struct comm *comm = env->comm;
    int64_t stop = env->stop != NULL && *env->stop != 0;
    int rc = comm->ops->max_i64(comm, &stop, 1, err);
    if (rc != 0) {
        return rc;
    }
    if (stop != 0) {
        *ret_answer = LEASE_STOP;
        return 0;
    }
    int64_t n = 0;
    if (comm->rank == 0) {
        rc = charge(lease, env, is_private, n_wanted, &n, err);
    }
    rc = verdict_share(comm, rc, err);
    if (rc == 0) {
        rc = comm->ops->broadcast(comm, &n, sizeof n, 0, err);
    }
    if (rc == 0) {
        lease->n_left = lease->n_last = n;
        *ret_answer = n > 0 ? LEASE_GO : LEASE_REFUSED;
    }
    return rc;
}
