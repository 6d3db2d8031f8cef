/* Who has which records, and who is in a cohort. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/cohort.h"
#include "jobs/fl/partition.h"

enum { N_ROWS = 3000, N_CLASSES = 10, N_CLIENTS = 50 };

static int read_rows(struct rows *rows, const int64_t *indices, size_t n, float *x,
                     int32_t *y, struct error *err)
{
    (void)rows;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_lt(indices[i], N_ROWS);
        x[i] = 0.0f;
        y[i] = (int32_t)(indices[i] * 7 % N_CLASSES);
    }
    return 0;
}

static struct rows rows = {
    .n_rows = N_ROWS, .n_features = 1, .n_classes = N_CLASSES, .read = read_rows};

static struct spec spec_of(enum spec_partition partition)
{
    struct spec spec = {.kind = JOB_FL, .training.seed = 5};
    spec.federation.partition = partition;
    spec.federation.clients = partition == PARTITION_USERS ? 0 : N_CLIENTS;
    spec.federation.alpha = 0.3;
    spec.federation.shards = 2;
    return spec;
}

static struct partition open_for(const struct spec *spec)
{
    struct partition partition;
    struct error err = {0};
    int rc = partition_open(&partition, spec, &rows, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return partition;
}

/* Whatever the rule: every record is exactly one client's. */
START_TEST(every_record_is_somebodys)
{
    struct spec spec = spec_of((enum spec_partition)_i);
    struct partition partition = open_for(&spec);
    bool seen[N_ROWS] = {false};
    ck_assert_int_eq(partition.n_clients, _i == PARTITION_USERS ? N_ROWS : N_CLIENTS);
    ck_assert_int_eq(partition.first[0], 0);
    ck_assert_int_eq(partition.first[partition.n_clients], N_ROWS);
    for (int64_t c = 0; c < partition.n_clients; c++) {
        for (int64_t i = partition.first[c]; i < partition.first[c + 1]; i++) {
            int64_t row = partition.rows[i];
            ck_assert(row >= 0 && row < N_ROWS && !seen[row]);
            ck_assert(i == partition.first[c] || row > partition.rows[i - 1]);
            seen[row] = true;
        }
    }
    struct partition again = open_for(&spec);
    ck_assert_mem_eq(again.rows, partition.rows, N_ROWS * sizeof *again.rows);
    partition_close(&again);
    partition_close(&partition);
}
END_TEST

/* The mean over clients of the part of the records that have their commonest label. */
static double purity(const struct partition *partition, int64_t *ret_most_labels)
{
    double total = 0.0;
    int64_t n_used = 0;
    *ret_most_labels = 0;
    for (int64_t c = 0; c < partition->n_clients; c++) {
        int64_t count[N_CLASSES] = {0}, most = 0, n_labels = 0;
        for (int64_t i = partition->first[c]; i < partition->first[c + 1]; i++) {
            count[partition->rows[i] * 7 % N_CLASSES]++;
        }
        for (int k = 0; k < N_CLASSES; k++) {
            most = count[k] > most ? count[k] : most;
            n_labels += count[k] > 0;
        }
        *ret_most_labels = n_labels > *ret_most_labels ? n_labels : *ret_most_labels;
        if (partition_size(partition, c) > 0) {
            total += (double)most / (double)partition_size(partition, c);
            n_used++;
        }
    }
    return total / (double)n_used;
}

START_TEST(labels_are_as_uneven_as_asked)
{
    int64_t most_labels;
    struct spec spec = spec_of(PARTITION_IID);
    struct partition partition = open_for(&spec);
    for (int64_t c = 0; c < N_CLIENTS; c++) {
        ck_assert_int_eq(partition_size(&partition, c), N_ROWS / N_CLIENTS);
    }
    ck_assert_double_lt(purity(&partition, &most_labels), 0.25);
    partition_close(&partition);

    spec = spec_of(PARTITION_SHARDS); /* 300 records a label, 30 a shard */
    partition = open_for(&spec);
    ck_assert_double_ge(purity(&partition, &most_labels), 0.5);
    ck_assert_int_eq(most_labels, 2);
    partition_close(&partition);

    double before = 1.0;
    static const double alphas[] = {0.05, 0.5, 100};
    static const double least[] = {0.6, 0.25, 0.1}, most[] = {1.0, 0.6, 0.25};
    for (int i = 0; i < 3; i++) {
        spec = spec_of(PARTITION_DIRICHLET);
        spec.federation.alpha = alphas[i];
        partition = open_for(&spec);
        double now = purity(&partition, &most_labels);
        ck_assert_double_lt(now, before);
        ck_assert(now > least[i] && now < most[i]);
        before = now;
        partition_close(&partition);
    }
}
END_TEST

