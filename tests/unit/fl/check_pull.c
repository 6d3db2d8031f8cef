/* Who plays whom: each client is played once whatever ranks do, costly ones come first,
 * shares made beforehand are even, and the fit is that of least squares. */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/pull.h"
#include "tests/unit/fl/fl_world.h"

enum { N_CLIENTS = 300, SIZE = 4 };

static struct partition partition;
static struct keep keep;
static struct spec own;
static int64_t first[N_CLIENTS + 1], clients[N_CLIENTS];

/* Few large clients and many small ones, as user ids make them. */
static void setup_clients(void)
{
    own = (struct spec){.training = {.batch_size = 10, .epochs = 2}};
    for (int64_t c = 0; c < N_CLIENTS; c++) {
        first[c + 1] = first[c] + 1 + 3000 / (1 + (c * 7) % N_CLIENTS);
        clients[c] = c;
    }
    partition = (struct partition){.n_clients = N_CLIENTS, .first = first};
    keep = (struct keep){0};
}

START_TEST(fits_as_least_squares_do)
{
    /* seconds 1.5, 2.5, 2.0 at x = 1, 2, 3: b = 0.25 and a = 1.5 */
    const double sums[PULL_SUMS] = {3, 6, 14, 6.0, 1.5 + 5.0 + 6.0};
    const double alike[PULL_SUMS] = {2, 4, 8, 3, 6}, none[PULL_SUMS] = {0};
    const double falling[PULL_SUMS] = {2, 3, 5, 3, 2 + 2 * 1};
    double a, b;
    pull_fit(sums, &a, &b);
    ck_assert_double_eq_tol(a, 1.5, 1e-12);
    ck_assert_double_eq_tol(b, 0.25, 1e-12);
    const double *others[] = {alike, none, falling};
    for (int i = 0; i < 3; i++) {
        pull_fit(others[i], &a, &b);
        ck_assert(a == 0.0 && b == 1.0);
    }
}
END_TEST

START_TEST(counts_the_records_of_a_round)
{
    struct spec_training training = {.batch_size = 10, .epochs = 3};
    ck_assert_double_eq(pull_examples(&training, 25), 75);
    training.steps = 7; /* passes of 10, 10 and 5: two, and one batch */
    ck_assert_double_eq(pull_examples(&training, 25), 60);
    ck_assert_double_eq(pull_examples(&training, 4), 28);
    ck_assert_double_eq(pull_examples(&training, 0), 0);
}
END_TEST

/* A counter that threads share. */
static _Atomic int64_t n_taken;
static pthread_barrier_t all;
static double told[SIZE][PULL_SUMS];

static int take(struct comm *comm, int64_t *ret_number, struct error *err)
{
    (void)comm, (void)err;
    *ret_number = atomic_fetch_add(&n_taken, 1);
    return 0;
}

static int sum(struct comm *comm, double *data, size_t n, struct error *err)
{
    (void)err;
    memcpy(told[comm->rank], data, n * sizeof *data);
    pthread_barrier_wait(&all);
    memset(data, 0, n * sizeof *data);
    for (int r = 0; r < SIZE; r++) {
        for (size_t i = 0; i < n; i++) {
            data[i] += told[r][i];
        }
    }
    pthread_barrier_wait(&all);
    return 0;
}

static int64_t shared_number;

static int broadcast(struct comm *comm, void *data, size_t len, int root,
                     struct error *err)
{
    (void)err;
    if (comm->rank == root) {
        memcpy(&shared_number, data, len);
    }
    pthread_barrier_wait(&all);
    memcpy(data, &shared_number, len);
    pthread_barrier_wait(&all);
    return 0;
}

static const struct comm_ops counting = {
    .take = take, .sum_f64 = sum, .broadcast = broadcast};
static const struct comm_ops without = {.sum_f64 = sum, .broadcast = broadcast};

struct player {
    struct comm comm;
    int64_t played[8][N_CLIENTS + 1]; /* in their order; -1: no more */
};

