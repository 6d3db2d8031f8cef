/* Words between processes that share memory, in whatever order they come and go. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "worker/board.h"

enum { SIZE = 4 };

static struct error err;
static int patience; /* how often idle lets a wait go on */

static int idle(void *arg)
{
    (void)arg;
    return patience-- <= 0;
}

static void nap(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static double now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Where Open MPI's shared windows begin. */
enum { UNALIGNED = 0x108 };

/* Runs `act` in SIZE processes; all must end with status 0. */
static void among(int (*act)(struct board *board))
{
    const size_t len = UNALIGNED + board_bytes(SIZE);
    char *memory =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(memory != MAP_FAILED);
    struct board_place *places = board_places(memory + UNALIGNED);
    for (int rank = 0; rank < SIZE; rank++) {
        if (fork() != 0)
            continue;
        struct board board = {
            .places = places, .rank = rank, .size = SIZE, .idle = idle};
        patience = 10000;
        _exit(act(&board));
    }
    int status;
    while (wait(&status) > 0)
        ck_assert_int_eq(status, 0);
    munmap(memory, len);
}

enum { PIECE = BOARD_PIECE / 8, MOST = 3 * PIECE - 36 }; /* in words */

static int64_t value_of(int round, int rank, size_t at)
{
    return (int64_t)((unsigned)(round * 7919 + rank * 104729) * 2654435761U % 1000003) -
           500000 + (int64_t)at;
}

/* The same numbers on every rank, of any length: none, odd, a piece and more. */
static size_t length_of(int round)
{
    static const size_t lengths[] = {0, 1, 3, PIECE - 1, PIECE, PIECE + 1, MOST};
    return lengths[(round * 31 + 7) % 7];
}

static bool is_max(struct board *board, int round)
{
    int64_t data[MOST];
    size_t n = length_of(round);
    for (size_t i = 0; i < n; i++)
        data[i] = value_of(round, board->rank, i);
    if (board_max_i64(board, data, n, &err) != 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        int64_t most = value_of(round, 0, i);
        for (int rank = 1; rank < board->size; rank++)
            if (value_of(round, rank, i) > most)
                most = value_of(round, rank, i);
        if (data[i] != most)
            return false;
    }
    return true;
}

static bool is_shared(struct board *board, int round)
{
    char data[8 * MOST + 1], wanted[8 * MOST + 1];
    int root = round % board->size;
    size_t len = length_of(round) * 8 + (size_t)round % 2;
    memset(wanted, round % 251, len);
    memset(data, board->rank == root ? round % 251 : 255, len);
    return board_broadcast(board, data, len, root, &err) == 0 &&
           memcmp(data, wanted, len) == 0;
}

/* Now and then a rank is late, another one each time. */
static int mix(struct board *board)
{
    unsigned seed = (unsigned)board->rank + 1;
    for (int round = 0; round < 3000; round++) {
        seed = seed * 1103515245U + 12345U;
        if (seed >> 24 == 0)
            nap(2);
        if (!((round * 13) % 5 < 3 ? is_max : is_shared)(board, round))
            return 1;
    }
    return 0;
}

START_TEST(all_see_the_same)
{
    among(mix);
}
END_TEST

/* Rank 0 writes ahead of readers that are slow: nothing is overwritten unread. */
static int run_ahead(struct board *board)
{
    for (int64_t i = 0; i < 200; i++) {
        int64_t data = board->rank == 0 ? i : -1;
        if (board->rank != 0 && i % 50 == 0)
            nap(5 * board->rank);
        if (board_broadcast(board, &data, sizeof data, 0, &err) != 0 || data != i)
            return 1;
    }
    return 0;
}

START_TEST(a_root_runs_ahead)
{
    among(run_ahead);
}
END_TEST

/* Sleep ends with the words, not with the next look of every 20 ms. */
static int wake(struct board *board)
{
    double start = now(CLOCK_MONOTONIC);
    for (int64_t i = 0; i < 200; i++) {
        if (board->rank == 0)
            nap(1);
        if (board_max_i64(board, &i, 1, &err) != 0)
            return 1;
    }
    return now(CLOCK_MONOTONIC) - start > 200 * 0.020 * 0.75;
}

START_TEST(a_sleeper_is_woken)
{
    among(wake);
}
END_TEST

static int sleep_long(struct board *board)
{
    if (board->rank == 0)
        nap(900);
    int rc = board_max_i64(board, NULL, 0, &err);
    return rc != 0 || now(CLOCK_PROCESS_CPUTIME_ID) > 0.2;
}

START_TEST(waiting_is_sleep)
{
    among(sleep_long);
}
END_TEST

/* Rank 0 never comes. */
static int lose(struct board *board)
{
    int64_t data = 1;
    patience = 3;
    if (board->rank == 0)
        return 0;
    int rc = board->rank % 2 == 0 ? board_max_i64(board, &data, 1, &err)
                                  : board_broadcast(board, &data, sizeof data, 0, &err);
    return rc != -PPT_ECOMM;
}

START_TEST(who_never_comes_is_given_up)
{
    among(lose);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("board");
    TCase *tests = tcase_create("board");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, all_see_the_same);
    tcase_add_test(tests, a_root_runs_ahead);
    tcase_add_test(tests, a_sleeper_is_woken);
    tcase_add_test(tests, waiting_is_sleep);
    tcase_add_test(tests, who_never_comes_is_given_up);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed > 0;
}
