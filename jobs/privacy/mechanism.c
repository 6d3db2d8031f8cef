#include "jobs/privacy/mechanism.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "jobs/privacy/amplify.h"
#include "jobs/privacy/divergence.h"
#include "jobs/privacy/random_allocation.h"
#include "jobs/privacy/rdp.h"

static const char *const names[MECHANISM_N_KINDS] = {
    [MECHANISM_GAUSSIAN] = "gaussian",
    [MECHANISM_SUBSAMPLED_GAUSSIAN] = "subsampled-gaussian",
    [MECHANISM_LAPLACE] = "laplace",
    [MECHANISM_DISCRETE_GAUSSIAN] = "discrete-gaussian",
    [MECHANISM_DISCRETE_LAPLACE] = "discrete-laplace",
    [MECHANISM_SKELLAM] = "skellam",
    [MECHANISM_EXPONENTIAL] = "exponential",
    [MECHANISM_RANDOMISED_RESPONSE] = "randomised-response",
    [MECHANISM_NOISY_MAX] = "noisy-max",
    [MECHANISM_SPARSE_VECTOR] = "sparse-vector",
    [MECHANISM_RANDOM_ALLOCATION] = "random-allocation",
    [MECHANISM_PURE] = "pure",
};

static const char *const samplings[SAMPLING_N] = {
    [SAMPLING_NONE] = "none",
    [SAMPLING_POISSON] = "poisson",
    [SAMPLING_WITHOUT_REPLACEMENT] = "without_replacement",
};

#define FIELD(field) #field, offsetof(struct mechanism, field)

static const struct mechanism_parameter noise_multiplier[] = {
    {FIELD(noise_multiplier), RDP_MIN_NOISE, RDP_MAX_NOISE, NAN, false, 1,
     "noise over L2 sensitivity"},
};
static const struct mechanism_parameter laplace[] = {
    {FIELD(scale), 1e-3, 1e9, NAN, false, 1, "of the noise, over L1 sensitivity"},
};
static const struct mechanism_parameter discrete_gaussian[] = {
    {FIELD(scale), 0.05, 1e9, NAN, false, 1, "sigma of the noise"},
    {FIELD(sensitivity), 1e-3, 1e9, 1, false, 0, "in L2"},
};
static const struct mechanism_parameter discrete_laplace[] = {
    {FIELD(scale), 1e-2, 1e9, NAN, false, 1, "of the noise"},
    {FIELD(sensitivity), 1, 1e9, 1, true, 0, "in L1"},
};
static const struct mechanism_parameter skellam[] = {
    {FIELD(variance), 0.1, 1e15, NAN, false, 1, "of the noise"},
    {FIELD(sensitivity), 1, 1e7, 1, false, 0, "in L2"},
    {FIELD(sensitivity_l1), 1, 1e9, 1, false, 0, "in L1"},
};
static const struct mechanism_parameter exponential[] = {
    {FIELD(epsilon), 1e-6, 100, NAN, false, -1, "weights are e^{epsilon u/2 sens.}"},
};
static const struct mechanism_parameter randomised_response[] = {
    {FIELD(flip), 1e-9, 1, NAN, false, 1, "chance of a uniform answer"},
    {FIELD(categories), 2, 1e9, 2, true, 0, "possible answers"},
};
static const struct mechanism_parameter noisy_max[] = {
    {FIELD(scale), 2e-2, 1e6, NAN, false, 1, "of the noise, over the sensitivity"},
    {FIELD(monotone), 0, 1, 0, true, 0, "1: all scores move the same way"},
};
static const struct mechanism_parameter sparse_vector[] = {
    {FIELD(threshold_scale), 2e-2, 1e6, NAN, false, 1, "threshold's noise"},
    {FIELD(query_scale), 2e-2, 1e6, NAN, false, 1, "each score's noise"},
    {FIELD(cutoff), 1, 1e6, 1, true, 0, "how often it may say \"above\""},
    {FIELD(monotone), 0, 1, 0, true, 0, "1: all scores move the same way"},
};

static const struct mechanism_parameter random_allocation[] = {
    {FIELD(noise_multiplier), RDP_MIN_NOISE, RDP_MAX_NOISE, NAN, false, 1,
     "of each step, over L2 sensitivity"},
    {FIELD(bins), 1, RANDOM_ALLOCATION_MAX_BINS, NAN, true, 0, "steps an epoch"},
};

