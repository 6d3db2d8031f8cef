#include "jobs/dp/footprint.h"

#include <stdlib.h>

#include "jobs/dp/trainer.h"
#include "jobs/privacy/price.h"
#include "kernels/kernels.h"

/* As memory_host's, but nobody writes there yet, so that no page is taken. */
static void *lazy_alloc(size_t n_bytes)
{
    enum { ALIGN = 64 };
    return aligned_alloc(ALIGN, (n_bytes + ALIGN) / ALIGN * ALIGN);
}

static void leave(void *memory, size_t n_bytes)
{
    (void)memory, (void)n_bytes;
}

static void leave_copy(void *to, const void *from, size_t n_bytes)
{
    (void)to, (void)from, (void)n_bytes;
}

static int no_base(struct io *io, const struct tensor_view *wanted, float *ret_values,
                   struct error *err)
{
    (void)io, (void)wanted, (void)ret_values, (void)err;
    return 0;
}

static int64_t deck_bytes(const struct price *price, const struct manifest_split *split,
                          int64_t ranks)
{
    int64_t n = split->nominal_count / ranks + 1;
    return price->n_bins > 0 ? n / 8 + n / 2048 : 0;
}

int footprint_trainer(const struct spec *spec, const struct manifest *manifest,
                      int n_threads, struct footprint_engine *ret_engine,
                      struct error *err)
{
    const struct manifest_split *split = manifest_split(manifest, spec->dataset.train);
    struct memory memory = memory_host;
    memory.alloc = lazy_alloc;
    memory.zero = leave, memory.upload = memory.copy = leave_copy;
    struct kernels kernels = kernels_cpu;
    kernels.memory = &memory;
    struct comm comm = comm_alone;
    comm.size = (int)spec->resources.ranks;
    struct rows rows = {0};
    struct io io = {.train = &rows, .base_read = no_base};
    struct env env = {
        .comm = &comm, .io = &io, .kernels = &kernels, .n_threads = n_threads};
    struct trainer trainer = {0};
    struct plan *plan = calloc(1, sizeof *plan);
    int rc = plan == NULL ? error_set(err, PPT_ENOMEM, "no memory for a plan") : 0;
    if (rc == 0) {
        rc = price_job(spec, manifest, &plan->price, err);
    }
    if (rc == 0) {
        rc = trainer_open(&trainer, plan, spec, manifest, &env, NULL, err);
    }
    if (rc == 0) {
        ret_engine->bytes = (int64_t)trainer_memory_bytes(&trainer) +
                            deck_bytes(&plan->price, split, comm.size);
        ret_engine->micro_batch = trainer.net.max_n;
        trainer_close(&trainer);
    }
    free(plan);
    return rc;
}
