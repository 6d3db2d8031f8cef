#include "jobs/privacy/compose.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/privacy/fft.h"
#include "jobs/privacy/profile.h"

#define U 0x1p-53

/* What is cut off at each end of the grid and of the window may cost this share of
 * delta. */
#define LOST_SHARE 1e-8

/* Powers below e^-DEAD are set to 0; that error is counted. */
#define DEAD 80.0

#define MIN_POINTS ((size_t)1 << 19)
#define MAX_POINTS ((size_t)1 << 21)

/* Everything decided before the first exact computation. */
struct plan {
    const struct compose_law *law;
    double total;              /* of the counts */
    double epsilon, log_delta; /* the goal and what is expected */
    double saddle;             /* the tilt that belongs to it; errors go by it */
    double theta;              /* the tilt that is used, at most the saddle point's */
    double low, high;          /* window of the sum */
    double top_tilt;           /* of the Chernoff bound at `high` */
    double tolerance;          /* of epsilon, for the grid */
    size_t points;
    struct pmf_layout layouts[COMPOSE_MAX_PAIRS];
};

/* max over x > 0 of e^{-theta x} (1 - e^{-x}). */
static double largest_weight(double theta)
{
    return theta > 0 ? exp(theta * log(theta) - (1 + theta) * log1p(theta)) : 1;
}

/* A tilt and the window it needs. */
struct window {
    double theta, low, high, top_tilt;
};

/* The window under the tilt theta. What lies above it is lost, and bounded without the
 * tilt; its lower end only has to be so low that little of what wraps round from either
 * side comes to lie above epsilon. */
static struct window window_at(const struct plan *plan, const struct profile *profiles,
                               double theta)
{
    const int64_t *counts = plan->law->counts;
    int n = plan->law->n;
    double unused, most = 0, least = 0, lost = -log(LOST_SHARE);
    for (int j = 0; j < n; j++) {
        most += (double)counts[j] * plan->layouts[j].high;
        least += (double)counts[j] * plan->layouts[j].low;
    }
    struct window window = {.theta = theta};
    window.high = profile_chernoff(
        profiles, counts, n, 0, fmax(lost - plan->log_delta, 5), 1, &window.top_tilt);
    window.high = fmin(window.high, most);
    /* delta in the tilted law, and how rare that makes what may be lost */
    double log_mgf = profile_tilted(profiles, counts, n, theta).log_mgf;
    double tilted = plan->log_delta - log_mgf + theta * plan->epsilon;
    double rarity = fmin(fmax(log(largest_weight(theta)) + lost - tilted, 5), 100);
    double above = fmax(window.high - plan->epsilon, 0);
    double high = profile_chernoff(profiles, counts, n, theta, rarity, 1, &unused);
    double low = profile_chernoff(profiles, counts, n, theta,
                                  fmax(rarity - theta * above, 5), -1, &unused);
    double far = profile_chernoff(profiles, counts, n, theta, rarity, -1, &unused);
    window.low = fmax(fmin(low, far + above), least);
    window.low = fmin(window.low, plan->epsilon - fmax(high - window.high, 0));
    window.low = fmin(window.low, window.high);
    return window;
}

/* The saddle point's tilt makes error terms smallest, but lifts heavy tails, which
 * widens the window. A little less tilt costs a factor of e^{k^2/2} in the former and
 * may gain much in the latter. */
static void plan_window(struct plan *plan, const struct profile *profiles,
                        const struct compose_goal *goal)
{
    struct profile_moments moments =
        profile_tilted(profiles, plan->law->counts, plan->law->n, plan->saddle);
    double less = 1 / sqrt(fmax(moments.variance, 1e-300));
    struct window best = window_at(plan, profiles, plan->saddle);
    for (int k = 1; k <= 2 && best.theta > 0; k++) {
        double theta = fmax(0, plan->saddle - k * less);
        struct window window = window_at(plan, profiles, theta);
        if (window.high - window.low < best.high - best.low)
            best = window;
    }
    double width = fmax(best.high - best.low, 1e-12);
    /* what is asked for has to be inside, unless it is hopelessly far below */
    double floor_wanted = goal->is_delta ? 0 : goal->epsilon;
    if (best.low > floor_wanted && (plan->saddle == 0 || !goal->is_delta))
        best.low = fmax(floor_wanted, best.low - 4 * width);
    plan->theta = best.theta;
    plan->low = best.low;
    plan->high = fmax(best.high, best.low + 1e-12);
    plan->top_tilt = best.top_tilt;
    plan->tolerance = 1e-5 + 1e-4 * fmax(plan->epsilon, 0);
}

