#include "jobs/spec/check.h"

#include <stdio.h>
#include <string.h>

#include "jobs/spec/federation.h"

static bool is_given(const struct ydoc_node *section, const char *key)
{
    return ydoc_get(section, key) != NULL;
}

static void check_kind(struct ydoc_faults *faults, const struct ydoc_node *root,
                       const struct spec *spec)
{
    if (!job_kinds[spec->kind].is_available)
        ydoc_fault_at(faults, root, "kind",
                      "expected kind dp or fl: %s is not available in this version",
                      job_kinds[spec->kind].name);
}

/* Either the target or the noise; not both, not neither. */
static void check_target(struct ydoc_faults *faults, const struct ydoc_node *root,
                         const struct spec *spec)
{
    const struct ydoc_node *privacy = ydoc_get(root, "privacy");
    if (privacy == NULL || privacy->kind != YDOC_MAPPING)
        return;
    bool has_noise = spec->privacy.noise_multiplier > 0;
    if (has_noise && is_given(privacy, "epsilon"))
        ydoc_fault_at(faults, privacy, "noise_multiplier",
                      "expected either epsilon or noise_multiplier, found both");
    const struct ydoc_node *noise = ydoc_get(privacy, "noise_multiplier");
    bool is_auto = noise == NULL ||
                   (noise->kind == YDOC_SCALAR && strcmp(noise->text, "auto") == 0);
    if (is_auto && !is_given(privacy, "epsilon"))
        ydoc_fault_at(
            faults, privacy, "epsilon",
            "expected epsilon, such as epsilon: 3, or noise_multiplier in its "
            "place");
}

static void check_length(struct ydoc_faults *faults, const struct ydoc_node *root,
                         const struct spec *spec)
{
    const struct ydoc_node *training = ydoc_get(root, "training");
    if (training == NULL || training->kind != YDOC_MAPPING)
        return;
    bool has_epochs = is_given(training, "epochs"),
         has_steps = is_given(training, "steps");
    if (has_epochs && has_steps)
        ydoc_fault_at(faults, training, "steps",
                      "expected either epochs or steps, found both");
    if (has_steps && (spec->training.sampling == SAMPLE_BALLS_IN_BINS ||
                      spec->training.sampling == SAMPLE_FIXED_ORDER))
        ydoc_fault_at(faults, training, "steps",
                      "expected epochs in its place: with sampling %s whole epochs are "
                      "paid for",
                      spec_sampling_name(spec->training.sampling));
    if (!has_epochs && !has_steps)
        ydoc_fault(faults, training,
                   "expected epochs or steps (such as epochs: 10), found neither");
}

static void check_evaluation(struct ydoc_faults *faults, const struct ydoc_node *root,
                             const struct spec *spec)
{
    const struct ydoc_node *training = ydoc_get(root, "training");
    const struct ydoc_node *dataset = ydoc_get(root, "dataset");
    enum spec_evaluation evaluation = spec->training.evaluation;
    bool is_wanted = evaluation == EVALUATION_PUBLIC || evaluation == EVALUATION_PAID;
    bool has_test =
        is_given(dataset, "test") && !ydoc_is_null(ydoc_get(dataset, "test"));
    if (is_wanted && !has_test)
        ydoc_fault_at(faults, training, "evaluation",
                      "expected none, or a test group in dataset.test, such as "
                      "dataset: {test: test}");
    if (evaluation == EVALUATION_PAID && !spec->privacy.is_private)
        ydoc_fault_at(faults, training, "evaluation",
                      "expected none or public: privacy is none, so nothing can be "
                      "paid for");
    if (spec->dataset.test[0] != '\0' &&
        strcmp(spec->dataset.test, spec->dataset.train) == 0)
        ydoc_fault_at(faults, dataset, "test",
                      "expected another group than the one trained on (%s)",
                      spec->dataset.train);
}

