/* Lists of consents, and rounds among clients who take their consent back. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "jobs/fl/consent.h"
#include "jobs/fl/fl_run.h"
#include "jobs/privacy/meter.h"
#include "tests/unit/dp/world.h"

enum { N_CLIENTS = 20 };

static struct error err;

static int64_t parse(const char *text, bool by_number, struct consent_entry **entries)
{
    int64_t n = -1;
    int rc = consent_parse(text, strlen(text), by_number, entries, &n, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return n;
}

/* The last word about a name counts; a line that is being written does not yet. */
START_TEST(lists_are_read)
{
    struct consent_entry *entries;
    unsigned char digest[CRYPTO_SHA256_SIZE];
    uint64_t ada;
    ck_assert_int_eq(parse("", false, &entries), 0);
    free(entries);
    ck_assert_int_eq(parse("# numbers\nconsents 7\nregistered 12\r\n\nconsents 12\n"
                           "withdrawn 7\nconsents 3\nwithdrawn 3",
                           true, &entries),
                     3);
    ck_assert(entries[0].client == 3 && entries[0].state == CONSENT_GIVEN);
    ck_assert(entries[1].client == 7 && entries[1].state == CONSENT_WITHDRAWN);
    ck_assert(entries[2].client == 12 && entries[2].state == CONSENT_GIVEN);
    free(entries);
    ck_assert_int_eq(parse("registered ada lovelace\n", false, &entries), 1);
    crypto_sha256("ada lovelace", 12, digest);
    memcpy(&ada, digest, sizeof ada);
    ck_assert(entries[0].client == ada && entries[0].state == CONSENT_REGISTERED);
    free(entries);
}
END_TEST

START_TEST(faults_of_lists_are_named)
{
    static const char *const bad[] = {"consent 7\n",
                                      "consents \n",
                                      "consents\n",
                                      "consents x\n",
                                      "consents 7 8\n",
                                      " consents 7\n",
                                      "consents 1234567890123456789\n"};
    struct consent_entry *entries;
    int64_t n;
    char text[80];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "consents 1\n\n%s", bad[i]);
        ck_assert_int_eq(consent_parse(text, strlen(text), true, &entries, &n, &err),
                         -PPT_EDATA);
        ck_assert_msg(
            strstr(err.text, "consents, line 3: expected \"registered NAME\"") != NULL,
            "%s", err.text);
    }
}
END_TEST

static struct world_data train;
static struct manifest manifest;
static struct spec spec;
static struct plan plan;
static char notes[1 << 16];
static char meter_path[] = "/tmp/check_consent.XXXXXX";

/* Clients 0 .. 19; `but` of them, from the first on, with another word. */
static char *list_of(int but, const char *word)
{
    char *text = calloc(N_CLIENTS, 32);
    for (int c = 0; c < N_CLIENTS; c++) {
        sprintf(text + strlen(text), "%s %d\n", c < but ? word : "consents", c);
    }
    return text;
}

static char *all, *fewer, *few;

static void setup(void)
{
    int64_t dims[1] = {12};
    train = world_blobs(240, 12, 3, 0.8, 1);
    manifest = world_manifest(train.n, 0, 1, dims, 3);
    spec = world_spec(PRESET_LOGISTIC, false);
    spec.kind = JOB_FL;
    spec.training.batch_size = 5;
    spec.training.epochs = 1;
    spec.federation = (struct spec_federation){.rounds = 1,
                                               .partition = PARTITION_IID,
                                               .clients = N_CLIENTS,
                                               .cohort = N_CLIENTS,
                                               .selection = SELECTION_FIXED,
                                               .server.learning_rate = 1.0,
                                               .consent = {true, 10, 0.75}};
    plan = world_plan(&spec, &manifest, 0.0, 1);
    plan.price.sample_rate = 1.0;
    all = list_of(0, "withdrawn");
    fewer = list_of(3, "withdrawn");
    few = list_of(6, "withdrawn");
}

static void teardown(void)
{
    free(all), free(fewer), free(few);
    world_data_free(&train);
    unlink(meter_path);
}