static int read_users(struct rows *unused, int64_t *ret_users, struct error *err)
{
    (void)unused;
    (void)err;
    for (int64_t i = 0; i < rows.n_rows; i++) {
        ret_users[i] =
            i * i % 37 % 2 == 0 ? i * i % 37 : -((i * i % 37) * ((int64_t)1 << 40));
    }
    return 0;
}

/* Clients are the users in the order of their ids, each with all its records. */
START_TEST(users_have_all_their_records)
{
    struct spec spec = spec_of(PARTITION_USERS);
    int64_t users[N_ROWS], n = 0;
    rows.users = read_users;
    read_users(NULL, users, NULL);
    struct partition partition = open_for(&spec);
    ck_assert_int_eq(partition.n_clients, 19); /* squares modulo 37 */
    for (int64_t c = 0; c < partition.n_clients; c++) {
        ck_assert(c == 0 || partition.ids[c] > partition.ids[c - 1]);
        ck_assert(partition_id(&partition, c) == (uint64_t)partition.ids[c]);
        ck_assert_int_gt(partition_size(&partition, c), 0);
        for (int64_t i = partition.first[c]; i < partition.first[c + 1]; i++, n++) {
            ck_assert(users[partition.rows[i]] == partition.ids[c]);
            ck_assert(i == partition.first[c] ||
                      partition.rows[i] > partition.rows[i - 1]);
        }
    }
    ck_assert_int_eq(n, N_ROWS);
    partition_close(&partition);
    rows.n_rows = 0; /* nobody is left */
    partition = open_for(&spec);
    ck_assert_int_eq(partition.n_clients, 0);
    partition_close(&partition);
    rows.n_rows = N_ROWS;
    rows.users = NULL;
}
END_TEST

START_TEST(seeds_differ)
{
    struct spec a = spec_of(PARTITION_IID), b = a;
    b.training.seed = 6;
    struct partition first = open_for(&a), second = open_for(&b);
    ck_assert(memcmp(first.rows, second.rows, N_ROWS * sizeof *first.rows) != 0);
    partition_close(&first);
    partition_close(&second);
}
END_TEST

START_TEST(too_many_shards)
{
    struct spec spec = spec_of(PARTITION_SHARDS);
    struct partition partition;
    struct error err = {0};
    spec.federation.shards = N_ROWS / N_CLIENTS + 1;
    ck_assert_int_eq(partition_open(&partition, &spec, &rows, &err), -PPT_ESPEC);
    ck_assert_ptr_nonnull(strstr(err.text, "more than the data set has records"));
}
END_TEST

/* Everybody in a cohort once, ascending; sizes and shares as they should be. */
START_TEST(cohorts)
{
    enum { N = 400, ROUNDS = 500, COHORT = 20 };
    enum spec_selection selection = (enum spec_selection)_i;
    bool is_exact = spec_selection_is_exact(selection);
    int64_t first[N + 1];
    struct partition partition = {.n_clients = N, .first = first};
    for (int c = 0; c <= N; c++) {
        first[c] = 3 * c;
    }
    unsigned char key[CRYPTO_KEY_SIZE] = {(unsigned char)(_i + 1)};
    struct cohort cohort, twin;
    int64_t times[N] = {0}, total = 0;
    double rate = floor((double)COHORT / N * 0x1p53) * 0x1p-53;
    ck_assert_int_eq(
        cohort_open(&cohort, selection, rate, COHORT, 0, &partition, key, NULL), 0);
    ck_assert_int_eq(
        cohort_open(&twin, selection, rate, COHORT, 0, &partition, key, NULL), 0);
    for (int64_t round = 0; round < ROUNDS; round++) {
        cohort_draw(&cohort, round, NULL);
        for (int64_t i = 0; i < cohort.n; i++) {
            ck_assert(i == 0 || cohort.members[i] > cohort.members[i - 1]);
            ck_assert(cohort.members[i] >= 0 && cohort.members[i] < N);
            times[cohort.members[i]]++;
        }
        ck_assert(!is_exact || cohort.n == COHORT);
        total += cohort.n;
    }
    cohort_draw(&cohort, 3, NULL); /* asked for again, and elsewhere: the same */
    cohort_draw(&twin, 3, NULL);
    ck_assert_int_eq(cohort.n, twin.n);
    ck_assert_mem_eq(cohort.members, twin.members,
                     (size_t)cohort.n * sizeof *twin.members);
    double sigma = sqrt(ROUNDS * COHORT); /* of the total, if Poisson */
    ck_assert_double_lt(fabs((double)total - ROUNDS * COHORT), 5 * sigma);
    for (int c = 0; c < N; c++) { /* 25 expected, standard deviation below 5 */
        ck_assert(times[c] > 0 && times[c] < 55);
    }
    cohort_close(&cohort);
    cohort_close(&twin);
    if (is_exact) {
        partition.n_clients = COHORT - 1;
        ck_assert_int_eq(
            cohort_open(&cohort, selection, rate, COHORT, 0, &partition, key, NULL),
            -PPT_ERANGE);
    }
}
END_TEST

