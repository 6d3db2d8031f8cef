#include "jobs/dp/course.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/dp/evaluate.h"
#include "jobs/dp/lease.h"
#include "jobs/dp/snapshot.h"
#include "jobs/dp/verdict.h"
#include "jobs/privacy/meter.h"

/* What is known of the run while it goes on; rank 0 speaks of it. */
struct course {
    const struct course_work *work;
    double started_s, told_s;
    int64_t first_step; /* where this process began */
    bool has_loss, has_accuracy;
    double loss, accuracy;
};

/* Rank 0: uses so far by the meter, the earlier attempts' too. */
static void read_used(const struct trainer *trainer, int64_t used[PRICE_MAX_RELEASES])
{
    const struct price *price = &trainer->plan->price;
    memset(used, 0, PRICE_MAX_RELEASES * sizeof *used);
    if (trainer->is_private && trainer->env->comm->rank == 0) {
        for (int i = 0; i < price->n_releases; i++) {
            used[i] = price->releases[i].count - meter_left(trainer->env->meter, i);
        }
    }
}

double course_epsilon(const struct trainer *trainer)
{
    const struct price *price = &trainer->plan->price;
    int64_t used[PRICE_MAX_RELEASES];
    double epsilon = 0.0;
    read_used(trainer, used);
    if (trainer->is_private && price_epsilon(price, used, &epsilon, NULL) != 0) {
        return price->epsilon;
    }
    return epsilon;
}

static double examples_per_s(const struct trainer *trainer, const struct course *course,
                             double now_s)
{
    double n_steps = (double)(trainer->step - course->first_step);
    double spent_s = now_s - course->started_s;
    return spent_s > 0.0 ? n_steps * trainer->expected_examples / spent_s : 0.0;
}

/* At most once a second, and at the end. */
static void tell(const struct trainer *trainer, struct course *course, bool is_end)
{
    const struct env *env = trainer->env;
    double now_s = lease_clock_s();
    if (env->progress == NULL || env->comm->rank != 0 ||
        (!is_end && now_s - course->told_s < 1.0)) {
        return;
    }
    struct progress progress = {
        .step = trainer->step,
        .n_steps = trainer->n_steps,
        .expected_examples_per_s = examples_per_s(trainer, course, now_s),
        .epsilon = course_epsilon(trainer),
        .has_loss = course->has_loss,
        .loss = course->loss,
        .has_test_accuracy = course->has_accuracy &&
                             trainer->spec->training.evaluation == EVALUATION_PUBLIC,
        .test_accuracy = course->accuracy,
    };
    if (course->work->describe != NULL) {
        course->work->describe(trainer, course->work->state, &progress);
    }
    env->progress(env->progress_state, &progress);
    course->told_s = now_s;
}

/* The loss over a sample is a function of its records: only plain jobs look at it. */
static int share_loss(struct trainer *trainer, struct course *course, struct error *err)
{
    struct comm *comm = trainer->env->comm;
    double loss[2] = {0.0, 0.0};
    if (trainer->is_private) {
        return 0;
    }
    trainer_take_loss(trainer, &loss[0], &loss[1]);
    int rc = comm->ops->sum_f64(comm, loss, 2, err);
    /* NaN does not get into a sum in fixed point, so no parameter would tell */
    if (rc == 0 && trainer->spec->training.sum == SUM_FIXED && !isfinite(loss[0])) {
        error_set(err, PPT_ERANGE, "training diverged: the loss is not finite");
        return error_hint(err, "lower training.learning_rate");
    }
    if (rc == 0 && loss[1] > 0.0) {
        course->has_loss = true;
        course->loss = loss[0] / loss[1];
    }
    return rc;
}

static int look(struct trainer *trainer, struct course *course, struct error *err)
{
    int rc = evaluate_public(trainer, &course->accuracy, err);
    course->has_accuracy = course->has_accuracy || rc == 0;
    if (rc == 0 && course->work->looked != NULL) {
        rc = course->work->looked(trainer, course->work->state, course->accuracy, err);
    }
    return rc;
}

/* One step that is paid for, and what the spec wants after it. */
static int run_step(struct trainer *trainer, struct course *course, struct error *err)
{
    const struct spec_training *training = &trainer->spec->training;
    int rc = course->work->step(trainer, course->work->state, err);
    bool is_last = trainer->step == trainer->n_steps;
    if (rc == 0 && training->checkpoint_every > 0 && !is_last &&
        trainer->step % training->checkpoint_every == 0) {
        rc = snapshot_save(trainer, err);
    }
    if (rc == 0 && training->evaluation == EVALUATION_PUBLIC && !is_last &&
        training->evaluate_every > 0 && trainer->step % training->evaluate_every == 0) {
        rc = look(trainer, course, err);
    }
    tell(trainer, course, false);
    return rc;
}