/* What it subtracts is the variance of the noise. */
static void check_noise_floor(struct ydoc_faults *faults, const struct ydoc_node *root,
                              const struct spec *spec)
{
    if (spec->training.noise_floor > 0 && !spec->privacy.is_private)
        ydoc_fault_at(faults, ydoc_get(root, "training"), "noise_floor",
                      "expected no such key: privacy is none, so there is no noise");
}

/* A step's noise is what is left of earlier ones': its price is that of one clip norm,
 * and its variance that of no single step. */
static void check_fixed_order(struct ydoc_faults *faults, const struct ydoc_node *root,
                              const struct spec *spec)
{
    if (spec->kind != JOB_DP || spec->training.sampling != SAMPLE_FIXED_ORDER)
        return;
    if (spec->privacy.is_private && spec->privacy.clipping.mode == CLIP_QUANTILE)
        ydoc_fault_at(faults, ydoc_get(root, "privacy"), "clipping",
                      "expected flat, per_layer or automatic: with sampling "
                      "fixed_order noise is correlated over steps, which have one clip "
                      "norm");
    if (spec->training.noise_floor > 0)
        ydoc_fault_at(faults, ydoc_get(root, "training"), "noise_floor",
                      "expected no such key: with sampling fixed_order a step's noise "
                      "depends on earlier steps");
    if (spec->resources.gpus_per_rank > 0)
        ydoc_fault_at(faults, ydoc_get(root, "resources"), "gpus_per_rank",
                      "expected 0: with sampling fixed_order noise is drawn on the "
                      "CPU");
}

/* Ids are fed as they are. */
static void check_tokens(struct ydoc_faults *faults, const struct ydoc_node *root,
                         const struct spec *spec)
{
    static const char *const keys[] = {"mean", "std"};
    const struct ydoc_node *dataset = ydoc_get(root, "dataset");
    bool has_default = spec->dataset.mean == 0 && spec->dataset.std == 1;
    if (spec->model.n_layers < 1 || spec->model.layers[0].kind != LAYER_EMBEDDING ||
        has_default)
        return;
    for (int k = 0; k < 2; k++)
        if (is_given(dataset, keys[k]))
            ydoc_fault_at(faults, dataset, keys[k],
                          "expected no such key: the model begins with embedding, and "
                          "ids of tokens are fed as they are");
}

/* Low-rank factors adapt a base, layer by layer; the last layer is new. */
static void check_base(struct ydoc_faults *faults, const struct ydoc_node *root,
                       const struct spec *spec)
{
    const struct ydoc_node *model = ydoc_get(root, "model");
    const struct ydoc_node *layer = ydoc_get(model, "layers");
    const struct ydoc_node *base = ydoc_get(model, "base");
    bool has_base = base != NULL && !ydoc_is_null(base);
    if (has_base && spec->model.preset != PRESET_LAYERS)
        ydoc_fault_at(
            faults, model, "base",
            "expected layers beside it, not a preset: write out the layers of "
            "the frozen model");
    layer = layer != NULL && layer->kind == YDOC_SEQUENCE ? layer->first : NULL;
    for (; layer != NULL && layer->index < spec->model.n_layers; layer = layer->next) {
        bool is_last = layer->next == NULL;
        if (spec->model.layers[layer->index].rank == 0)
            continue;
        if (!has_base || is_last)
            ydoc_fault_at(faults, layer->first, "rank",
                          is_last
                              ? "expected no rank: the last layer is trained in full"
                              : "expected model.base beside it: low-rank factors "
                                "adapt a frozen layer");
    }
}

static void check_devices(struct ydoc_faults *faults, const struct ydoc_node *root,
                          const struct spec *spec)
{
    if (spec->resources.gpus_per_rank > 1)
        ydoc_fault_at(
            faults, ydoc_get(root, "resources"), "gpus_per_rank",
            "expected 0 or 1: a rank computes on one GPU, so write "
            "gpus_per_rank: 1 and ranks: %lld",
            (long long)(spec->resources.gpus_per_rank * spec->resources.ranks));
}