static const struct mechanism_parameter pure[] = {
    {FIELD(epsilon), 1e-6, 100, NAN, false, -1, "the largest loss"},
};

#define ROWS(table)                                                                    \
    {                                                                                  \
        table, sizeof(table) / sizeof *(table)                                         \
    }

static const struct {
    const struct mechanism_parameter *rows;
    size_t n;
} tables[MECHANISM_N_KINDS] = {
    [MECHANISM_GAUSSIAN] = ROWS(noise_multiplier),
    [MECHANISM_SUBSAMPLED_GAUSSIAN] = ROWS(noise_multiplier),
    [MECHANISM_LAPLACE] = ROWS(laplace),
    [MECHANISM_DISCRETE_GAUSSIAN] = ROWS(discrete_gaussian),
    [MECHANISM_DISCRETE_LAPLACE] = ROWS(discrete_laplace),
    [MECHANISM_SKELLAM] = ROWS(skellam),
    [MECHANISM_EXPONENTIAL] = ROWS(exponential),
    [MECHANISM_RANDOMISED_RESPONSE] = ROWS(randomised_response),
    [MECHANISM_NOISY_MAX] = ROWS(noisy_max),
    [MECHANISM_SPARSE_VECTOR] = ROWS(sparse_vector),
    [MECHANISM_RANDOM_ALLOCATION] = ROWS(random_allocation),
    [MECHANISM_PURE] = ROWS(pure),
};

static int find(const char *name, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (name != NULL && strcmp(name, words[i]) == 0)
            return i;
    return -1;
}

const char *mechanism_name(enum mechanism_kind kind)
{
    return names[kind];
}

int mechanism_from_name(const char *name)
{
    return find(name, names, MECHANISM_N_KINDS);
}

const char *mechanism_sampling_name(enum mechanism_sampling sampling)
{
    return samplings[sampling];
}

int mechanism_sampling_from_name(const char *name)
{
    return find(name, samplings, SAMPLING_N);
}

const struct mechanism_parameter *mechanism_parameters(enum mechanism_kind kind,
                                                       int *ret_n)
{
    *ret_n = (int)tables[kind].n;
    return tables[kind].rows;
}

double *mechanism_value(struct mechanism *mechanism,
                        const struct mechanism_parameter *parameter)
{
    return (double *)((char *)mechanism + parameter->offset);
}

struct mechanism mechanism_default(enum mechanism_kind kind)
{
    struct mechanism m = {.kind = kind, .sample_rate = 1};
    for (size_t i = 0; i < tables[kind].n; i++)
        *mechanism_value(&m, &tables[kind].rows[i]) = tables[kind].rows[i].otherwise;
    if (kind == MECHANISM_SUBSAMPLED_GAUSSIAN)
        m.sampling = SAMPLING_POISSON;
    if (kind == MECHANISM_RANDOMISED_RESPONSE)
        m.relation = RELATION_REPLACE_ONE;
    return m;
}

/* The kind that is a sampled Gaussian by name needs no word about sampling. */
static enum mechanism_sampling sampling_of(const struct mechanism *m)
{
    return m->kind == MECHANISM_SUBSAMPLED_GAUSSIAN ? SAMPLING_POISSON : m->sampling;
}

static int check_parameter(struct mechanism m, const struct mechanism_parameter *p,
                           struct error *err)
{
    double value = *mechanism_value(&m, p);
    if (!(value >= p->low && value <= p->high))
        return error_set(err, PPT_ERANGE, "%s is %g, expected a number in [%g, %g]",
                         p->name, value, p->low, p->high);
    if (p->is_whole && value != floor(value))
        return error_set(err, PPT_ERANGE,
                         "%s is %g, expected a whole number in [%g, %g]", p->name,
                         value, p->low, p->high);
    return 0;
}

static int check_sampling(const struct mechanism *m, struct error *err)
{
    enum mechanism_sampling sampling = sampling_of(m);
    if ((unsigned)sampling >= SAMPLING_N)
        return error_set(err, PPT_ERANGE, "sampling is number %d, expected 0 to %d",
                         (int)sampling, SAMPLING_N - 1);
    if (m->kind == MECHANISM_RANDOM_ALLOCATION && sampling != SAMPLING_NONE)
        return error_set(err, PPT_ERANGE,
                         "sampling is %s, expected none: the bins are the sample",
                         samplings[sampling]);
    if (sampling == SAMPLING_NONE && m->sample_rate != 1) {
        int rc = error_set(
            err, PPT_ERANGE,
            "sample_rate is %g, expected 1 for the %s mechanism without sampling",
            m->sample_rate, names[m->kind]);
        error_hint(err, "say how the records are sampled: poisson or "
                        "without_replacement");
        return rc;
    }
    if (!(m->sample_rate >= RDP_MIN_RATE && m->sample_rate <= 1))
        return error_set(err, PPT_ERANGE,
                         "sample_rate is %g, expected a number in [2^-53, 1]",
                         m->sample_rate);
    return 0;
}

