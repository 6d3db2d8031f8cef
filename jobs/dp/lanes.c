#include "jobs/dp/lanes.h"

#include <signal.h>
#include <stdlib.h>

/* Some 20 to 50 microseconds: between two parts of a step, not between two steps. */
enum { LOOKS = 1000 };

static inline void pause_a_moment(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" : : : "memory");
#endif
}

/* The next turn after `seen`, or the end. */
static bool wait_turn(struct lanes *lanes, uint64_t seen)
{
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load(&lanes->turn) != seen || atomic_load(&lanes->stop)) {
            return !atomic_load(&lanes->stop);
        }
        pause_a_moment();
    }
    pthread_mutex_lock(&lanes->mutex);
    while (atomic_load(&lanes->turn) == seen && !atomic_load(&lanes->stop)) {
        pthread_cond_wait(&lanes->called, &lanes->mutex);
    }
    pthread_mutex_unlock(&lanes->mutex);
    return !atomic_load(&lanes->stop);
}

static void *run_lane(void *state)
{
    const struct lanes_thread *own = state;
    struct lanes *lanes = own->lanes;
    for (uint64_t turn = 0; wait_turn(lanes, turn); turn++) {
        lanes->work(lanes->state, own->number);
        if (atomic_fetch_sub(&lanes->n_busy, 1) == 1) {
            pthread_mutex_lock(&lanes->mutex);
            pthread_cond_signal(&lanes->done);
            pthread_mutex_unlock(&lanes->mutex);
        }
    }
    return NULL;
}

/* Signals are for the threads that were there before. */
static bool start_threads(struct lanes *lanes)
{
    sigset_t all, before;
    int failed = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < lanes->n - 1 && failed == 0; i++) {
        struct lanes_thread *thread = &lanes->threads[i];
        *thread = (struct lanes_thread){.lanes = lanes, .number = i + 1};
        failed = pthread_create(&thread->thread, NULL, run_lane, thread);
        lanes->n_started += failed == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0;
}

int lanes_open(struct lanes *lanes, int n, struct error *err)
{
    *lanes = (struct lanes){.n = n};
    pthread_mutex_init(&lanes->mutex, NULL);
    pthread_cond_init(&lanes->called, NULL);
    pthread_cond_init(&lanes->done, NULL);
    lanes->threads = n > 1 ? calloc((size_t)n - 1, sizeof *lanes->threads) : NULL;
    if (n > 1 && (lanes->threads == NULL || !start_threads(lanes))) {
        lanes_close(lanes);
        return error_set(err, PPT_ENOMEM, "cannot start %d threads", n - 1);
    }
    return 0;
}

void lanes_close(struct lanes *lanes)
{
    if (lanes->n == 0) {
        return;
    }
    pthread_mutex_lock(&lanes->mutex);
    atomic_store(&lanes->stop, true);
    pthread_cond_broadcast(&lanes->called);
    pthread_mutex_unlock(&lanes->mutex);
    for (int i = 0; i < lanes->n_started; i++) {
        pthread_join(lanes->threads[i].thread, NULL);
    }
    pthread_cond_destroy(&lanes->done);
    pthread_cond_destroy(&lanes->called);
    pthread_mutex_destroy(&lanes->mutex);
    free(lanes->threads);
    *lanes = (struct lanes){0};
}

void lanes_begin(struct lanes *lanes, void (*work)(void *state, int lane), void *state)
{
    if (lanes->n > 1) {
        lanes->work = work;
        lanes->state = state;
        atomic_store(&lanes->n_busy, lanes->n - 1);
        pthread_mutex_lock(&lanes->mutex);
        atomic_fetch_add(&lanes->turn, 1);
        pthread_cond_broadcast(&lanes->called);
        pthread_mutex_unlock(&lanes->mutex);
    }
}

void lanes_end(struct lanes *lanes)
{
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load(&lanes->n_busy) == 0) {
            return;
        }
        pause_a_moment();
    }
    pthread_mutex_lock(&lanes->mutex);
    while (atomic_load(&lanes->n_busy) > 0) {
        pthread_cond_wait(&lanes->done, &lanes->mutex);
    }
    pthread_mutex_unlock(&lanes->mutex);
}

void lanes_run(struct lanes *lanes, void (*work)(void *state, int lane), void *state)
{
    lanes_begin(lanes, work, state);
    work(state, 0);
    lanes_end(lanes);
}

void lanes_part(const struct lanes *lanes, int lane, int64_t n, int64_t *ret_from,
                int64_t *ret_to)
{
    enum { BLOCK = 16 };
    int64_t blocks = (n + BLOCK - 1) / BLOCK;
    int64_t from = blocks * lane / lanes->n * BLOCK;
    int64_t to = blocks * (lane + 1) / lanes->n * BLOCK;
    *ret_from = from < n ? from : n;
    *ret_to = to < n ? to : n;
}
