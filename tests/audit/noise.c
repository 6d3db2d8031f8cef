/* T2: the noise itself, at coordinates where records have no gradient: all of them
 * where there are no records, else the weights of features that no record has. It is as
 * large as was paid for: over m coordinates the sum of squares over the variance is
 * chi-square with m degrees of freedom. So is, at every coordinate, what a step
 * releases less the sums that were sent; and that is normal (Kolmogorov, Smirnov) and
 * without correlation between coordinates, ranks, steps and attempts, of which the
 * second repeats steps of the first.
 *
 * Chance: about 1200 properties are judged at LEVEL, so a sound engine fails a run with
 * a probability below 10^-7; noise that is 2 % too small is missed at m = 230000 with
 * less than 10^-10. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/audit/audit.h"
#include "tests/audit/stats.h"

enum {
    N_FEATURES = 64,
    N_USED = 48, /* the other features are 0 in every record */
    HIDDEN = 512,
    N_CLASSES = 10,
    N_RECORDS = 60,
    N_FIRST = N_FEATURES * HIDDEN,
    N_LAST = HIDDEN * N_CLASSES,
    N_CANARIES = (N_FEATURES - N_USED) * HIDDEN,
    N_PARAMS = N_FIRST + HIDDEN + N_LAST + N_CLASSES,
    N_STEPS = 4,    /* of the first attempt ... */
    N_KEPT = 2,     /* ... of which so many are in the checkpoint */
    N_NOISES = 6,   /* steps 0 .. 3, then 2 and 3 again */
    MAX_PIECES = 24 /* N_NOISES times 4 ranks */
};

static const double LEVEL = 1e-11;
static const double Z_LEVEL = 6.9; /* P(|normal| > 6.9) = 5e-12 */

struct region {
    const char *name;
    int64_t first, n;
};

static const struct region tensors[] = {
    {"everything", 0, N_PARAMS},
    {"first weights", 0, N_FIRST},
    {"first biases", N_FIRST, HIDDEN},
    {"last weights", N_FIRST + HIDDEN, N_LAST},
    {"last biases", N_PARAMS - N_CLASSES, N_CLASSES}};
enum { N_TENSORS = 5 };

static const struct region canaries = {"unused weights", N_FIRST - N_CANARIES,
                                       N_CANARIES};

/* The sums of the last step that was run. */
struct sums {
    pthread_mutex_t lock;
    int64_t n_steps[WORLD_MAX_RANKS];
    double sum[N_STEPS][N_PARAMS];
    size_t n_sent;
};

static struct spec spec;
static struct plan plan;
static struct manifest manifest;
static struct world_data data;
/* In standard deviations: what each step released, and that less what was sent. */
static double released[N_NOISES][N_PARAMS], noise[N_NOISES][N_PARAMS];
static float before[N_PARAMS];
static struct sums sums;

static void add_sum(void *state, int rank, const double *send, size_t n)
{
    (void)state;
    pthread_mutex_lock(&sums.lock);
    int64_t step = sums.n_steps[rank]++;
    sums.n_sent = n;
    for (size_t i = 0; i < N_PARAMS; i++) {
        sums.sum[step][i] += send[i];
    }
    pthread_mutex_unlock(&sums.lock);
}

/* The model after n_steps, from the world's checkpoint if it has one. */
static void run_to(struct world *world, int64_t n_steps, struct meter *meter)
{
    struct plan part = plan;
    memset(sums.n_steps, 0, sizeof sums.n_steps);
    memset(sums.sum, 0, sizeof sums.sum);
    part.price.n_steps = n_steps;
    world->plan = &part;
    world->meter = meter;
    audit_run(world);
    if (world->n_model != N_PARAMS) {
        audit_stop("%lld parameters", (long long)world->n_model);
    }
}

/* What the last of n_local steps of this process did to the model, where the noise
 * should have this multiplier. */