/* Fewer clients than seats: each is drawn with the seats' rate, and there are as many
 * in a cohort as seats drawn that are taken; with more clients none is empty. */
START_TEST(seats_stay_empty)
{
    enum { N = 30, LEAST = 40, COHORT = 10, ROUNDS = 4000 };
    int64_t first[N + 1], total = 0, times[N] = {0};
    unsigned char key[CRYPTO_KEY_SIZE] = {11};
    struct partition partition = {.n_clients = N, .first = first};
    struct cohort cohort;
    for (int c = 0; c <= N; c++) {
        first[c] = c;
    }
    ck_assert_int_eq(cohort_open(&cohort, SELECTION_FIXED, 0.25, COHORT, LEAST,
                                 &partition, key, NULL),
                     0);
    for (int64_t round = 0; round < ROUNDS; round++) {
        cohort_draw(&cohort, round, NULL);
        ck_assert(cohort.n <= COHORT);
        total += cohort.n;
        for (int64_t i = 0; i < cohort.n; i++) {
            times[cohort.members[i]]++;
        }
    }
    cohort_close(&cohort);
    ck_assert(llabs(total - 7 * ROUNDS - ROUNDS / 2) < 5 * 76); /* 1.2 a round */
    for (int c = 0; c < N; c++) { /* 1000 expected, standard deviation 27 */
        ck_assert(times[c] > 860 && times[c] < 1140);
    }
    partition.n_clients = 5; /* fewer than a cohort has: the others are empty */
    ck_assert_int_eq(cohort_open(&cohort, SELECTION_FIXED, 0.25, COHORT, LEAST,
                                 &partition, key, NULL),
                     0);
    cohort_draw(&cohort, 0, NULL);
    ck_assert_int_le(cohort.n, 5);
    cohort_close(&cohort);
    partition.n_clients = N;
    ck_assert_int_eq(
        cohort_open(&cohort, SELECTION_FIXED, 0.5, COHORT, 20, &partition, key, NULL),
        0);
    cohort_draw(&cohort, 0, NULL);
    ck_assert_int_eq(cohort.n, COHORT);
    cohort_close(&cohort);
}
END_TEST

/* Only of those who are able, and the chances of the others do not change by it. */
START_TEST(only_able_ones_are_drawn)
{
    enum { N = 60 };
    int64_t first[N + 1], times = 0;
    bool is_able[N];
    unsigned char key[CRYPTO_KEY_SIZE] = {9};
    struct partition partition = {.n_clients = N, .first = first};
    struct cohort cohort;
    for (int c = 0; c <= N; c++) {
        first[c] = c;
        is_able[c % N] = c % 3 == 0;
    }
    ck_assert_int_eq(cohort_open(&cohort, (enum spec_selection)_i, 0.5, 30, 0,
                                 &partition, key, NULL),
                     0);
    for (int64_t round = 0; round < 400; round++) {
        cohort_draw(&cohort, round, is_able);
        for (int64_t i = 0; i < cohort.n; i++) {
            ck_assert(is_able[cohort.members[i]]);
        }
        times += cohort.n;
    }
    if (_i == SELECTION_POISSON) { /* 4000 expected, standard deviation 45 */
        ck_assert(times > 3700 && times < 4300);
    } else {
        ck_assert_int_eq(times, 400 * 20);
    }
    cohort_close(&cohort);
}
END_TEST

