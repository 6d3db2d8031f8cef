#include "jobs/fl/secure_plan.h"

#include <math.h>

#include "jobs/dp/votes.h"
#include "jobs/fl/degree.h"
#include "jobs/fl/draw.h"

/* Standard deviations of a cohort's size that the ring is planned for. */
#define COHORT_SPREAD 6.0

/* In public numbers: what depends on it, such as the scale, is known to all. */
static uint32_t cohort_limit(const struct secure *secure, double side)
{
    const struct trainer *trainer = secure->trainer;
    double cohort = (double)secure->spec->federation.cohort;
    double nominal = ceil(cohort / trainer->plan->price.sample_rate);
    bool is_fixed = spec_selection_is_exact(secure->spec->federation.selection);
    double size = is_fixed ? cohort : cohort + side * COHORT_SPREAD * sqrt(cohort);
    if (secure->spec->federation.secagg.group > 0) { /* groups.h */
        size = fmin(cohort, 2.0 * (double)secure->spec->federation.secagg.group - 1.0);
    }
    size = fmin(fmax(size, trainer->is_private ? 0.0 : 1.0), nominal);
    return secure->n_sharers > 0 ? (uint32_t)fmax(size, (double)secure->n_sharers)
                                 : (uint32_t)(size + (double)secure->n_stand_ins);
}

int secure_plan_degree(const struct secure *secure, uint32_t n, uint32_t *ret_degree,
                       uint32_t *ret_threshold, struct error *err)
{
    const struct spec_secagg *secagg = &secure->spec->federation.secagg;
    struct degree_wish wish = {.n_clients = n,
                               .corrupt = secagg->corrupt,
                               .dropout = secagg->dropout,
                               .is_server_lying = secagg->server == TRUST_LYING};
    int rc = degree_find(&wish, ret_degree, ret_threshold, err);
    if (rc != 0) {
        error_prefix(err, "secure aggregation over a cohort of %u", (unsigned)n);
    }
    return rc;
}

/* Private jobs: every size that can be drawn has a graph. Others: the expected one. */
static int check_graphs(const struct secure *secure, struct error *err)
{
    const struct spec_secagg *secagg = &secure->spec->federation.secagg;
    uint32_t degree, threshold;
    double least = spec_secagg_least(secagg);
    if (!secure->trainer->is_private) {
        return secure_plan_degree(secure, cohort_limit(secure, 0.0), &degree,
                                  &threshold, err);
    }
    if (least <= (double)secure->n_stand_ins) {
        return 0;
    }
    return error_set(err, PPT_ERANGE,
                     "federation.secagg.min_clients is %lld, but only cohorts of %.0f "
                     "clients or more always have a graph",
                     (long long)secagg->min_clients, least);
}

/* The sum's noise over the priced one's in standard deviations: more shares than are
 * counted on may come. */
static double excess_of(const struct secure *secure)
{
    int64_t n_min = secure->spec->federation.noise.min_survivors;
    return secure->n_sharers > 0 ? sqrt((double)secure->n_sharers / (double)n_min)
                                 : 1.0;
}

/* The server's noise in whole numbers, or, where clients bring it, just their unit. */
static int plan_grid(struct secure *secure, double multiplier, struct error *err)
{
    double std = nextafter(
        multiplier * nextafter(encode_bound(&secure->terms), INFINITY), INFINITY);
    if (!grid_for_integers(secure->n_sharers > 0 ? 1.0 : std, &secure->grid)) {
        return error_set(err, PPT_ERANGE,
                         "no noise with multiplier %g on sums of secure aggregation",
                         multiplier);
    }
    return 0;
}

/* The scale of the encoding and the noise. */
static int plan_sum(struct secure *secure, struct error *err)
{
    struct trainer *trainer = secure->trainer;
    const struct spec *spec = secure->spec;
    const struct spec_secagg *secagg = &spec->federation.secagg;
    double multiplier = trainer->is_private ? trainer->plan->price.noise_multiplier : 0;
    uint32_t most = cohort_limit(secure, 1.0);
    double ratio = trainer->is_private ? trainer->threshold.ratio : 0.0;
    bool is_some = spec->federation.compress.is_on;
    int64_t n_sent = is_some ? secure->local->compress->k : trainer->net.n_params;
    n_sent *= scaffold_n_vectors(&spec->federation);
    if (trainer->net.n_params >= INT32_MAX) {
        return error_set(err, PPT_ERANGE,
                         "secure aggregation of more than 2^31 values");
    }
    secure->first_norm =
        trainer->is_private ? spec->privacy.clip_norm : secagg->max_norm;
    secure->vote_weight = 2.0 * ratio * secure->first_norm;
    secure->terms = (struct encode_terms){
        .n_values = (uint32_t)n_sent + votes_are_taken(trainer),
        .clip_norm = secure->first_norm * sqrt(1.0 + ratio * ratio)};
    double noise_std =
        multiplier * secure->terms.clip_norm * excess_of(secure) / sqrt((double)most);
    int rc = encode_scale(&secure->terms, most, (int)secagg->bits, noise_std,
                          SECURE_SPREAD, &secure->terms.scale, err);
    return rc != 0 || !trainer->is_private ? rc : plan_grid(secure, multiplier, err);
}

static int open_share(struct secure *secure,
                      const unsigned char master[CRYPTO_KEY_SIZE], struct error *err)
{
    const struct trainer *trainer = secure->trainer;
    const struct spec_noise *noise = &secure->spec->federation.noise;
    struct share_plan plan = {.kind = noise->kind,
                              .multiplier = trainer->plan->price.noise_multiplier,
                              .sensitivity =
                                  nextafter(encode_bound(&secure->terms), INFINITY),
                              .n_min = noise->min_survivors};
    unsigned char key[CRYPTO_KEY_SIZE];
    draw_key_secret(master, "noise", key);
    int rc = share_open(&secure->share, &plan, secure->terms.n_values,
                        trainer->env->kernels, key, err);
    crypto_wipe(key, sizeof key);
    return rc;
}

int secure_plan(struct secure *secure, const unsigned char master[CRYPTO_KEY_SIZE],
                struct error *err)
{
    int rc = plan_sum(secure, err);
    if (rc == 0 && secure->n_sharers > 0) {
        rc = open_share(secure, master, err);
    }
    return rc != 0 ? rc : check_graphs(secure, err);
}