static int check_relation(const struct mechanism *m, struct error *err)
{
    if ((unsigned)m->relation >= RELATION_N)
        return error_set(err, PPT_ERANGE, "relation is number %d, expected 0 to %d",
                         (int)m->relation, RELATION_N - 1);
    enum mechanism_sampling sampling = sampling_of(m);
    if (sampling == SAMPLING_POISSON && m->relation != RELATION_ADD_REMOVE)
        return error_set(err, PPT_ERANGE,
                         "relation is %s, expected add_remove under poisson sampling",
                         relation_name(m->relation));
    if (sampling == SAMPLING_WITHOUT_REPLACEMENT &&
        m->relation != RELATION_REPLACE_ONE) {
        int rc =
            error_set(err, PPT_ERANGE,
                      "relation is %s, expected replace_one under sampling without "
                      "replacement",
                      relation_name(m->relation));
        error_hint(err, "a batch of fixed size hides nobody's presence; its noise is "
                        "measured over the replace-one sensitivity");
        return rc;
    }
    if (m->kind == MECHANISM_RANDOM_ALLOCATION && m->relation != RELATION_ADD_REMOVE)
        return error_set(err, PPT_ERANGE,
                         "relation is %s, expected add_remove for random-allocation",
                         relation_name(m->relation));
    if (m->kind == MECHANISM_RANDOMISED_RESPONSE && m->relation != RELATION_REPLACE_ONE)
        return error_set(err, PPT_ERANGE,
                         "relation is %s, expected replace_one for randomised-response:"
                         " it hides an answer, not that there is one",
                         relation_name(m->relation));
    return 0;
}

int mechanism_check(const struct mechanism *mechanism, struct error *err)
{
    if ((unsigned)mechanism->kind >= MECHANISM_N_KINDS)
        return error_set(err, PPT_ERANGE, "mechanism is number %d, expected 0 to %d",
                         (int)mechanism->kind, MECHANISM_N_KINDS - 1);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < tables[mechanism->kind].n; i++)
        rc = check_parameter(*mechanism, &tables[mechanism->kind].rows[i], err);
    if (rc == 0)
        rc = check_sampling(mechanism, err);
    if (rc == 0)
        rc = check_relation(mechanism, err);
    if (rc == 0 && mechanism->kind == MECHANISM_DISCRETE_GAUSSIAN) {
        double ratio = mechanism->scale / mechanism->sensitivity;
        if (!(ratio >= RDP_MIN_NOISE && ratio <= RDP_MAX_NOISE))
            rc = error_set(err, PPT_ERANGE,
                           "scale over sensitivity is %g, expected a number in "
                           "[%g, %g]",
                           ratio, RDP_MIN_NOISE, RDP_MAX_NOISE);
    }
    if (rc == 0 && mechanism->kind == MECHANISM_SKELLAM &&
        !(mechanism->sensitivity_l1 >= mechanism->sensitivity))
        rc = error_set(err, PPT_ERANGE,
                       "sensitivity_l1 is %g, expected at least sensitivity, which is "
                       "%g: L1 is never below L2",
                       mechanism->sensitivity_l1, mechanism->sensitivity);
    return rc;
}

/* The largest loss over all the data. Sparse vector: Lyu, Su, Li 2017 (arXiv
 * 1603.01699), with e1 = 1/threshold_scale and e2 = 2 cutoff/query_scale (half of it if
 * monotone). Noisy max: Dwork, Roth 2014, Claim 3.9, for Laplace noise; Ding et al.
 * 2021 (arXiv 2105.07260) for exponential noise. */