/* In a fixed order each client is in one round of each pass, always the same one of it,
 * whoever else is able and wherever a process begins. */
START_TEST(a_fixed_order_comes_again)
{
    enum { N = 300, N_BINS = 13, PASSES = 5 };
    int64_t first[N + 1], last[N], times[N] = {0};
    bool is_able[N];
    unsigned char key[CRYPTO_KEY_SIZE] = {9};
    struct partition partition = {.n_clients = N, .first = first};
    struct cohort cohort, late;
    for (int c = 0; c <= N; c++) {
        first[c] = c;
        is_able[c % N] = c % 3 != 0;
    }
    ck_assert_int_eq(cohort_open(&cohort, SELECTION_FIXED_ORDER, 1.0 / N_BINS, 1, 0,
                                 &partition, key, NULL),
                     0);
    ck_assert_int_eq(cohort_open(&late, SELECTION_FIXED_ORDER, 1.0 / N_BINS, 1, 0,
                                 &partition, key, NULL),
                     0);
    for (int64_t round = 0; round < PASSES * N_BINS; round++) {
        cohort_draw(&cohort, round, NULL);
        for (int64_t i = 0; i < cohort.n; i++) {
            int64_t c = cohort.members[i];
            ck_assert(times[c] == 0 || round - last[c] == N_BINS);
            ck_assert_int_eq(times[c], round / N_BINS);
            last[c] = round;
            times[c]++;
        }
    }
    for (int c = 0; c < N; c++) {
        ck_assert_int_eq(times[c], PASSES);
    }
    for (int64_t round = 5; round < 2 * N_BINS; round++) {
        cohort_draw(&late, round, is_able);
        for (int64_t i = 0; i < late.n; i++) {
            ck_assert(is_able[late.members[i]]);
            ck_assert_int_eq(last[late.members[i]] % N_BINS, round % N_BINS);
        }
    }
    cohort_close(&cohort);
    cohort_close(&late);
}
END_TEST

/* Chances in proportion to records; who has none comes when nobody else is left. */
START_TEST(weighted_cohorts)
{
    enum { ROUNDS = 4000 };
    int64_t first[] = {0, 1, 3, 3, 7};
    unsigned char key[CRYPTO_KEY_SIZE] = {3};
    struct partition partition = {.n_clients = 4, .first = first};
    struct cohort cohort;
    double times[4] = {0};
    ck_assert_int_eq(
        cohort_open(&cohort, SELECTION_WEIGHTED, 1.0, 1, 0, &partition, key, NULL), 0);
    for (int64_t round = 0; round < ROUNDS; round++) {
        cohort_draw(&cohort, round, NULL);
        ck_assert_int_eq(cohort.n, 1);
        times[cohort.members[0]]++;
    }
    const double expected[] = {1.0 / 7, 2.0 / 7, 0, 4.0 / 7};
    for (int c = 0; c < 4; c++) { /* standard deviations below 0.008 */
        ck_assert_double_le(fabs(times[c] / ROUNDS - expected[c]), 0.04);
    }
    ck_assert_double_eq(times[2], 0.0);
    cohort_close(&cohort);
    ck_assert_int_eq(
        cohort_open(&cohort, SELECTION_WEIGHTED, 1.0, 4, 0, &partition, key, NULL), 0);
    cohort_draw(&cohort, 0, NULL);
    ck_assert_int_eq(cohort.n, 4);
    cohort_close(&cohort);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("partition");
    TCase *tcase = tcase_create("partition");
    tcase_add_loop_test(tcase, every_record_is_somebodys, 0, PARTITION_N);
    tcase_add_test(tcase, labels_are_as_uneven_as_asked);
    tcase_add_test(tcase, users_have_all_their_records);
    tcase_add_test(tcase, seeds_differ);
    tcase_add_test(tcase, too_many_shards);
    tcase_add_loop_test(tcase, cohorts, 0, SELECTION_DEALT);
    tcase_add_test(tcase, a_fixed_order_comes_again);
    tcase_add_loop_test(tcase, only_able_ones_are_drawn, 0, SELECTION_DEALT);
    tcase_add_test(tcase, seats_stay_empty);
    tcase_add_test(tcase, weighted_cohorts);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
