/* Fibers of a block: simt.h. A thread runs until the next barrier or its end; a barrier
 * that not all threads of the block reach ends the test. */
#include "tests/twins/simt.h"

#include <stdio.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else
static void __sanitizer_start_switch_fiber(void **, const void *, size_t)
{
}
static void __sanitizer_finish_switch_fiber(void *, const void **, size_t *)
{
}
#endif

struct simt_index threadIdx, blockIdx, blockDim, gridDim;

enum { STACK = 64 * 1024, MAX_THREADS = 1024 };

static struct fiber {
    ucontext_t context;
    char *stack;
    bool is_done;
} fibers[MAX_THREADS];

static ucontext_t scheduler;
static const void *scheduler_stack;
static size_t scheduler_stack_size;
static const std::function<void()> *running;

/* Back to the scheduler; the last time when is_done. */
static void leave(bool is_done)
{
    struct fiber *fiber = &fibers[threadIdx.x];
    void *fake = NULL;
    fiber->is_done = is_done;
    __sanitizer_start_switch_fiber(is_done ? NULL : &fake, scheduler_stack,
                                   scheduler_stack_size);
    swapcontext(&fiber->context, &scheduler);
    __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_stack_size);
}

static void begin(void)
{
    __sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_stack_size);
    (*running)();
    leave(true);
}

void __syncthreads(void)
{
    leave(false);
}

static void run(unsigned thread)
{
    void *fake = NULL;
    threadIdx.x = thread;
    __sanitizer_start_switch_fiber(&fake, fibers[thread].stack, STACK);
    swapcontext(&scheduler, &fibers[thread].context);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

static void prepare(struct fiber *fiber)
{
    if (fiber->stack == NULL) {
        fiber->stack = (char *)malloc(STACK); /* kept until the end of the test */
    }
    if (fiber->stack == NULL || getcontext(&fiber->context) != 0) {
        abort();
    }
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK;
    fiber->is_done = false;
    makecontext(&fiber->context, begin, 0);
}

void simt_launch(unsigned n_blocks, unsigned n_threads,
                 const std::function<void()> &kernel)
{
    static unsigned turn;
    if (n_blocks < 1 || n_threads < 1 || n_threads > MAX_THREADS) {
        fprintf(stderr, "simt: a launch of %u x %u\n", n_blocks, n_threads);
        abort();
    }
    running = &kernel;
    gridDim.x = n_blocks;
    blockDim.x = n_threads;
    for (blockIdx.x = 0; blockIdx.x < n_blocks; blockIdx.x++) {
        unsigned n_done = 0;
        for (unsigned i = 0; i < n_threads; i++) {
            prepare(&fibers[i]);
        }
        while (n_done == 0) {
            turn++;
            for (unsigned i = 0; i < n_threads; i++) {
                unsigned thread = turn % 2 == 0 ? i : n_threads - 1 - i;
                run(thread);
                n_done += fibers[thread].is_done;
            }
        }
        if (n_done != n_threads) {
            fprintf(stderr, "simt: %u of %u threads never reached the barrier\n",
                    n_done, n_threads);
            abort();
        }
    }
}
