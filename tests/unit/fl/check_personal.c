/* Models of the clients' own: what is held out is trained on by nobody, they are the
 * same on any number of ranks, and on clients with few labels they do better. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/fl_run.h"
#include "jobs/fl/personal.h"
#include "jobs/model/net.h"
#include "tests/unit/dp/world.h"

enum { N_CLIENTS = 20, ROUNDS = 10 };

static struct world_data train, test;
static struct manifest manifest;
static struct spec spec;
static struct plan plan;
static char notes[65536];

/* Blobs that overlap, on clients that have two labels or so of six. */
static void setup(void)
{
    int64_t dims[1] = {12};
    train = world_blobs(1200, 12, 6, 1.6, 1);
    test = world_blobs(60, 12, 6, 1.6, 2);
    manifest = world_manifest(train.n, test.n, 1, dims, 6);
    spec = world_spec(PRESET_MLP, false);
    spec.kind = JOB_FL;
    spec.resources.memory_bytes = 1 << 30;
    spec.training.batch_size = 10;
    spec.training.epochs = 2;
    spec.federation = (struct spec_federation){
        .rounds = ROUNDS,
        .partition = PARTITION_SHARDS,
        .clients = N_CLIENTS,
        .shards = 2,
        .cohort = 8,
        .selection = SELECTION_FIXED,
        .server = {.learning_rate = 1.0},
        .personal = {.is_on = true, .epochs = 5, .holdout = 0.25, .alpha = 0.5}};
    plan = world_plan(&spec, &manifest, 0.0, ROUNDS);
    plan.price.sample_rate = 8.0 / N_CLIENTS;
}

static void teardown(void)
{
    world_data_free(&train);
    world_data_free(&test);
}

static struct world run_on(int size)
{
    struct world world = {.size = size,
                          .train = &train,
                          .test = &test,
                          .plan = &plan,
                          .spec = &spec,
                          .manifest = &manifest,
                          .run = fl_run,
                          .is_whole = true,
                          .notes = notes,
                          .notes_size = sizeof notes};
    memset(notes, 0, sizeof notes);
    world_run(&world);
    return world;
}

static struct world run_well(int size)
{
    struct world world = run_on(size);
    for (int r = 0; r < size; r++) {
        ck_assert_msg(world.rc[r] == 0, "rank %d: %s", r, world.err[r].text);
    }
    return world;
}

/* The journal's last line. */
static const char *outcome_line(void)
{
    char *line = strstr(notes, "{\"attempt\": 1, \"round\": 10, \"personal\"");
    ck_assert_msg(line != NULL, "%s", notes);
    return line;
}

static double figure(const char *line, const char *whose, const char *name)
{
    char key[64];
    const char *at = strstr(line, whose);
    ck_assert_ptr_nonnull(at);
    snprintf(key, sizeof key, "\"%s\": ", name);
    at = strstr(at, key);
    ck_assert_ptr_nonnull(at);
    return strtod(at + strlen(key), NULL);
}

static void use_kind(enum spec_personal_kind kind)
{
    spec.federation.personal.kind = kind;
    spec.federation.personal.lambda = kind == PERSONAL_DITTO ? 0.5 : 0.0;
}

START_TEST(the_same_for_any_ranks)
{
    static const int sizes[] = {2, 3, 8};
    use_kind((enum spec_personal_kind)_i);
    struct world one = run_well(1);
    char *first = strdup(outcome_line());
    ck_assert_ptr_nonnull(
        strstr(first, spec_personal_name(spec.federation.personal.kind)));
    for (int i = 0; i < 3; i++) {
        struct world many = run_well(sizes[i]);
        ck_assert_str_eq(first, outcome_line());
        ck_assert_mem_eq(one.model, many.model,
                         (size_t)one.n_model * sizeof *one.model);
        world_free(&many);
    }
    world_free(&one);
    free(first);
}
END_TEST

/* Two labels a client: a model of its own needs to tell no more apart. */
START_TEST(few_labels_are_told_apart_better)
{
    for (int kind = 0; kind < PERSONAL_N; kind++) {
        use_kind((enum spec_personal_kind)kind);
        struct world world = run_well(2);
        const char *line = outcome_line();
        double common = figure(line, "\"common\"", "mean");
        double own = figure(line, "\"own\"", "mean");
        ck_assert_msg(own > common + 0.05, "%s: %g, %g",
                      spec_personal_name((enum spec_personal_kind)kind), common, own);
        ck_assert(figure(line, "\"own\"", "p10") <= figure(line, "\"own\"", "median"));
        ck_assert(figure(line, "\"own\"", "median") <= figure(line, "\"own\"", "p90"));
        ck_assert_double_eq(figure(line, "\"personal\"", "clients"), N_CLIENTS);
        ck_assert_double_eq(figure(line, "\"personal\"", "held_out"), 1200 / 4);
        world_free(&world);
    }
}
END_TEST

/* Without a pull ditto is fine-tuning; the stronger it is, the nearer the common model.
 */