/* Each pair's range at which what is cut off costs LOST_SHARE of delta, and its
 * sketch. */
static void plan_ranges(struct plan *plan, double delta, struct profile *profiles)
{
    for (int j = 0; j < plan->law->n; j++) {
        struct pmf_layout *layout = &plan->layouts[j];
        if (plan->law->pmf != NULL) {
            const struct pmf *pmf = plan->law->pmf;
            layout->low = (double)pmf->index[0] * pmf->step;
            layout->high = (double)pmf->index[pmf->n - 1] * pmf->step;
            profile_of_pmf(pmf, &profiles[j]);
            continue;
        }
        pmf_range(&plan->law->pairs[j], LOST_SHARE * delta / plan->total, &layout->low,
                  &layout->high);
        profile_fill(&plan->law->pairs[j], layout->low, layout->high, &profiles[j]);
    }
}

/* The tilt, and whichever of epsilon and delta nobody knows, as sketched. */
static void plan_tilt(struct plan *plan, const struct profile *profiles,
                      const struct compose_goal *goal)
{
    const int64_t *counts = plan->law->counts;
    int n = plan->law->n;
    bool knows_both = goal->delta > 0 && goal->epsilon > 0;
    double log_delta = log(goal->delta > 0 ? goal->delta : COMPOSE_MIN_DELTA);
    plan->saddle = profile_tilt_for_delta(profiles, counts, n, log_delta);
    if (!goal->is_delta) /* further out than COMPOSE_MIN_DELTA nothing is resolved */
        plan->saddle = fmin(
            plan->saddle, profile_tilt_for_epsilon(profiles, counts, n, goal->epsilon));
    else if (knows_both)
        plan->saddle = profile_tilt_for_epsilon(profiles, counts, n, goal->epsilon);
    struct profile_moments moments = profile_tilted(profiles, counts, n, plan->saddle);
    plan->epsilon = goal->is_delta && !knows_both ? moments.mean : goal->epsilon;
    plan->log_delta = goal->delta > 0
                          ? log_delta
                          : fmin(0, profile_log_delta(&moments, plan->saddle));
}

/* h so that total h^2 (1 + theta)/12 stays below the tolerance, or as fine as the
 * longest transform allows; finer where that costs nothing, but not so fine that a
 * loss's index grows past 2^28. Rounded up to 24 bits. */
static double grid_step(struct plan *plan)
{
    double wanted = sqrt(12 * plan->tolerance / (plan->total * (1 + plan->saddle)));
    double width = (plan->high - plan->low) * 1.02;
    plan->points = MIN_POINTS;
    while (plan->points < MAX_POINTS && (double)plan->points * wanted < width)
        plan->points *= 2;
    /* splitting cells spreads the sum by up to sqrt(total)/2 steps' deviation */
    double points = (double)plan->points;
    double spread = fmin(64 + 12 * sqrt(plan->total), 0.6 * points);
    double step = fmax(width / (points - spread), wanted / 1024);
    for (int j = 0; j < plan->law->n; j++) {
        const struct pmf_layout *layout = &plan->layouts[j];
        step = fmax(step, fmax(fabs(layout->low), fabs(layout->high)) * 0x1p-28);
    }
    int exponent;
    double mantissa = frexp(step, &exponent);
    return ldexp(ceil(ldexp(mantissa, 24)), exponent - 24);
}