static void check_slurm(struct ydoc_faults *faults, const struct ydoc_node *root,
                        const struct spec *spec)
{
    const struct ydoc_node *node = ydoc_get(ydoc_get(root, "resources"), "slurm");
    const struct spec_slurm *slurm = &spec->resources.slurm;
    if (slurm->n_nodes > spec->resources.ranks)
        ydoc_fault_at(faults, node, "nodes",
                      "expected at most as many nodes as ranks: write nodes: %lld, or "
                      "ranks: %lld",
                      (long long)spec->resources.ranks, (long long)slurm->n_nodes);
    if (is_given(node, "mail_type") && !is_given(node, "mail_user"))
        ydoc_fault_at(faults, node, "mail_user",
                      "expected an address for the mails of mail_type, such as "
                      "ada@example.org");
    if (is_given(node, "mail_user") && !is_given(node, "mail_type"))
        ydoc_fault_at(
            faults, node, "mail_type",
            "expected a list such as [end, fail]: when to write to mail_user");
}

void check_sense(struct ydoc_faults *faults, const struct ydoc_node *root,
                 const struct spec *spec)
{
    check_kind(faults, root, spec);
    check_target(faults, root, spec);
    check_length(faults, root, spec);
    check_evaluation(faults, root, spec);
    check_noise_floor(faults, root, spec);
    check_fixed_order(faults, root, spec);
    check_tokens(faults, root, spec);
    check_base(faults, root, spec);
    check_devices(faults, root, spec);
    check_slurm(faults, root, spec);
    federation_check(faults, root, spec);
}

/* `resources` may be left out of a file while its default is too much for the site. */
static void check_most(struct ydoc_faults *faults, const struct ydoc_node *root,
                       const char *key, int64_t value, int64_t most, const char *unit)
{
    const struct ydoc_node *resources = ydoc_get(root, "resources");
    char path[64];
    snprintf(path, sizeof path, "resources.%s", key);
    if (value > most)
        ydoc_policy_fault(faults, resources != NULL ? resources : root,
                          resources != NULL ? key : path,
                          "expected at most %lld%s by this site's policy, found "
                          "%lld%s",
                          (long long)most, unit, (long long)value, unit);
}

void check_policy(struct ydoc_faults *faults, const struct ydoc_node *root,
                  const struct spec *spec, const struct spec_policy *policy)
{
    const struct ydoc_node *privacy = ydoc_get(root, "privacy");
    const struct spec_privacy *p = &spec->privacy;
    if (p->epsilon > 0 &&
        (p->epsilon < policy->min_epsilon || p->epsilon > policy->max_epsilon))
        ydoc_policy_fault(
            faults, privacy, "epsilon",
            "expected an epsilon from %g to %g by this site's policy, found %g",
            policy->min_epsilon, policy->max_epsilon, p->epsilon);
    if (p->delta > policy->max_delta)
        ydoc_policy_fault(faults, privacy, "delta",
                          "expected a delta of at most %g by this site's policy, found "
                          "%g",
                          policy->max_delta, p->delta);

    const struct spec_resources *r = &spec->resources;
    check_most(faults, root, "ranks", r->ranks, policy->max_ranks, "");
    check_most(faults, root, "cores_per_rank", r->cores_per_rank,
               policy->max_cores_per_rank, "");
    check_most(faults, root, "time_limit", r->time_limit_s, policy->max_time_limit_s,
               "s");
    check_most(faults, root, "memory", r->memory_bytes, policy->max_memory_bytes,
               " bytes");
    if (policy->refuses_slurm && spec_has_slurm(&r->slurm))
        ydoc_policy_fault(faults, ydoc_get(root, "resources"), "slurm",
                          "expected no such section: this site starts jobs by mpirun, "
                          "not by Slurm");
}