/* Until all steps are done, the meter refuses, or somebody asks to stop. */
static int train(struct trainer *trainer, struct course *course, bool *ret_stopped,
                 struct error *err)
{
    struct lease lease = {.n_bins = trainer->plan->price.n_bins};
    enum lease_answer answer = LEASE_GO;
    while (trainer->step < trainer->n_steps) {
        if (lease.n_left == 0) {
            int rc = lease_renew(&lease, trainer->env, trainer->is_private,
                                 trainer->n_steps - trainer->step, &answer, err);
            if (rc == 0 && trainer->step > course->first_step) {
                rc = share_loss(trainer, course, err);
            }
            if (rc != 0) {
                return rc;
            }
            if (answer != LEASE_GO) {
                break;
            }
        }
        int rc = run_step(trainer, course, err);
        if (rc != 0) {
            return rc;
        }
        lease.n_left--;
    }
    *ret_stopped = answer == LEASE_STOP;
    return 0;
}

static int check_finite(const struct trainer *trainer, const float *params,
                        struct error *err)
{
    for (int64_t i = 0; i < trainer->net.n_params; i++) {
        if (!isfinite(params[i])) {
            error_set(err, PPT_ERANGE, "training diverged: a parameter is not finite");
            return error_hint(err, "lower training.learning_rate");
        }
    }
    return 0;
}

static int save_model(struct trainer *trainer, const float *params, struct error *err)
{
    struct net_tensor tensors[NET_MAX_TENSORS];
    struct tensor_view views[NET_MAX_TENSORS];
    struct io *io = trainer->env->io;
    int n_tensors = net_tensors(&trainer->net, tensors);
    int rc = 0;
    for (int i = 0; i < n_tensors; i++) {
        views[i] = (struct tensor_view){.name = tensors[i].name,
                                        .n_dims = tensors[i].n_dims,
                                        .data = params + tensors[i].offset};
        memcpy(views[i].dims, tensors[i].dims, sizeof views[i].dims);
    }
    if (trainer->env->comm->rank == 0) {
        rc = io->model_save(io, views, n_tensors, err);
    }
    return verdict_share(trainer->env->comm, rc, err);
}

/* The last look at the test split, then the model. */
static int finish(struct trainer *trainer, struct course *course, struct error *err)
{
    const struct spec_training *training = &trainer->spec->training;
    const float *params = NULL;
    int rc = share_loss(trainer, course, err);
    if (rc == 0) {
        rc = trainer_params(trainer, &params, err);
    }
    if (rc == 0) {
        rc = check_finite(trainer, params, err);
    }
    if (rc == 0 && training->evaluation == EVALUATION_PUBLIC) {
        rc = look(trainer, course, err);
    }
    if (rc == 0 && training->evaluation == EVALUATION_PAID) {
        rc = evaluate_paid(trainer, &course->has_accuracy, &course->accuracy, err);
    }
    if (rc == 0) {
        rc = save_model(trainer, params, err);
    }
    return rc;
}

static struct report report_of(const struct trainer *trainer,
                               const struct course *course, double trained_s,
                               bool stopped)
{
    bool is_told = trainer->spec->training.evaluation == EVALUATION_PUBLIC ||
                   trainer->env->comm->rank == 0;
    struct report report = {
        .job_id = trainer->plan->job_id,
        .attempt = trainer->plan->attempt,
        .outcome = stopped ? REPORT_INTERRUPTED : REPORT_DONE,
        .error_code = stopped ? PPT_EINTERRUPTED : 0,
        .n_steps = trainer->step,
        .has_test_accuracy = course->has_accuracy && is_told,
        .wall_s = trained_s - course->started_s,
        .expected_examples_per_s = examples_per_s(trainer, course, trained_s),
    };
    report.test_accuracy = report.has_test_accuracy ? course->accuracy : 0.0;
    read_used(trainer, report.used);
    return report;
}

static int interrupted(struct trainer *trainer, const char *noun, struct report *report,
                       struct error *err)
{
    int rc = snapshot_save(trainer, err);
    if (rc != 0) {
        return rc;
    }
    error_set(err, PPT_EINTERRUPTED, "stopped after %s %lld of %lld", noun,
              (long long)trainer->step, (long long)trainer->n_steps);
    if (err != NULL) {
        memcpy(report->error_text, err->text, sizeof report->error_text);
    }
    return -PPT_EINTERRUPTED;
}

int course_run(struct trainer *trainer, const struct course_work *work,
               struct report *ret_report, struct error *err)
{
    struct course course = {.work = work};
    bool stopped = false;
    int rc = snapshot_load(trainer, err);
    if (rc != 0) {
        return rc;
    }
    course.started_s = course.told_s = lease_clock_s();
    course.first_step = trainer->step;
    rc = train(trainer, &course, &stopped, err);
    double trained_s = lease_clock_s();
    if (rc == 0 && !stopped) {
        rc = finish(trainer, &course, err);
    }
    if (rc != 0) {
        return rc;
    }
    struct report report = report_of(trainer, &course, trained_s, stopped);
    tell(trainer, &course, true);
    if (stopped) {
        rc = interrupted(trainer, work->noun, &report, err);
    }
    if (rc == 0 || rc == -PPT_EINTERRUPTED) {
        *ret_report = report;
    }
    return rc;
}
