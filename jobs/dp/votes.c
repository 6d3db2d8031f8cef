#include "jobs/dp/votes.h"

#include <math.h>

bool votes_are_taken(const struct trainer *trainer)
{
    return trainer->is_private && trainer->spec->privacy.clipping.mode == CLIP_QUANTILE;
}

/* The place of the votes in this rank's slice, or -1. */
static int64_t place(const struct trainer *trainer)
{
    int64_t at = trainer->net.n_params - trainer->env->comm->rank * trainer->n_slice;
    bool is_mine = votes_are_taken(trainer) && at >= 0 && at < trainer->n_slice;
    return is_mine ? at : -1;
}

double votes_of(const struct trainer *trainer, double norm)
{
    if (!votes_are_taken(trainer) || !isfinite(norm)) {
        return 0.0;
    }
    return norm <= trainer->threshold.norm ? 0.5 : -0.5;
}

void votes_add(const struct trainer *trainer, const struct net *net, double *sum,
               int64_t n)
{
    if (votes_are_taken(trainer)) {
        trainer->env->kernels->add_votes(n, net->factor, sum + net->n_params);
    }
}

void votes_weigh(struct trainer *trainer)
{
    const struct memory *memory = trainer->env->kernels->memory;
    double *at = trainer->sum + trainer->net.n_params, votes = 0.0;
    if (votes_are_taken(trainer) && !trainer->has_source) {
        memory->download(&votes, at, sizeof votes);
        votes *= trainer->threshold.weight;
        memory->upload(at, &votes, sizeof votes);
    }
}

float votes_take(struct trainer *trainer)
{
    const struct memory *memory = trainer->env->kernels->memory;
    int64_t at = place(trainer);
    double released = 0.0;
    if (at < 0) {
        return 0.0f;
    }
    memory->download(&released, trainer->slice + at, sizeof released);
    memory->zero(trainer->slice + at, sizeof *trainer->slice);
    return threshold_next(&trainer->threshold, released, trainer->expected_votes);
}

void votes_tell(struct trainer *trainer, float next_norm)
{
    int64_t at = place(trainer);
    if (at >= 0) {
        trainer->env->kernels->memory->upload(trainer->updated + at, &next_norm,
                                              sizeof next_norm);
    }
}

int votes_heed(struct trainer *trainer, struct error *err)
{
    float norm = 0.0f;
    if (!votes_are_taken(trainer)) {
        return 0;
    }
    trainer->env->kernels->memory->download(
        &norm, trainer->params + trainer->net.n_params, sizeof norm);
    int rc = trainer_check(trainer, err);
    return rc != 0 ? rc : threshold_set(&trainer->threshold, (double)norm, err);
}