/* Lists of all clients, then of the half, and again, as rounds would be. */
static void *play(void *state)
{
    struct player *player = state;
    struct pull pull;
    if (pull_open(&pull, &player->comm, &own, &partition, &keep, NULL) != 0) {
        abort();
    }
    for (int list = 0; list < 8; list++) {
        int64_t n = list % 2 == 0 ? N_CLIENTS : N_CLIENTS / 2, client = 0;
        if (pull_begin(&pull, clients, n, NULL) != 0) {
            abort();
        }
        for (int i = 0; client >= 0; i++) {
            if (pull_next(&pull, &client, NULL) != 0 || i > N_CLIENTS) {
                abort();
            }
            player->played[list][i] = client;
        }
        pthread_barrier_wait(&all);
    }
    pull_close(&pull);
    return NULL;
}

static void play_all(struct player *players, const struct comm_ops *ops)
{
    pthread_t threads[SIZE];
    pthread_barrier_init(&all, NULL, SIZE);
    for (int r = 0; r < SIZE; r++) {
        players[r].comm = (struct comm){.rank = r, .size = SIZE, .ops = ops};
        ck_assert_int_eq(pthread_create(&threads[r], NULL, play, &players[r]), 0);
    }
    for (int r = 0; r < SIZE; r++) {
        pthread_join(threads[r], NULL);
    }
    pthread_barrier_destroy(&all);
}

static double cost_of(int64_t client)
{
    return pull_examples(&own.training, partition_size(&partition, client));
}

/* By the counter (0), by shares (1), and where clients remember (2). */
START_TEST(each_client_is_played_once)
{
    static struct player players[SIZE];
    keep.n_vectors = _i == 2 ? 1 : 0;
    keep.comm = &players[0].comm;
    play_all(players, _i == 1 ? &without : &counting);
    for (int list = 0; list < 8; list++) {
        int64_t n = list % 2 == 0 ? N_CLIENTS : N_CLIENTS / 2;
        int times[N_CLIENTS] = {0};
        for (int r = 0; r < SIZE; r++) {
            const int64_t *played = players[r].played[list];
            for (int i = 0; played[i] >= 0; i++) {
                times[played[i]]++;
                ck_assert(i == 0 || cost_of(played[i]) <= cost_of(played[i - 1]));
                ck_assert(_i < 2 || played[i] % SIZE == r);
            }
        }
        for (int64_t c = 0; c < N_CLIENTS; c++) {
            ck_assert_int_eq(times[c], c < n);
        }
    }
}
END_TEST

/* No rank has more than Graham's 4/3 of what is least possible; dealt by number, the
 * same clients are far from that. */
START_TEST(shares_are_even)
{
    static struct player players[SIZE];
    double load[SIZE] = {0}, dealt[SIZE] = {0}, total = 0.0, worst[2] = {0};
    play_all(players, &without);
    for (int r = 0; r < SIZE; r++) {
        for (int i = 0; players[r].played[0][i] >= 0; i++) {
            load[r] += cost_of(players[r].played[0][i]);
        }
    }
    for (int64_t c = 0; c < N_CLIENTS; c++) {
        dealt[c % SIZE] += cost_of(c);
        total += cost_of(c);
    }
    double least = fmax(total / SIZE, cost_of(0));
    for (int r = 0; r < SIZE; r++) {
        worst[0] = fmax(worst[0], load[r]);
        worst[1] = fmax(worst[1], dealt[r]);
    }
    ck_assert_double_le(worst[0], 4.0 / 3.0 * least);
    ck_assert_double_lt(worst[0], 1.01 * least);
    ck_assert_double_gt(worst[1], 1.2 * least);
}
END_TEST

/* The whole federation, with and without a counter. */
START_TEST(one_model_with_and_without)
{
    setup_federation();
    use_users();
    use_federation(PARTITION_USERS, 10, 12);
    plan.price.sample_rate = 0.5;
    struct world one = federation_of(1);
    run_well(&one, 1);
    for (int i = 0; i < 2; i++) {
        struct world many = federation_of(3);
        many.has_no_counter = i == 1;
        run_well(&many, 1);
        expect_same_model(&one, &many);
        ck_assert_int_eq(many.n_taken > 0, i == 0);
        world_free(&many);
    }
    world_free(&one);
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pull");
    TCase *tcase = tcase_create("pull");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup_clients, NULL);
    tcase_add_test(tcase, fits_as_least_squares_do);
    tcase_add_test(tcase, counts_the_records_of_a_round);
    tcase_add_loop_test(tcase, each_client_is_played_once, 0, 3);
    tcase_add_test(tcase, shares_are_even);
    tcase_add_test(tcase, one_model_with_and_without);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
