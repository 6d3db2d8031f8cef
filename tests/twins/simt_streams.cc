/* Streams and events of simt.h: what is put in a stream waits there, and runs in its
 * order when it must, or when it may. */
#include "tests/twins/simt.h"

#include <deque>
#include <memory>
#include <stdio.h>
#include <vector>

/* An event as it was recorded once. */
struct simt_mark {
    cudaStream_t stream;
    bool is_done;
};

struct simt_op {
    std::shared_ptr<simt_mark> waits_for; /* or: */
    std::function<void()> work;
};

struct simt_stream {
    bool is_late;
    std::deque<simt_op> ops;
};

struct simt_event {
    std::shared_ptr<simt_mark> last; /* NULL: never recorded */
};

static std::vector<cudaStream_t> others; /* all but the default one */

enum order { LATE, LATE_FIRST, LATE_OTHERS, MIXED, N_ORDERS };

static enum order order_of_test(void)
{
    static const char *const names[] = {"late", "late-first", "late-others", "mixed"};
    const char *wanted = getenv("PPT_SIMT_ORDER");
    for (int i = 0; i < N_ORDERS; i++) {
        if (wanted == NULL || strcmp(wanted, names[i]) == 0) {
            return (enum order)i;
        }
    }
    fprintf(stderr, "simt: no order \"%s\"\n", wanted);
    abort();
}

static const enum order order = order_of_test();

static cudaStream_t find(cudaStream_t stream)
{
    static simt_stream first = {order != LATE_OTHERS, {}};
    return stream == NULL ? &first : stream;
}

static bool is_held_up(cudaStream_t stream)
{
    const auto &mark = stream->ops.front().waits_for;
    return mark != NULL && !mark->is_done;
}

/* The stream's first piece of work, and of others what it waits for. */
static void run_one(cudaStream_t stream)
{
    simt_op op = stream->ops.front();
    stream->ops.pop_front();
    while (op.waits_for != NULL && !op.waits_for->is_done) {
        run_one(op.waits_for->stream);
    }
    if (op.work) {
        op.work();
    }
}

/* As far as it comes; returns whether it came any further. */
static bool hurry_one(cudaStream_t stream)
{
    bool has_moved = false;
    while (!stream->is_late && !stream->ops.empty() && !is_held_up(stream)) {
        run_one(stream);
        has_moved = true;
    }
    return has_moved;
}

/* All that are not late. */
static void hurry(void)
{
    for (bool has_moved = true; has_moved;) {
        has_moved = hurry_one(find(NULL));
        for (cudaStream_t stream : others) {
            has_moved = hurry_one(stream) || has_moved;
        }
    }
}

/* A fair coin: xorshift64*, Vigna 2016. */
static bool toss(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717u >> 63 != 0;
}

static void stir_one(cudaStream_t stream)
{
    while (!stream->ops.empty() && !is_held_up(stream) && toss()) {
        run_one(stream);
    }
}

static void stir(void)
{
    stir_one(find(NULL));
    for (cudaStream_t stream : others) {
        stir_one(stream);
    }
}

static void put(cudaStream_t stream, simt_op op)
{
    find(stream)->ops.push_back(op);
    hurry();
}

static void run_all(cudaStream_t stream)
{
    while (!stream->ops.empty()) {
        if (order == MIXED) {
            stir();
        }
        if (!stream->ops.empty()) {
            run_one(stream);
        }
        hurry();
    }
}

void simt_put(cudaStream_t stream, std::function<void()> work)
{
    put(stream, {NULL, work});
}

cudaError_t cudaFree(void *memory)
{
    run_all(find(NULL));
    for (cudaStream_t stream : others) {
        run_all(stream);
    }
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n_bytes,
                            enum cudaMemcpyKind, cudaStream_t stream)
{
    simt_put(stream, [=] { memmove(to, from, n_bytes); });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t n_bytes,
                            cudaStream_t stream)
{
    simt_put(stream, [=] { memset(memory, value, n_bytes); });
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    *stream = new simt_stream{order != LATE_FIRST, {}};
    others.push_back(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    run_all(stream);
    std::erase(others, stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    run_all(find(stream));
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    if (event->last != NULL) {
        put(stream, {event->last, nullptr});
    }
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new simt_event{};
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    std::shared_ptr<simt_mark> mark(new simt_mark{find(stream), false});
    event->last = mark;
    simt_put(stream, [=] { mark->is_done = true; });
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    while (event->last != NULL && !event->last->is_done) {
        run_one(event->last->stream);
        hurry();
    }
    return cudaSuccess;
}
