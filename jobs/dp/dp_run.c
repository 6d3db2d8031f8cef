#include "jobs/dp/dp_run.h"

#include "jobs/dp/course.h"
#include "jobs/dp/trainer.h"
#include "jobs/dp/verdict.h"
#include "jobs/privacy/correlation.h"

/* Is the first release what an epoch in a fixed order of this price does? */
static bool is_pass(const struct price *price, const struct spec *spec)
{
    const struct mechanism *pass = &price->releases[PRICE_TRAINING_STEP].mechanism;
    int64_t n_bands = correlation_bands(spec->training.bands, price->n_bins);
    return n_bands >= 1 && price->n_bands == n_bands &&
           pass->kind == MECHANISM_GAUSSIAN && pass->sample_rate == 1.0 &&
           pass->noise_multiplier ==
               correlation_priced(price->noise_multiplier, n_bands);
}

/* Is the first release what a step, or a dealt epoch, of this price does? */
static bool is_step(const struct price *price, const struct spec *spec)
{
    const struct mechanism *step = &price->releases[PRICE_TRAINING_STEP].mechanism;
    enum spec_sampling sampling = spec->training.sampling;
    bool is_dealt = sampling != SAMPLE_POISSON;
    if (is_dealt != (price->n_bins > 0) ||
        (is_dealt && price->n_steps % price->n_bins != 0)) {
        return false;
    }
    if (sampling == SAMPLE_FIXED_ORDER) {
        return is_pass(price, spec);
    }
    if (price->n_bands != 0 || step->noise_multiplier != price->noise_multiplier) {
        return false;
    }
    if (is_dealt) {
        return step->kind == MECHANISM_RANDOM_ALLOCATION &&
               step->bins == (double)price->n_bins;
    }
    return step->kind == MECHANISM_SUBSAMPLED_GAUSSIAN &&
           step->sample_rate == price->sample_rate;
}

/* What runs must be what was priced: a step's noise and rate, and the unit whose
 * gradients are clipped. */
static int check_price(const struct price *price, const struct spec *spec,
                       const struct manifest *manifest, struct error *err)
{
    const struct spec_privacy *privacy = &spec->privacy;
    const struct manifest_split *train = manifest_split(manifest, spec->dataset.train);
    if (privacy->is_private != price->is_private) {
        return error_set(err, PPT_EINTERNAL, "spec and price disagree on privacy");
    }
    if (!privacy->is_private) {
        return 0;
    }
    if (train != NULL && train->nominal_users > 0) {
        error_set(err, PPT_ESPEC,
                  "dataset: this kind of job clips per record, and users have several");
        return error_hint(err, "use kind: fl with partition: users");
    }
    bool is_paid = spec->training.evaluation == EVALUATION_PAID;
    if (!(privacy->clip_norm > 0.0) || !(price->noise_multiplier > 0.0) ||
        !is_step(price, spec) || price->n_releases != (is_paid ? 2 : 1) ||
        (is_paid && price->releases[PRICE_EVALUATION].mechanism.noise_multiplier !=
                        spec->training.evaluation_noise)) {
        return error_set(err, PPT_EINTERNAL, "the plan's price is not this spec's");
    }
    return 0;
}

static int check_env(const struct spec *spec, const struct manifest *manifest,
                     const struct env *env, struct error *err)
{
    const struct spec_training *training = &spec->training;
    if (spec->privacy.is_private && env->comm->rank == 0 && env->meter == NULL) {
        return error_set(err, PPT_EINTERNAL, "a private job was started unmetered");
    }
    if (training->evaluation != EVALUATION_NONE && env->io->test == NULL) {
        return error_set(err, PPT_ESPEC,
                         "training.evaluation: dataset.test names no test split");
    }
    const struct manifest_split *test = manifest_split(manifest, spec->dataset.test);
    if (training->evaluation == EVALUATION_PAID &&
        (!spec->privacy.is_private || test == NULL || test->nominal_count < 1)) {
        return error_set(err, PPT_ESPEC,
                         "training.evaluation: paid evaluation needs a private job and "
                         "a test split with a nominal count");
    }
    return 0;
}

/* Half of a rank's memory is kept for micro-batches, which shrink; what does not, does
 * not fit. Told before the first step, as a rank that the system ends in the middle of
 * one costs the whole price. */
static int check_memory(const struct trainer *trainer, struct error *err)
{
    const struct spec_resources *resources = &trainer->spec->resources;
    int64_t share = resources->memory_bytes / trainer->env->comm->size;
    int64_t needed = (int64_t)trainer_memory_bytes(trainer);
    if (resources->memory_bytes <= 0 || needed <= share) {
        return 0;
    }
    error_set(
        err, PPT_ESPEC,
        "resources.memory: a rank's nets and parameters take %lld MiB and its share "
        "of the job's memory is %lld MiB",
        (long long)(needed >> 20), (long long)(share >> 20));
    return error_hint(err, "ask for more; ppt-submit --dry-run says how much");
}

static int run_step(struct trainer *trainer, void *state, struct error *err)
{
    (void)state;
    int rc = trainer_gradient(trainer, err);
    return rc != 0 ? rc : trainer_release(trainer, err);
}

int dp_run(const struct plan *plan, const struct spec *spec,
           const struct manifest *manifest, struct env *env, struct report *ret_report,
           struct error *err)
{
    static const struct course_work work = {.noun = "step", .step = run_step};
    struct trainer trainer = {0};
    int rc = check_price(&plan->price, spec, manifest, err);
    if (rc == 0) {
        rc = check_env(spec, manifest, env, err);
    }
    if (rc == 0) {
        rc = trainer_open(&trainer, plan, spec, manifest, env, NULL, err);
    }
    if (rc == 0) {
        rc = check_memory(&trainer, err);
    }
    if (rc == 0) { /* lanes have a core each, so that none is left for products */
        env->kernels->set_threads(trainer.lanes.n > 1 ? 1
                                                      : trainer_n_threads(env, spec));
    }
    rc = verdict_join(env->comm, rc, err);
    if (rc == 0) {
        rc = course_run(&trainer, &work, ret_report, err);
    }
    trainer_close(&trainer);
    return rc;
}