static void keep_noise(const struct world *world, int64_t n_local, double multiplier,
                       int i_noise)
{
    double batch = plan.price.sample_rate * (double)manifest.splits[0].nominal_count;
    double std = multiplier * spec.privacy.clip_norm;
    for (int i = 0; i < N_PARAMS; i++) {
        double moved = ((double)before[i] - (double)world->model[i]) * batch /
                       spec.training.learning_rate;
        released[i_noise][i] = moved / std;
        noise[i_noise][i] = (moved - sums.sum[n_local - 1][i]) / std;
    }
    memcpy(before, world->model, sizeof before);
}

/* Two attempts as after a crash: the first runs all steps and leaves the checkpoint of
 * the second step, the second starts there with fresh keys. Each step is had by running
 * up to it under the same keys. */
static void measure(struct world *world, double multiplier)
{
    struct meter *meter = audit_meter(&plan, 4);
    audit_random(world->noise_key, sizeof world->noise_key);
    audit_random(world->sampling_key, sizeof world->sampling_key);
    run_to(world, 0, meter);
    memcpy(before, world->model, sizeof before);
    for (int64_t n = 1; n <= N_STEPS; n++) {
        free(world->checkpoint);
        world->checkpoint = NULL;
        run_to(world, n, meter);
        keep_noise(world, n, multiplier, (int)n - 1);
    }
    struct world kept = *world;
    world->checkpoint = malloc(kept.checkpoint_len);
    audit_random(world->noise_key, sizeof world->noise_key);
    audit_random(world->sampling_key, sizeof world->sampling_key);
    for (int64_t n = N_KEPT; n <= N_STEPS; n++) {
        memcpy(world->checkpoint, kept.checkpoint, kept.checkpoint_len);
        spec.training.checkpoint_every = 0;
        run_to(world, n, meter);
        if (n == N_KEPT) {
            memcpy(before, world->model, sizeof before);
        } else {
            keep_noise(world, n - N_KEPT, multiplier, N_STEPS + (int)n - N_KEPT - 1);
        }
    }
    free(kept.checkpoint);
    audit_meter_close(meter);
}

static double sum_of_squares(const double *x, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i] * x[i];
    }
    return sum;
}

static void judge_sizes(const char *name, const char *property,
                        double values[N_NOISES][N_PARAMS], const struct region *region)
{
    double all = 0.0, n = (double)region->n, m = n * N_NOISES;
    for (int i = 0; i < N_NOISES; i++) {
        double sum = sum_of_squares(values[i] + region->first, region->n);
        audit_judge(stats_chi2_tail(n, sum) > LEVEL, property,
                    "%s: %s, noise %d: %.4f of what was paid for", name, region->name,
                    i, sqrt(sum / n));
        all += sum;
    }
    double size = sqrt(all / m);
    audit_judge(stats_chi2_tail(m, all) > LEVEL, property,
                "%s: %s: %.4f of what was paid for", name, region->name, size);
    if (strcmp(property, "variance") == 0 && region->n > N_PARAMS / 8) {
        printf("%s, %s: %.4f of the noise that was paid for, %g coordinates\n", name,
               region->name, size, m);
    }
}

static void judge_law(const char *name)
{
    static double sorted[N_NOISES * N_PARAMS];
    double limit = sqrt(0.5 * log(2.0 / LEVEL));
    memcpy(sorted, noise, sizeof sorted);
    double all = stats_kolmogorov(sorted, (size_t)N_NOISES * N_PARAMS);
    audit_judge(all < limit, "law", "%s: Kolmogorov's statistic is %.2f", name, all);
    for (int i = 0; i < N_NOISES; i++) {
        memcpy(sorted, noise[i], sizeof noise[i]);
        double one = stats_kolmogorov(sorted, N_PARAMS);
        audit_judge(one < limit, "law", "%s: noise %d: %.2f", name, i, one);
    }
}