static void use_secagg(void)
{
    spec.federation.aggregation = AGGREGATION_SECAGG;
    spec.federation.secagg = (struct spec_secagg){
        .bits = 24, .max_norm = 4.0, .corrupt = 0.05, .dropout = 0.3, .min_clients = 4};
}

/* A run that sees these lists look by look: of the first round before, between, end. */
static struct world run(int size, const char *const *lists, int n_lists)
{
    struct world world = {.size = size,
                          .train = &train,
                          .plan = &plan,
                          .spec = &spec,
                          .manifest = &manifest,
                          .run = fl_run,
                          .is_whole = true,
                          .consents = lists,
                          .n_consents = n_lists,
                          .notes = notes,
                          .notes_size = sizeof notes};
    notes[0] = '\0';
    if (plan.price.is_private) {
        unlink(meter_path);
        ck_assert_int_eq(meter_create(meter_path, &err), 0);
        ck_assert_int_eq(meter_open(meter_path, 1, &plan.price, &world.meter, &err), 0);
    }
    world_run(&world);
    if (world.meter != NULL) {
        meter_close(world.meter);
    }
    return world;
}

static double distance(const struct world *a, const struct world *b)
{
    double most = 0.0;
    ck_assert_int_eq(a->rc[0], 0);
    ck_assert_int_eq(b->rc[0], 0);
    for (int64_t j = 0; j < a->n_model; j++) {
        most = fmax(most, fabs((double)a->model[j] - (double)b->model[j]));
    }
    return most;
}

/* Who withdraws before, or after having sent but before the sum, leaves no trace in the
 * model; who does so later was in it. In the clear and by secure aggregation. */
START_TEST(who_withdraws_is_excluded)
{
    if (_i == 1) {
        use_secagg();
    }
    const char *never[] = {all}, *before[] = {fewer}, *between[] = {all, fewer},
               *end[] = {all, all, fewer}, *too_late[] = {all, all, all, fewer};
    struct world with = run(2, never, 1), without = run(2, before, 1);
    /* rounding goes by the client, so only the ring's scale could differ */
    double same = _i == 0 ? 0.0 : 1e-5;
    ck_assert_double_gt(distance(&with, &without), 1e-4);
    for (int size = 1; size <= 3; size++) {
        struct world left = run(size, between, 2);
        ck_assert_double_le(distance(&left, &without), same);
        ck_assert_ptr_nonnull(strstr(
            notes,
            "{\"attempt\": 1, \"round\": 1, \"consent\": \"between\", "
            "\"registered\": 20, \"consenting\": 17, \"withdrawn\": 3, \"runs\": "
            "true}\n{\"attempt\": 1, \"round\": 1, \"excluded\": 3}\n"));
        world_free(&left);
    }
    struct world last = run(2, end, 3), late = run(2, too_late, 4);
    ck_assert_double_le(distance(&last, _i == 0 ? &without : &with), 0.0);
    ck_assert_double_le(distance(&late, &with), 0.0);
    world_free(&with), world_free(&without), world_free(&last), world_free(&late);
}
END_TEST

/* Too few, or too small a share, at any of the looks: the job ends with the cause, the
 * decision is in the journal, and no model is there. */
START_TEST(rounds_stop_for_want_of_consent)
{
    const char *lists[] = {all, all, all};
    char word[40];
    bool is_share = _i % 2 == 0;
    int when = _i / 2 % 3;
    if (_i >= 6) {
        use_secagg();
    }
    lists[when] = few;
    if (!is_share) {
        spec.federation.consent = (struct spec_consent){true, 15, 0.1};
    }
    struct world world = run(3, lists, when + 1);
    for (int r = 0; r < 3; r++) {
        ck_assert_int_eq(world.rc[r], -PPT_EPOLICY);
        ck_assert_msg(strstr(world.err[r].text,
                             is_share ? "share_too_small: 14 of 20 registered"
                                      : "too_few_consent: 14 clients consent, at least "
                                        "15 must") != NULL,
                      "%s", world.err[r].text);
    }
    snprintf(word, sizeof word, "\"consent\": \"%s\"",
             when == 0   ? "before"
             : when == 1 ? "between"
                         : "end");
    ck_assert_ptr_nonnull(strstr(notes, word));
    ck_assert_ptr_nonnull(strstr(notes, "\"runs\": false}"));
    ck_assert_int_eq(world.n_models_saved, 0);
    world_free(&world);
}
END_TEST

