/* NCCL itself, on devices: one rank beside itself, and where there are more devices
 * than one the ranks through device_comm. Exits 77 where there is no device. mpi_nccl
 * KERNELS_MODULE NCCL_MODULE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/agree.h"
#include "worker/comm_mpi.h"
#include "worker/device_comm.h"
#include "worker/gpu_module.h"
#include "worker/stop.h"

#define CHECK(holds)                                                                   \
    do {                                                                               \
        if (!(holds)) {                                                                \
            fprintf(stderr, "rank %d: line %d: %s %s\n", control.rank, __LINE__,       \
                    #holds, err.text);                                                 \
            comm_mpi_abort(1);                                                         \
        }                                                                              \
    } while (0)
#define MOST 0x1p44 /* sums of whole numbers, exact whatever the order */

static struct comm comm, control;
static struct error err;
static const struct memory *memory;
static const struct nccl_module *nccl;

static double *numbers(size_t n)
{
    double *all = calloc(n + 1, sizeof *all);
    uint64_t state = 0x9e3779b97f4a7c15u + (uint64_t)control.rank;
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        all[i] = (double)(int64_t)(state >> 20) - MOST / 2;
    }
    return all;
}

/* Sums on devices are those of MPI in the hosts' memory, to the bit. */
static void check_slices(struct comm_device *device, size_t n_slice)
{
    size_t n = n_slice * (size_t)control.size;
    double *send = numbers(n), *sum = numbers(n_slice), *expected = numbers(n_slice);
    float *all = calloc(n + 1, sizeof *all);
    double *send_there = memory->alloc(n * sizeof *send);
    double *sum_there = memory->alloc(n_slice * sizeof *sum);
    float *all_there = memory->alloc(n * sizeof *all);
    float *own_there = memory->alloc(n_slice * sizeof *all);
    for (size_t i = 0; i < n_slice; i++)
        all[i] = (float)(control.rank * 1000 + (int)(i % 1000));
    memory->upload(send_there, send, n * sizeof *send);
    memory->upload(own_there, all, n_slice * sizeof *all);
    CHECK(memory->fault() == NULL);
    CHECK(device->reduce_scatter_f64(device, send_there, sum_there, n_slice, &err) ==
          0);
    CHECK(device->all_gather_f32(device, own_there, all_there, n_slice, &err) == 0);
    memory->download(sum, sum_there, n_slice * sizeof *sum);
    memory->download(all, all_there, n * sizeof *all);
    CHECK(memory->fault() == NULL);
    CHECK(comm.ops->reduce_scatter_f64(&comm, send, expected, n_slice, &err) == 0);
    CHECK(memcmp(sum, expected, n_slice * sizeof *sum) == 0);
    for (size_t i = 0; i < n; i++)
        CHECK(all[i] == (float)((int)(i / n_slice) * 1000 + (int)(i % n_slice % 1000)));
    memory->free(send_there), memory->free(sum_there);
    memory->free(all_there), memory->free(own_there);
    free(send), free(sum), free(expected), free(all);
}

static void wait_for(struct nccl_link *link)
{
    int state = 0;
    while (state == 0)
        state = nccl->poll(link);
    if (state < 0)
        error_set(&err, PPT_ECOMM, "%s", nccl->error());
    CHECK(state == 1);
}

static void check_alone(int device)
{
    enum { N = 100003 };
    unsigned char id[NCCL_ID_SIZE];
    double *send = numbers(N), *sum = calloc(N, sizeof *sum);
    double *there = memory->alloc(N * sizeof *send);
    double *sum_there = memory->alloc(N * sizeof *sum);
    CHECK(nccl->new_id(id));
    struct nccl_link *link = nccl->open(id, device, 0, 1);
    CHECK(link != NULL);
    wait_for(link);
    memory->upload(there, send, N * sizeof *send);
    CHECK(memory->fault() == NULL);
    CHECK(nccl->reduce_scatter_f64(link, there, sum_there, N));
    wait_for(link);
    memory->download(sum, sum_there, N * sizeof *sum);
    CHECK(memory->fault() == NULL && memcmp(send, sum, N * sizeof *sum) == 0);
    nccl->drop(link);
    memory->free(there), memory->free(sum_there);
    free(send), free(sum);
}

int main(int argc, char **argv)
{
    const struct device_module *kernels = NULL;
    struct comm_device *device = NULL;
    if (argc != 3 || comm_mpi_start(&argc, &argv, &err) != 0 ||
        comm_mpi_new(&comm, &err) != 0 ||
        comm_mpi_new_control(&stop_overdue, &control, &err) != 0)
        return 1;
    CHECK(gpu_module_open(argv[1], &kernels, &err) == 0);
    CHECK(device_comm_module(argv[2], &nccl, &err));
    int n_devices = kernels->count(), mine = 0;
    if (n_devices > 0) {
        mine = control.rank % n_devices;
        CHECK(kernels->use(mine));
        memory = kernels->kernels->memory;
        struct device_comm_site site = {
            .module = nccl, .device = mine, .patience_s = 60};
        if (control.size == 1)
            check_alone(mine);
        CHECK(device_comm_open(&control, &site, &device, &err) == 0);
        CHECK((device != NULL) == (control.size > 1 && control.size <= n_devices));
        if (device != NULL) {
            check_slices(device, 1);
            check_slices(device, 100003);
        }
        device_comm_close(device);
        if (control.rank == 0)
            printf("%d ranks, %d devices: good\n", control.size, n_devices);
    }
    comm_mpi_free(&control);
    comm_mpi_free(&comm);
    comm_mpi_end();
    return n_devices > 0 ? 0 : 77;
}
