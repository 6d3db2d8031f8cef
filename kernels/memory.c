#include "kernels/memory.h"

#include <stdlib.h>
#include <string.h>

static void *host_alloc(size_t n_bytes)
{
    enum { ALIGN = 64 };
    size_t rounded = (n_bytes + ALIGN) / ALIGN * ALIGN; /* at least one line */
    void *memory = rounded > n_bytes ? aligned_alloc(ALIGN, rounded) : NULL;
    if (memory != NULL) {
        memset(memory, 0, rounded);
    }
    return memory;
}

static void host_copy(void *to, const void *from, size_t n_bytes)
{
    if (n_bytes > 0 && to != from) {
        memcpy(to, from, n_bytes);
    }
}

static void host_zero(void *memory, size_t n_bytes)
{
    if (n_bytes > 0) {
        memset(memory, 0, n_bytes);
        __asm__ volatile("" : : "r"(memory) : "memory"); /* secrets too */
    }
}

static const char *host_fault(void)
{
    return NULL;
}

const struct memory memory_host = {
    .is_host = true,
    .most_examples = 256,
    .near_bytes = 4u << 20, /* the caches near one core */
    .alloc = host_alloc,
    .free = free,
    .stage = host_alloc,
    .unstage = free,
    .upload = host_copy,
    .download = host_copy,
    .copy = host_copy,
    .zero = host_zero,
    .fault = host_fault,
};
