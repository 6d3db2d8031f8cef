/* What goes on beside a device's queue: blocks that a lift brings up while others are
 * worked on, and a second queue. Wrong numbers come of a wait that is missing, on the
 * simulated device in one of its orders (simt.h). */
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"
#include "tests/twins/compare.h"
#include "tests/twins/twin.h"

enum { N_BLOCKS = 7 };

static const struct kernels *cpu = &kernels_cpu, *dev = &kernels_cuda;

/* A lift's next block: n floats of its own. */
static void send(const struct beside *beside, struct lift *lift, int64_t n, float *copy)
{
    float *room = beside->lift_room(lift);
    for (int64_t i = 0; i < n; i++) {
        room[i] = copy[i] = (float)(twin_random() % 1000);
    }
    beside->lift_send(lift, (size_t)n * sizeof *room);
}

/* Each block is shorter than the one before, and worked on while the next is written
 * and sent. */
static void lifts(int64_t n)
{
    const struct beside *beside = dev->memory->beside;
    struct lift *lift = beside->lift_open((size_t)n * sizeof(float));
    struct twin x = twin_floats(n), sum = twin_doubles(n);
    float *copy[2] = {malloc((size_t)n * 4 + 1), malloc((size_t)n * 4 + 1)};
    twin_expect("a lift", lift != NULL && copy[0] != NULL && copy[1] != NULL);
    send(beside, lift, n, copy[0]);
    for (int k = 0; k < N_BLOCKS; k++) {
        int64_t len = n - k * (n / (2 * N_BLOCKS)),
                next = n - (k + 1) * (n / (2 * N_BLOCKS));
        memcpy(x.cpu, copy[k % 2], (size_t)len * sizeof(float));
        beside->lift_take(lift, x.dev, (size_t)len * sizeof(float));
        cpu->accumulate(n, x.cpu, sum.cpu), dev->accumulate(n, x.dev, sum.dev);
        if (k + 1 < N_BLOCKS) {
            send(beside, lift, next, copy[(k + 1) % 2]);
        }
    }
    twin_same("blocks of a lift", &x);
    twin_same("their sum", &sum);
    beside->lift_close(lift);
    free(copy[0]), free(copy[1]);
    twin_free(&x), twin_free(&sum);
    twin_expect("no such lift", beside->lift_open((size_t)1 << 50) == NULL);
    twin_expect("and nothing is remembered", device_error() == NULL);
}

/* One queue fills `part`, the other adds it to a total that it works on, and wipes it,
 * turn after turn. */
static void queues(int64_t n)
{
    const struct beside *beside = dev->memory->beside;
    struct twin x = twin_floats(n), part = twin_doubles(n), total = twin_doubles(n);
    beside->meet();
    for (int turn = 0; turn < 4; turn++) {
        cpu->accumulate(n, x.cpu, part.cpu);
        beside->aside(true);
        dev->accumulate(n, x.dev, part.dev);
        beside->aside(false);
        cpu->divide(n, 2.0, total.cpu), dev->divide(n, 2.0, total.dev);
        beside->meet();
        cpu->grid_add_drawn(n, part.cpu, total.cpu);
        dev->grid_add_drawn(n, part.dev, total.dev);
        beside->meet();
    }
    twin_same("what two queues added", &total);
    twin_same("what is left to add", &part);
    twin_free(&x), twin_free(&part), twin_free(&total);
}

static void no_extra(void *state, int64_t pair, uint64_t ret_words[GRID_EXTRA_WORDS])
{
    (void)state;
    for (int i = 0; i < GRID_EXTRA_WORDS; i++) {
        ret_words[i] = (uint64_t)pair;
    }
}

/* Noise in both queues, which nothing orders: they share no array. */
static void noises(int64_t n)
{
    const struct beside *beside = dev->memory->beside;
    struct grid grid = {0x1p-18, 0x1p38, 0x1p50}; /* most pairs are in doubt */
    struct grid_source source = {no_extra, NULL};
    struct twin x[2] = {twin_doubles(n), twin_doubles(n)};
    struct twin bits[2] = {twin_words(n), twin_words(n)};
    for (int turn = 0; turn < 6; turn++) {
        struct twin *to = &x[turn % 2], *from = &bits[turn % 2];
        cpu->grid_round(&grid, n, to->cpu);
        cpu->grid_noise(&grid, n, from->cpu, &source, to->cpu);
        beside->aside(turn % 2 == 1);
        dev->grid_round(&grid, n, to->dev);
        dev->grid_noise(&grid, n, from->dev, &source, to->dev);
    }
    beside->aside(false);
    beside->meet();
    for (int i = 0; i < 2; i++) {
        twin_same("noise in two queues", &x[i]);
        twin_free(&x[i]), twin_free(&bits[i]);
    }
}

void compare_beside(void)
{
    for (int64_t n = 14; n < 10000; n = 25 * n + 3) {
        lifts(n);
        queues(n);
    }
    noises(100), noises(1000);
}