/* The same where the step is given. */
static int fixed_step(struct plan *plan, double *ret_step, struct error *err)
{
    double step = plan->law->pmf->step;
    double spread = 64 + 12 * sqrt(plan->total);
    double needed = (plan->high - plan->low) * 1.02 / step + spread;
    if (needed > (double)MAX_POINTS)
        return error_set(err, PPT_ERANGE,
                         "a sum of losses from %g to %g has no room on a grid of %g",
                         plan->low, plan->high, step);
    plan->points = 1024;
    while ((double)plan->points < needed)
        plan->points *= 2;
    *ret_step = step;
    return 0;
}

/* Cells far out are wider: as much as costs epsilon 1e-5 of the tolerance. */
static double grid_growth(const struct plan *plan, const struct profile *profiles)
{
    double square =
        profile_square(profiles, plan->law->counts, plan->law->n, plan->saddle);
    double growth =
        sqrt(1.2e-4 * plan->tolerance / ((1 + plan->saddle) * square + 1e-300));
    return fmin(growth, 0x1p-7);
}

static int plan_make(const struct compose_goal *goal, struct plan *plan,
                     struct error *err)
{
    struct profile *profiles = malloc((size_t)plan->law->n * sizeof *profiles);
    if (profiles == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for %d profiles", plan->law->n);
    plan_ranges(plan, goal->delta > 0 ? goal->delta : COMPOSE_MIN_DELTA, profiles);
    plan_tilt(plan, profiles, goal);
    if (!(goal->delta > 0)) { /* now that it is roughly known, cut off less far out */
        plan_ranges(plan, fmax(exp(plan->log_delta), COMPOSE_MIN_DELTA), profiles);
        plan_tilt(plan, profiles, goal);
    }
    plan_window(plan, profiles, goal);
    double step = 0, growth = grid_growth(plan, profiles);
    int rc = 0;
    if (plan->law->pmf != NULL)
        rc = fixed_step(plan, &step, err);
    else
        step = grid_step(plan);
    if (rc != 0)
        goto out;
    /* a sketch finer than the grid may ask for more than splitting leaves */
    plan->top_tilt = fmin(plan->top_tilt, 24 / (sqrt(plan->total) * step));
    for (int j = 0; j < plan->law->n; j++) {
        plan->layouts[j].step = step;
        plan->layouts[j].growth = growth;
    }
out:
    free(profiles);
    return rc;
}

/* What the spectrum of the sum is built up in. */
struct spectrum {
    size_t points;    /* reals; points/2 + 1 frequencies */
    double *sum;      /* product of the powers so far */
    double *work;     /* one pair's transform */
    double *log_peak; /* log of prod_j m_j^T_j, m_j >= |F_j| whatever rounding did */
    double *spread;   /* sum_j (T_j E_j/m_j)^2, E_j the transform's l2 error */
    int n_factors;
};

static void spectrum_free(struct spectrum *spectrum)
{
    free(spectrum->sum);
    free(spectrum->work);
    free(spectrum->log_peak);
    free(spectrum->spread);
}

static int spectrum_new(size_t points, struct spectrum *ret_spectrum, struct error *err)
{
    size_t n = points + 2, half = points / 2 + 1;
    struct spectrum spectrum = {.points = points,
                                .sum = malloc(n * sizeof(double)),
                                .work = malloc(n * sizeof(double)),
                                .log_peak = calloc(half, sizeof(double)),
                                .spread = calloc(half, sizeof(double))};
    if (!spectrum.sum || !spectrum.work || !spectrum.log_peak || !spectrum.spread) {
        spectrum_free(&spectrum);
        return error_set(err, PPT_ENOMEM, "no memory for a grid of %zu losses", points);
    }
    *ret_spectrum = spectrum;
    return 0;
}

/* (re, im)^count by squaring: count - 1 products, each right to 2.42 u, and every
 * factor's error enters once, so the power is right to 2.42 u count. */
static void power(double re, double im, int64_t count, double *ret_re, double *ret_im)
{
    double x = 1, y = 0;
    for (;; count >>= 1) {
        if (count & 1) {
            double held = x * re - y * im;
            y = x * im + y * re;
            x = held;
        }
        if (count <= 1)
            break;
        double squared = re * re - im * im;
        im = 2 * re * im;
        re = squared;
    }
    *ret_re = x;
    *ret_im = y;
}

/* Multiplies the spectrum by the count-th power of the transform in `work`, whose l2
 * error over all frequencies is at most `error`. */
static void spectrum_times(struct spectrum *spectrum, int64_t count, double error)
{
    double times = (double)count, dead = exp(-2 * DEAD / times);
    bool is_first = spectrum->n_factors++ == 0;
    for (size_t k = 0; k <= spectrum->points / 2; k++) {
        double re = spectrum->work[2 * k], im = spectrum->work[2 * k + 1];
        double peak = sqrt(re * re + im * im) * (1 + 4 * U) + error;
        double *sum = &spectrum->sum[2 * k];
        if (peak * peak < dead || spectrum->log_peak[k] == -INFINITY) {
            sum[0] = sum[1] = 0;
            spectrum->log_peak[k] = -INFINITY;
            continue;
        }
        double x, y;
        power(re, im, count, &x, &y);
        double held = is_first ? x : sum[0] * x - sum[1] * y;
        sum[1] = is_first ? y : sum[0] * y + sum[1] * x;
        sum[0] = held;
        spectrum->log_peak[k] += times * log(peak);
        double part = times * error / peak;
        spectrum->spread[k] += part * part;
    }
}

/* Bounds on mass - true mass once the spectrum is turned back, at every point (sup) and
 * over all of them (l2), by
 *   |prod F'^T - prod F^T| <= sum_j T_j |F'_j - F_j| M/m_j,  M = prod_j m_j^T_j,
 * Cauchy-Schwarz over frequencies and factors for the former, the largest M/m_j for the
 * latter; both with the powers' own rounding, the dead frequencies, and the inverse
 * transform. */
static void spectrum_errors(const struct spectrum *spectrum, double total,
                            struct composed *composed)
{
    double spread = 0, worst = 0, peaks = 0, peaks_square = 0, square = 0;
    for (size_t k = 0; k <= spectrum->points / 2; k++) {
        if (spectrum->log_peak[k] == -INFINITY)
            continue;
        double weight = k == 0 || k == spectrum->points / 2 ? 1 : 2;
        double peak = exp(spectrum->log_peak[k]) *
                      (1 + 8 * U * (2 + total + fabs(spectrum->log_peak[k])));
        double re = spectrum->sum[2 * k], im = spectrum->sum[2 * k + 1];
        double part = peak * peak * spectrum->spread[k];
        spread += weight * part;
        worst = fmax(worst, part);
        peaks += weight * peak;
        peaks_square += weight * peak * peak;
        square += weight * (re * re + im * im);
    }
    double n = (double)spectrum->points, factors = (double)spectrum->n_factors;
    double rounding = 2.5 * U * (total + factors), dead = exp(-DEAD);
    double back = fft_error(spectrum->points) * sqrt(square / n);
    composed->error =
        1.01 * ((sqrt(factors * spread) + rounding * peaks) / n + dead + back);
    composed->error_l2 =
        1.01 * ((factors * sqrt(worst) + rounding * sqrt(peaks_square)) / sqrt(n) +
                dead * sqrt(n) + back);
}

/* What is known of the sum's upper end. */
struct books {
    double most;       /* no sum is larger */
    double log_mgf;    /* at plan->top_tilt, rounded up */
    double log_finite; /* log of the chance that no loss is infinite, rounded down */
};

/* Puts one pair's tilted masses, folded round, into `work`, and its transform's power
 * into the spectrum. Adds what the pair brings to the composed law's books. */
static int add_pair(const struct plan *plan, int j, struct fft *fft,
                    struct spectrum *spectrum, struct composed *composed,
                    struct books *books, struct error *err)
{
    struct pmf *made = NULL;
    const struct pmf *pmf = plan->law->pmf;
    if (pmf == NULL) {
        int refused = pmf_new(&plan->law->pairs[j], &plan->layouts[j], &made, err);
        if (refused != 0)
            return refused;
        pmf = made;
    }
    int rc = 0;
    double *tilted = malloc(pmf->n * sizeof *tilted);
    if (tilted == NULL) {
        rc = error_set(err, PPT_ENOMEM, "no memory for a grid of %zu losses", pmf->n);
        goto out;
    }
    double times = (double)plan->law->counts[j], square = 0;
    double scale = pmf_log_mgf(pmf, plan->theta);
    double log_mgf = pmf_log_mgf(pmf, plan->top_tilt);
    pmf_tilt(pmf, plan->theta, scale, tilted);
    memset(spectrum->work, 0, (spectrum->points + 2) * sizeof(double));
    for (size_t i = 0; i < pmf->n; i++)
        spectrum->work[pmf->index[i] & (int64_t)(spectrum->points - 1)] += tilted[i];
    for (size_t i = 0; i < spectrum->points; i++)
        square += spectrum->work[i] * spectrum->work[i];
    double norm = sqrt(square * (double)spectrum->points);
    fft_forward(fft, spectrum->work);
    spectrum_times(spectrum, plan->law->counts[j],
                   1.01 * fft_error(spectrum->points) * norm);
    composed->scale += times * scale;
    books->log_finite += times * log1p(-fmin(pmf->infinite, 1));
    composed->shift += times * pmf->shift;
    double largest = (double)pmf->index[pmf->n - 1] * pmf->step;
    books->most += times * largest;
    books->log_mgf += times * (log_mgf + 1e-12 * (1 + fabs(log_mgf)) +
                               8 * U * plan->top_tilt * fabs(largest));
out:
    free(tilted);
    pmf_free(made);
    return rc;
}

/* The spectrum turned back: masses in the order of the window, none below 0. */
static void unfold(const struct spectrum *spectrum, struct fft *fft,
                   struct composed *composed)
{
    fft_inverse(fft, spectrum->sum);
    size_t mask = spectrum->points - 1;
    for (size_t i = 0; i < spectrum->points; i++) {
        double mass = spectrum->sum[((uint64_t)composed->first + i) & mask];
        composed->mass[i] = fmax(mass, 0);
    }
}

static int run_plan(const struct plan *plan, struct composed *composed,
                    struct error *err)
{
    struct spectrum spectrum = {0};
    struct fft *fft = NULL;
    struct books books = {0};
    int rc = fft_new(plan->points, &fft, err);
    if (rc == 0)
        rc = spectrum_new(plan->points, &spectrum, err);
    for (int j = 0; j < plan->law->n && rc == 0; j++)
        rc = add_pair(plan, j, fft, &spectrum, composed, &books, err);
    if (rc != 0)
        goto out;
    composed->mass = malloc(plan->points * sizeof *composed->mass);
    if (composed->mass == NULL) {
        rc = error_set(err, PPT_ENOMEM, "no memory for a grid of %zu losses",
                       plan->points);
        goto out;
    }
    double step = plan->layouts[0].step, top;
    double spare = (double)plan->points - (plan->high - plan->low) / step;
    composed->step = step;
    composed->n = (int64_t)plan->points;
    composed->first = (int64_t)floor(plan->low / step - 0.5 * spare);
    composed->theta = plan->theta;
    top = (double)(composed->first + composed->n) * step;
    /* one infinite loss makes the sum infinite: 1 - prod (1 - m_j)^count_j */
    composed->infinite = -expm1(books.log_finite) * (1 + 1e-12);
    if (top <= books.most + 4 * U * fabs(books.most))
        composed->infinite += exp(books.log_mgf - plan->top_tilt * top) * (1 + 1e-9);
    spectrum_errors(&spectrum, plan->total, composed);
    unfold(&spectrum, fft, composed);
out:
    spectrum_free(&spectrum);
    fft_free(fft);
    return rc;
}

static int check_law(struct plan *plan, struct error *err)
{
    const struct compose_law *law = plan->law;
    assert(law->n >= 1 && law->n <= COMPOSE_MAX_PAIRS);
    assert(law->pmf == NULL || law->n == 1);
    for (int j = 0; j < law->n; j++) {
        int rc = law->pmf == NULL ? pair_check(&law->pairs[j], err) : 0;
        if (rc != 0)
            return rc;
        if (law->counts[j] < 1 || law->counts[j] > COMPOSE_MAX_COUNT)
            return error_set(err, PPT_ERANGE,
                             "%lld releases: expected 1 to %lld, where the bound stays "
                             "sharp",
                             (long long)law->counts[j], (long long)COMPOSE_MAX_COUNT);
        plan->total += (double)law->counts[j];
    }
    return 0;
}

int compose(const struct compose_law *law, const struct compose_goal *goal,
            struct composed *ret_composed, struct error *err)
{
    struct plan plan = {.law = law};
    struct composed composed = {0};
    int rc = check_law(&plan, err);
    if (rc == 0)
        rc = plan_make(goal, &plan, err);
    if (rc == 0)
        rc = run_plan(&plan, &composed, err);
    composed.planned =
        (struct compose_goal){goal->is_delta, exp(plan.log_delta), plan.epsilon};
    composed.saddle = plan.saddle;
    if (rc == 0)
        *ret_composed = composed;
    else
        composed_free(&composed);
    return rc;
}

void composed_free(struct composed *composed)
{
    free(composed->mass);
    composed->mass = NULL;
}

/* Sums over the atoms above point i, kept while i walks down:
 *   gap  = sum_{j>i}  r_j e^{-theta (e_j - e_i)} (1 - e^{-(e_j - e_i)}),
 *   rest = sum_{j>=i} r_j e^{-(theta+1)(e_j - e_i)}. */
struct walk {
    int64_t i;
    double gap, rest;
};

struct decay {
    double slow, fast, lost; /* e^{-theta h}, e^{-(theta+1)h}, 1 - e^{-h} */
    double extra;            /* error terms, in units of gap */
    double slop;             /* relative */
};

static struct decay decay_of(const struct composed *composed)
{
    double h = composed->step, theta = composed->theta;
    struct decay decay = {exp(-theta * h), exp(-(theta + 1) * h), -expm1(-h), 0, 0};
    /* the weights e^{-theta x}(1 - e^{-x}), at most 1 and at most x, summed over the
     * grid, and their l2 norm */
    double n = (double)composed->n, most = fmin(1, n * h), sum = n * most;
    if (theta > 0)
        sum = fmin(sum, 1 / expm1(theta * h) - 1 / expm1((theta + 1) * h) + most);
    decay.extra = fmin(sum * composed->error, sqrt(n) * most * composed->error_l2);
    decay.slop = 16 * U * ((double)composed->n + 4) + 1e-12;
    return decay;
}

static void walk_down(const struct composed *composed, const struct decay *decay,
                      struct walk *walk)
{
    walk->i--;
    walk->gap = decay->slow * (walk->gap + decay->lost * walk->rest);
    walk->rest = composed->mass[walk->i] + decay->fast * walk->rest;
}

/* delta at grid point walk->i, rounded up. */
static double delta_at(const struct composed *composed, const struct decay *decay,
                       const struct walk *walk)
{
    double loss = (double)(composed->first + walk->i) * composed->step;
    double along = composed->theta * loss, exponent = composed->scale - along;
    double slop = decay->slop + 8 * U * (fabs(composed->scale) + fabs(along));
    return exp(exponent) * (walk->gap + decay->extra) * (1 + slop) + composed->infinite;
}

static struct walk walk_start(const struct composed *composed)
{
    return (struct walk){composed->n - 1, 0, composed->mass[composed->n - 1]};
}

/* Between two grid points delta is linear in e^epsilon. */
static double between(const struct composed *composed, double delta, double delta_low,
                      double delta_high, int64_t i)
{
    double part = fmin(1, (delta_low - delta) / (delta_low - delta_high));
    double low = (double)(composed->first + i) * composed->step;
    return low + log1p(part * expm1(composed->step)) * (1 + 16 * U) + 4 * U * fabs(low);
}

int composed_epsilon(const struct composed *composed, double delta, double *ret_epsilon,
                     struct error *err)
{
    enum { STRIDE = 256 };
    struct decay decay = decay_of(composed);
    struct walk walk = walk_start(composed), mark = walk;
    double above = delta_at(composed, &decay, &walk);
    if (!(above <= delta))
        return error_set(err, PPT_ERANGE,
                         "delta %g cannot be told from the method's own error of %g",
                         delta, above);
    /* strides first, then the one that crosses again, point by point */
    while (walk.i > 0 && delta_at(composed, &decay, &walk) <= delta) {
        mark = walk;
        for (int k = 0; k < STRIDE && walk.i > 0; k++)
            walk_down(composed, &decay, &walk);
    }
    double here = above = delta_at(composed, &decay, &mark);
    walk = mark;
    while (walk.i > 0 && here <= delta) {
        above = here;
        walk_down(composed, &decay, &walk);
        here = delta_at(composed, &decay, &walk);
    }
    double epsilon = (double)composed->first * composed->step;
    if (here > delta)
        epsilon = between(composed, delta, here, above, walk.i);
    epsilon = fmax(0, epsilon + composed->shift);
    *ret_epsilon = epsilon > 0 ? nextafter(epsilon, INFINITY) : 0;
    return 0;
}

double composed_delta(const struct composed *composed, double epsilon)
{
    double below = epsilon - composed->shift;
    below -= 4 * U * fabs(below);
    int64_t i = (int64_t)floor(below / composed->step) - composed->first;
    if (i < 0)
        return 1;
    if (i > composed->n - 1) /* above the window */
        return fmin(1, composed->infinite);
    struct decay decay = decay_of(composed);
    struct walk walk = walk_start(composed), over = walk;
    while (walk.i > i) {
        over = walk;
        walk_down(composed, &decay, &walk);
    }
    double above = delta_at(composed, &decay, &over);
    double here = delta_at(composed, &decay, &walk);
    double low = (double)(composed->first + i) * composed->step;
    double part = expm1(fmin(fmax(below - low, 0), composed->step)) /
                  expm1(composed->step) * (1 - 8 * U);
    double delta = here - fmax(part, 0) * (here - above);
    return fmin(1, delta * (1 + 8 * U));
}

/* Was the answer expected elsewhere, by more than a factor of e^2 in delta? Then the
 * window may have been the wrong one. If so, *goal gets the new expectation. */
static bool is_surprising(const struct composed *composed, double answer,
                          struct compose_goal *goal)
{
    const struct compose_goal *planned = &composed->planned;
    double off;
    if (goal->is_delta) {
        off = composed->saddle * fabs(answer - planned->epsilon);
        goal->epsilon = answer;
    } else {
        off = log(planned->delta) - log(fmax(answer, COMPOSE_MIN_DELTA));
        goal->delta = fmax(answer, COMPOSE_MIN_DELTA);
    }
    return off > 2 && answer > 0;
}

int compose_answer(const struct compose_law *law, const struct compose_goal *goal,
                   double *ret_answer, struct composed *ret_last, struct error *err)
{
    enum { MAX_TRIES = 4 };
    struct compose_goal next = *goal;
    double best = INFINITY;
    int rc = 0;
    for (int i = 0; i < MAX_TRIES && rc == 0; i++) {
        struct composed composed;
        double answer = INFINITY;
        rc = compose(law, &next, &composed, err);
        if (rc != 0)
            break;
        if (next.is_delta)
            rc = composed_epsilon(&composed, next.delta, &answer, err);
        else
            answer = composed_delta(&composed, next.epsilon);
        composed_free(&composed);
        best = fmin(best, answer); /* each is a bound */
        *ret_last = composed;
        if (!is_surprising(&composed, answer, &next))
            break;
    }
    if (isinf(best))
        return rc;
    *ret_answer = best;
    return 0;
}
