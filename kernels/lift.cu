/* Lifts, and a second queue beside a thread's own: memory.h's struct beside.
 *
 * A lift copies on a stream of its own, from pinned memory. Three events order it with
 * the thread's stream: left[i], when the host's block i is up, is waited for by who
 * takes the block and by the host before it writes there again; taken, when the block
 * on the device has been copied on, by the next copy up. Floors: n bytes over the bus,
 * and 2 n of the device's memory to take them, which is little beside the first and
 * keeps the nets' arrays where they are. */
#include "kernels/cuda.h"

#include <stdlib.h>
#include <string.h>

enum { N_ROOMS = 2 };

struct lift {
    cudaStream_t stream;
    void *room[N_ROOMS]; /* on the host */
    cudaEvent_t left[N_ROOMS], taken;
    void *block; /* on the device */
    int next;    /* the room to be filled */
};

static bool new_event(cudaEvent_t *ret_event)
{
    return cuda_check(cudaEventCreateWithFlags(ret_event, cudaEventDisableTiming),
                      "make an event");
}

static void wait_on(cudaStream_t stream, cudaEvent_t event)
{
    (void)cuda_check(cudaStreamWaitEvent(stream, event, 0), "wait for an event");
}

static void mark(cudaEvent_t event, cudaStream_t stream)
{
    (void)cuda_check(cudaEventRecord(event, stream), "record an event");
}

static bool fill(struct lift *lift, size_t n_bytes)
{
    bool is_good =
        cuda_check(cudaStreamCreateWithFlags(&lift->stream, cudaStreamNonBlocking),
                   "make a stream") &&
        new_event(&lift->taken) && device_alloc(n_bytes + 1, &lift->block);
    for (int i = 0; i < N_ROOMS && is_good; i++) {
        is_good =
            new_event(&lift->left[i]) &&
            cuda_check(cudaMallocHost(&lift->room[i], n_bytes + 1), "host memory");
        if (is_good) {
            memset(lift->room[i], 0, n_bytes);
        }
    }
    return is_good;
}

static struct lift *lift_open(size_t n_bytes)
{
    struct lift *lift = (struct lift *)calloc(1, sizeof *lift);
    if (lift != NULL && !fill(lift, n_bytes)) {
        cuda_beside.lift_close(lift);
        (void)device_error(); /* the caller says so in its own words */
        return NULL;
    }
    return lift;
}

static void lift_close(struct lift *lift)
{
    if (lift == NULL) {
        return;
    }
    if (lift->stream != NULL) {
        (void)cuda_check(cudaStreamSynchronize(lift->stream), "wait for a lift");
        (void)cuda_check(cudaStreamDestroy(lift->stream), "free a stream");
    }
    for (int i = 0; i < N_ROOMS; i++) {
        if (lift->room[i] != NULL) {
            (void)cuda_check(cudaFreeHost(lift->room[i]), "free host memory");
        }
        if (lift->left[i] != NULL) {
            (void)cuda_check(cudaEventDestroy(lift->left[i]), "free an event");
        }
    }
    if (lift->taken != NULL) {
        (void)cuda_check(cudaEventDestroy(lift->taken), "free an event");
    }
    device_free(lift->block);
    free(lift);
}

/* An event that was never recorded keeps nobody waiting. */
static void *lift_room(struct lift *lift)
{
    (void)cuda_check(cudaEventSynchronize(lift->left[lift->next]), "wait for a lift");
    return lift->room[lift->next];
}

static void lift_send(struct lift *lift, size_t n_bytes)
{
    int room = lift->next;
    wait_on(lift->stream, lift->taken);
    (void)cuda_check(cudaMemcpyAsync(lift->block, lift->room[room], n_bytes,
                                     cudaMemcpyHostToDevice, lift->stream),
                     "upload beside");
    mark(lift->left[room], lift->stream);
    lift->next = (room + 1) % N_ROOMS;
}

static void lift_take(struct lift *lift, void *to, size_t n_bytes)
{
    int sent = (lift->next + N_ROOMS - 1) % N_ROOMS;
    wait_on(cuda_stream(), lift->left[sent]);
    (void)device_copy(to, lift->block, n_bytes);
    mark(lift->taken, cuda_stream());
}

/* A thread's second queue, made when it is first used and kept for its life. */
static thread_local cudaStream_t second, first;
static thread_local cudaEvent_t here;

static bool have_second(void)
{
    void *stream = NULL;
    if (second == NULL && new_event(&here) && device_stream_new(&stream)) {
        second = (cudaStream_t)stream;
    }
    return second != NULL;
}

static void aside(bool is_aside)
{
    if (!have_second()) {
        return; /* remembered: what is computed now is undefined */
    }
    if (is_aside) {
        first = cuda_stream();
    }
    device_stream_use(is_aside ? second : first);
}

/* A wait is for the event as it was recorded last, so one serves both ways. */
static void meet(void)
{
    if (have_second()) {
        mark(here, cuda_stream());
        wait_on(second, here);
        mark(here, second);
        wait_on(cuda_stream(), here);
    }
}

const struct beside cuda_beside = {.lift_open = lift_open,
                                   .lift_close = lift_close,
                                   .lift_room = lift_room,
                                   .lift_send = lift_send,
                                   .lift_take = lift_take,
                                   .aside = aside,
                                   .meet = meet};