START_TEST(ditto_stays_near)
{
    use_kind(PERSONAL_FINE_TUNE);
    struct world tuned = run_well(1);
    char *free_line = strdup(strstr(outcome_line(), "\"clients\""));
    use_kind(PERSONAL_DITTO);
    spec.federation.personal.lambda = 0.0;
    struct world loose = run_well(1);
    ck_assert_str_eq(free_line, strstr(outcome_line(), "\"clients\""));
    /* a pull that undoes each step but for the last gradient */
    spec.federation.personal.lambda = 1.0 / spec.training.learning_rate;
    struct world tight = run_well(1);
    const char *line = outcome_line();
    double gain = figure(line, "\"own\"", "mean") - figure(line, "\"common\"", "mean");
    double free_gain =
        figure(free_line, "\"own\"", "mean") - figure(free_line, "\"common\"", "mean");
    ck_assert_msg(gain < free_gain, "%g, %g", gain, free_gain);
    free(free_line);
    world_free(&tuned);
    world_free(&loose);
    world_free(&tight);
}
END_TEST

/* The common model's last layer is the one that it began with; the others have moved.
 */
START_TEST(fedrep_shares_no_last_layer)
{
    struct net net;
    use_kind(PERSONAL_FEDREP);
    struct world world = run_well(2);
    ck_assert_int_eq(net_build(&spec.model, &manifest.splits[0], false, &net, NULL), 0);
    int64_t head = net.layers[net.n_layers - 1].offset, n_moved = 0;
    float *before = malloc((size_t)net.n_params * sizeof *before);
    net_init(&net, spec.training.seed, before);
    for (int64_t j = 0; j < net.n_params; j++) {
        if (j < head) {
            n_moved += world.model[j] != before[j];
        } else {
            ck_assert(world.model[j] == before[j]);
        }
    }
    ck_assert_int_gt(n_moved, head / 2);
    free(before);
    net_free(&net);
    world_free(&world);
}
END_TEST

/* The labels of what is held out may say anything: the common model is the same. */
START_TEST(nobody_trains_on_what_is_held_out)
{
    use_kind(PERSONAL_FINE_TUNE);
    struct rows rows;
    struct world before = run_well(2);
    spec.federation.partition = PARTITION_IID; /* which asks for no labels */
    struct world sound = run_well(2);
    struct partition partition;
    rows = (struct rows){.n_rows = train.n};
    ck_assert_int_eq(partition_open(&partition, &spec, &rows, NULL), 0);
    ck_assert_int_eq(partition_hold_out(&partition, 0.25, spec.training.seed, NULL), 0);
    int64_t n_held = 0;
    for (int64_t c = 0; c < partition.n_clients; c++) {
        const int64_t *held = partition_held(&partition, c);
        for (int64_t i = 0; i < partition_n_held(&partition, c); i++) {
            ck_assert(i == 0 || held[i] > held[i - 1]);
            train.y[held[i]] = (train.y[held[i]] + 1) % 6;
            n_held++;
        }
    }
    ck_assert_int_eq(n_held, 1200 / 4);
    double sound_mean = figure(outcome_line(), "\"common\"", "mean");
    struct world lying = run_well(2);
    ck_assert_mem_eq(sound.model, lying.model,
                     (size_t)sound.n_model * sizeof *sound.model);
    ck_assert(figure(outcome_line(), "\"common\"", "mean") < sound_mean - 0.2);
    partition_close(&partition);
    world_free(&before);
    world_free(&sound);
    world_free(&lying);
}
END_TEST

START_TEST(quantiles)
{
    double values[] = {5, 1, 4, 2, 3, 10, 9, 8, 7, 6};
    ck_assert(personal_quantile(values, 10, 0.1) == 1);
    ck_assert(personal_quantile(values, 10, 0.5) == 5);
    ck_assert(personal_quantile(values, 10, 0.9) == 9);
    ck_assert(personal_quantile(values, 10, 1) == 10);
    ck_assert(personal_quantile(values, 10, 0) == 1);
    ck_assert(personal_quantile(values, 1, 0.9) == 1);
}
END_TEST

/* Clients of three records hold none out of a quarter; private jobs tell of nobody. */
START_TEST(refused)
{
    use_kind(PERSONAL_FINE_TUNE);
    spec.federation.partition = PARTITION_IID;
    spec.federation.clients = 400;
    plan.price.sample_rate = 8.0 / 400;
    struct world world = run_on(2);
    ck_assert_int_eq(world.rc[0], -PPT_ESPEC);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "no client has enough records"));
    ck_assert_int_eq(world.n_models_saved, 0); /* told before the first round */
    world_free(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("personal");
    TCase *tcase = tcase_create("personal");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, the_same_for_any_ranks, 0, PERSONAL_N);
    tcase_add_test(tcase, few_labels_are_told_apart_better);
    tcase_add_test(tcase, ditto_stays_near);
    tcase_add_test(tcase, fedrep_shares_no_last_layer);
    tcase_add_test(tcase, nobody_trains_on_what_is_held_out);
    tcase_add_test(tcase, quantiles);
    tcase_add_test(tcase, refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