/* Who is not on the list, or has not said yes, is never asked; a cohort that is too
 * small for it stops the round of a plain job. */
START_TEST(only_who_consents_is_drawn)
{
    char *unsure = list_of(4, "registered");
    const char *lists[] = {unsure};
    spec.federation.rounds = plan.price.n_steps = 4;
    spec.federation.cohort = 12;
    struct world world = run(2, lists, 1);
    ck_assert_int_eq(world.rc[0], 0);
    world_free(&world);
    spec.federation.cohort = 18;
    world = run(2, lists, 1); /* there are 16 */
    ck_assert_int_eq(world.rc[0], 0);
    ck_assert_ptr_nonnull(strstr(notes, "\"round\": 1, \"clients\": 16, \"bytes\": "));
    world_free(&world);
    spec.federation.selection = SELECTION_POISSON;
    plan.price.sample_rate = 0.25;
    world = run(2, lists, 1);
    ck_assert_int_eq(world.rc[0], -PPT_EPOLICY);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "clients of a round consent"));
    world_free(&world);
    free(unsure);
}
END_TEST

/* What went into the first reduction. */
struct seen {
    double sum[64];
};

static void see(void *state, int rank, const double *send, size_t n)
{
    (void)rank;
    struct seen *seen = state;
    for (size_t j = 0; j < n && j < 64; j++) {
        seen->sum[j] += send[j];
    }
}

static struct world_data without_user(int64_t user)
{
    struct world_data some = world_blobs(train.n, 12, 3, 0.8, 1);
    some.users = calloc((size_t)train.n, sizeof *some.users);
    some.n = 0;
    for (int64_t i = 0; i < train.n; i++) {
        if (train.users[i] != user) {
            memcpy(some.x + 12 * some.n, train.x + 12 * i, 12 * sizeof *some.x);
            some.y[some.n] = train.y[i];
            some.users[some.n++] = train.users[i];
        }
    }
    return some;
}

static int64_t id_of(int user)
{
    char name[16];
    unsigned char digest[CRYPTO_SHA256_SIZE];
    int64_t id;
    snprintf(name, sizeof name, "user%d", user);
    crypto_sha256(name, strlen(name), digest);
    memcpy(&id, digest, sizeof id);
    return id;
}

/* A private job whose user 0 withdraws in the middle of the round sums up what it would
 * without that user in the data set; and nothing in its journal or its end tells
 * whether the user was in it. With user 1 in or out the sum moves by the clip norm. */