static double whole_loss(const struct mechanism *m)
{
    double moves = m->monotone == 1 ? 1 : 2;
    switch (m->kind) {
    case MECHANISM_LAPLACE:
        return 1 / m->scale;
    case MECHANISM_DISCRETE_LAPLACE:
        return m->sensitivity / m->scale;
    case MECHANISM_EXPONENTIAL:
    case MECHANISM_PURE:
        return m->epsilon;
    case MECHANISM_RANDOMISED_RESPONSE:
        return log1p(m->categories * (1 - m->flip) / m->flip);
    case MECHANISM_NOISY_MAX:
        return moves / m->scale;
    case MECHANISM_SPARSE_VECTOR:
        return 1 / m->threshold_scale + moves * m->cutoff / m->query_scale;
    default:
        return INFINITY;
    }
}

/* One release over all the data. */
static double whole_rho(const void *context, double alpha)
{
    const struct mechanism *m = context;
    switch (m->kind) {
    case MECHANISM_GAUSSIAN:
    case MECHANISM_SUBSAMPLED_GAUSSIAN:
        return divergence_gaussian(alpha, m->noise_multiplier);
    case MECHANISM_LAPLACE:
        return divergence_laplace(alpha, 1 / m->scale);
    case MECHANISM_DISCRETE_GAUSSIAN:
        return divergence_gaussian(alpha, m->scale / m->sensitivity);
    case MECHANISM_DISCRETE_LAPLACE:
        return divergence_discrete_laplace(alpha, m->scale, m->sensitivity);
    case MECHANISM_SKELLAM:
        return divergence_skellam(alpha, m->variance, m->sensitivity_l1,
                                  m->sensitivity);
    case MECHANISM_EXPONENTIAL:
        return divergence_bounded_range(alpha, m->epsilon);
    case MECHANISM_RANDOMISED_RESPONSE:
        return divergence_two_point(alpha, whole_loss(m),
                                    1 - m->flip * (1 - 1 / m->categories));
    default: /* nothing but the largest loss is known */
        return divergence_pure(alpha, whole_loss(m));
    }
}

static bool is_gaussian(const struct mechanism *m)
{
    return m->kind == MECHANISM_GAUSSIAN || m->kind == MECHANISM_SUBSAMPLED_GAUSSIAN;
}

void mechanism_rho(const struct mechanism *mechanism, const double *alphas, int n,
                   double *ret_rho)
{
    const struct mechanism *m = mechanism;
    enum mechanism_sampling sampling =
        m->sample_rate < 1 ? sampling_of(m) : SAMPLING_NONE;
    struct amplify_base base = {whole_rho, m, whole_loss(m),
                                is_gaussian(m) ? m->noise_multiplier : 0};
    if (m->kind == MECHANISM_RANDOM_ALLOCATION)
        random_allocation_rho(m->noise_multiplier, (int64_t)m->bins, alphas, n,
                              ret_rho);
    else if (is_gaussian(m) && sampling != SAMPLING_WITHOUT_REPLACEMENT)
        rdp_subsampled_gaussian_curve(alphas, n, m->noise_multiplier, m->sample_rate,
                                      ret_rho);
    else if (sampling == SAMPLING_POISSON)
        amplify_poisson(&base, m->sample_rate, alphas, n, ret_rho);
    else if (sampling == SAMPLING_WITHOUT_REPLACEMENT)
        amplify_without_replacement(&base, m->sample_rate, alphas, n, ret_rho);
    else
        for (int i = 0; i < n; i++)
            ret_rho[i] = whole_rho(m, alphas[i]);
}

/* log(1 + q (e^loss - 1)), for a Poisson sample as for one without replacement: Balle,
 * Barthe, Gaboardi 2018 (arXiv 1807.01647), Theorems 8 and 9. */
double mechanism_pure_epsilon(const struct mechanism *mechanism)
{
    double loss = whole_loss(mechanism), q = mechanism->sample_rate;
    if (isinf(loss))
        return INFINITY;
    double sampled =
        loss > 30 ? loss + log(q + (1 - q) * exp(-loss)) : log1p(q * expm1(loss));
    return sampled * (1 + 8 * DBL_EPSILON);
}

int mechanism_curve(const struct mechanism *mechanism, enum privacy_unit unit,
                    struct curve *ret_curve, struct error *err)
{
    int rc = mechanism_check(mechanism, err);
    if (rc != 0)
        return rc;
    *ret_curve = (struct curve){.unit = unit, .relation = mechanism->relation};
    mechanism_rho(mechanism, cost_orders, COST_N_ORDERS, ret_curve->rho);
    return 0;
}