/* Of values, and of sizes: the same draws with other signs are no new draws. */
static void judge_pair(const char *name, const double *a, const double *b, size_t n,
                       const char *words)
{
    static double size_a[N_PARAMS], size_b[N_PARAMS];
    for (size_t i = 0; i < n; i++) {
        size_a[i] = fabs(a[i]);
        size_b[i] = fabs(b[i]);
    }
    double z = stats_correlation(a, b, n),
           z_size = stats_correlation(size_a, size_b, n);
    audit_judge(fabs(z) < Z_LEVEL && fabs(z_size) < Z_LEVEL, "independence",
                "%s: %s: correlations %.4f and %.4f over %zu", name, words,
                z / sqrt((double)n), z_size / sqrt((double)n), n);
}

static void judge_independence(const char *name, int size)
{
    const double *pieces[MAX_PIECES];
    char words[80];
    int n_pieces = 0;
    size_t n_slice = sums.n_sent / (size_t)size;
    size_t n = N_PARAMS - n_slice * (size_t)(size - 1); /* the last one has padding */
    for (int i = 0; i < N_NOISES; i++) {
        for (int r = 0; r < size; r++) {
            pieces[n_pieces++] = noise[i] + (size_t)r * n_slice;
        }
        for (size_t lag = 1; lag <= 4; lag++) {
            snprintf(words, sizeof words, "noise %d and itself %zu on", i, lag);
            judge_pair(name, noise[i], noise[i] + lag, N_PARAMS - lag, words);
        }
    }
    for (int a = 0; a < n_pieces; a++) {
        for (int b = a + 1; b < n_pieces; b++) {
            snprintf(words, sizeof words, "rank %d of noise %d, rank %d of noise %d",
                     a % size, a / size, b % size, b / size);
            judge_pair(name, pieces[a], pieces[b], n, words);
        }
    }
}

static void use(int64_t n_records, double multiplier)
{
    int64_t dims[1] = {N_FEATURES};
    manifest = world_manifest(N_RECORDS, 0, 1, dims, N_CLASSES);
    data = world_blobs(n_records, N_FEATURES, N_CLASSES, 0.5, 3);
    for (int64_t i = 0; i < n_records; i++) {
        memset(data.x + i * N_FEATURES + N_USED, 0,
               (N_FEATURES - N_USED) * sizeof *data.x);
    }
    spec = world_spec(PRESET_MLP, true);
    spec.resources.cores_per_rank = 2; /* noise is drawn in two lanes */
    spec.model.hidden = HIDDEN;
    spec.training.batch_size = N_RECORDS / 2;
    spec.training.learning_rate = N_RECORDS / 2; /* noise moves parameters by about 1 */
    spec.training.checkpoint_every = N_KEPT;
    plan = world_plan(&spec, &manifest, multiplier, N_STEPS);
}

static void audit_world(int size, int64_t n_records, double multiplier,
                        double judged_by)
{
    char name[80];
    struct world world = {.size = size, .spec = &spec, .manifest = &manifest};
    pthread_mutex_init(&sums.lock, NULL);
    use(n_records, multiplier);
    world.train = &data;
    world.on_sum = add_sum;
    measure(&world, judged_by);
    snprintf(name, sizeof name, "%d ranks, %lld records", size, (long long)n_records);
    if (n_records > 0) {
        judge_sizes(name, "variance", released, &canaries);
    }
    for (int t = 0; t < N_TENSORS; t++) {
        if (n_records == 0) {
            judge_sizes(name, "variance", released, &tensors[t]);
        }
        judge_sizes(name, "remainder", noise, &tensors[t]);
    }
    judge_law(name);
    judge_independence(name, size);
    world_free(&world);
    world_data_free(&data);
}

void audit_noise(void)
{
    for (int size = 1; size <= 4; size *= 2) {
        audit_world(size, N_RECORDS, 1.0, 1.0);
        audit_world(size, 0, 1.0, 1.0);
    }
}

void audit_noise_short(void)
{
    audit_world(2, 0, 0.98, 1.0);
}