START_TEST(a_private_round_is_one_over_who_consents)
{
    char before[1024] = "", after[1024] = "", first_notes[4096];
    train.users = calloc((size_t)train.n, sizeof *train.users);
    for (int64_t i = 0; i < train.n; i++) {
        train.users[i] = id_of((int)(i % 12));
    }
    for (int u = 0; u < 40; u++) { /* of whom 12 are in the data set */
        sprintf(before + strlen(before), "consents user%d\n", u);
        sprintf(after + strlen(after), "%s user%d\n", u == 0 ? "withdrawn" : "consents",
                u);
    }
    spec.privacy.is_private = true;
    spec.privacy.unit = UNIT_USER;
    spec.privacy.clip_norm = 0.25;
    spec.training.learning_rate = 5.0;
    spec.federation.partition = PARTITION_USERS;
    spec.federation.selection = SELECTION_POISSON;
    spec.federation.clients = 0;
    spec.federation.cohort = 12;
    spec.federation.consent = (struct spec_consent){true, 39, 0.75};
    if (_i == 1) {
        use_secagg();
        spec.federation.secagg.max_norm = 0.0;
    }
    manifest.splits[0].nominal_users = 12;
    plan = world_plan(&spec, &manifest, 1e-9, 1);
    plan.price.sample_rate = plan.price.releases[0].mechanism.sample_rate = 1.0;
    plan.price.unit = UNIT_USER;
    const char *lists[] = {before, after};
    struct seen seen[3] = {{{0}}};
    struct world_data whole = train;
    for (int w = 0; w < 3; w++) {
        if (w > 0) {
            train = without_user(id_of(w - 1));
        }
        struct world world = {.size = 1,
                              .train = &train,
                              .plan = &plan,
                              .spec = &spec,
                              .manifest = &manifest,
                              .run = fl_run,
                              .is_whole = true,
                              .consents = lists,
                              .n_consents = 2,
                              .notes = notes,
                              .notes_size = sizeof notes,
                              .on_sum = see,
                              .on_sum_state = &seen[w]};
        notes[0] = '\0';
        unlink(meter_path);
        ck_assert_int_eq(meter_create(meter_path, &err), 0);
        ck_assert_int_eq(meter_open(meter_path, 1, &plan.price, &world.meter, &err), 0);
        world_run(&world);
        meter_close(world.meter);
        ck_assert_msg(world.rc[0] == 0, "%s", world.err[0].text);
        ck_assert_ptr_nonnull(strstr(notes, "\"consenting\": 39, \"withdrawn\": 1"));
        ck_assert_ptr_null(strstr(notes, "excluded"));
        if (w == 0) {
            strcpy(first_notes, notes);
        }
        ck_assert_str_eq(notes, first_notes);
        world_free(&world);
        if (w > 0) {
            world_data_free(&train);
            train = whole;
        }
    }
    double square[2] = {0.0, 0.0};
    for (int j = 0; j < 64; j++) {
        for (int w = 0; w < 2; w++) {
            double d = seen[0].sum[j] - seen[w + 1].sum[j];
            square[w] += d * d;
        }
    }
    ck_assert_double_eq(square[0], 0.0);
    ck_assert_double_gt(square[1], 0.0);
}
END_TEST

/* More than any cohort bears withdraw at once: the list says so, not the cohort. */
START_TEST(too_many_leave_a_private_round)
{
    spec.privacy.is_private = true;
    spec.privacy.unit = UNIT_USER;
    spec.privacy.clip_norm = 0.25;
    use_secagg();
    spec.federation.secagg.max_norm = 0.0;
    spec.federation.partition = PARTITION_USERS;
    spec.federation.selection = SELECTION_POISSON;
    spec.federation.consent = (struct spec_consent){true, 1, 0.1};
    train.users = calloc((size_t)train.n, sizeof *train.users); /* none on the list */
    manifest.splits[0].nominal_users = 20;
    plan = world_plan(&spec, &manifest, 1e-9, 1);
    plan.price.sample_rate = plan.price.releases[0].mechanism.sample_rate = 1.0;
    plan.price.unit = UNIT_USER;
    const char *lists[] = {"consents a\nconsents b\nconsents c\n",
                           _i == 0 ? "consents a\nwithdrawn b\nconsents c\n"
                                   : "consents a\nwithdrawn b\nwithdrawn c\n"};
    struct world world = run(2, lists, 2);
    ck_assert_int_eq(world.rc[1], _i == 0 ? 0 : -PPT_EPOLICY);
    if (_i == 1) {
        ck_assert_ptr_nonnull(strstr(world.err[1].text, "too_many_leave: 2 clients"));
    }
    world_free(&world);
}
END_TEST

START_TEST(nobody_keeps_a_list)
{
    struct world world = run(2, NULL, 0);
    ck_assert_int_eq(world.rc[1], -PPT_ESPEC);
    ck_assert_ptr_nonnull(strstr(world.err[0].text, "nobody keeps a list"));
    world_free(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("consent");
    TCase *tcase = tcase_create("consent");
    tcase_set_timeout(tcase, 60);
    close(mkstemp(meter_path));
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, lists_are_read);
    tcase_add_test(tcase, faults_of_lists_are_named);
    tcase_add_loop_test(tcase, who_withdraws_is_excluded, 0, 2);
    tcase_add_loop_test(tcase, rounds_stop_for_want_of_consent, 0, 12);
    tcase_add_test(tcase, only_who_consents_is_drawn);
    tcase_add_loop_test(tcase, a_private_round_is_one_over_who_consents, 0, 2);
    tcase_add_loop_test(tcase, too_many_leave_a_private_round, 0, 2);
    tcase_add_test(tcase, nobody_keeps_a_list);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
