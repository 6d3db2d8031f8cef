/* Where ranks' devices meet and what happens when one is lost, by a table that stands
 * in for NCCL's. A fault is printed with its rank and ends all of them with status 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mpi/nccl_stand_in.h"
#include "worker/agree.h"
#include "worker/comm_mpi.h"
#include "worker/device_comm.h"
#include "worker/stop.h"

#define CHECK(holds)                                                                   \
    do {                                                                               \
        if (!(holds)) {                                                                \
            fprintf(stderr, "rank %d: line %d: %s\n", control.rank, __LINE__, #holds); \
            comm_mpi_abort(1);                                                         \
        }                                                                              \
    } while (0)

static struct comm comm, control;
static struct error err;
static const struct device_comm_site good = {
    .module = &nccl_stand_in_module, .device = 1, .patience_s = 1};

static bool is_last(void)
{
    return control.rank == control.size - 1;
}

static struct comm_device *open_device(struct device_comm_site site)
{
    struct comm_device *device = (struct comm_device *)&site;
    CHECK(device_comm_open(&control, &site, &device, &err) == 0);
    return device;
}

/* One stand-in after the other, each rank's with a device of its own. */
static void reset(void)
{
    nccl_stand_in =
        (struct nccl_stand_in){.comm = &comm, .device_name = 40 + control.rank};
}

static void check_choice(void)
{
    struct device_comm_site site = good;
    reset();
    site.device = -1; /* CPUs */
    CHECK(open_device(site) == NULL);
    site = good;
    site.is_sealed = true;
    CHECK(open_device(site) == NULL);
    site = good;
    site.module = is_last() ? NULL : good.module;
    CHECK(open_device(site) == NULL);
    nccl_stand_in.device_name = is_last() ? 40 : 40 + control.rank; /* rank 0's too */
    CHECK(open_device(good) == NULL);
    CHECK(nccl_stand_in.n_opened == 0);
    reset();
    struct comm_device *device = open_device(good);
    CHECK(device != NULL && nccl_stand_in.n_opened == 1);
    device_comm_close(device);
    CHECK(nccl_stand_in.n_dropped == 1);
}

/* MPI it is then, on all ranks, and what some had opened is dropped. */
static void check_refusals(void)
{
    reset();
    nccl_stand_in.refuses_id = true;
    CHECK(open_device(good) == NULL && nccl_stand_in.n_opened == 0);
    reset();
    nccl_stand_in.refuses_open = is_last();
    CHECK(open_device(good) == NULL && nccl_stand_in.n_opened == !is_last());
    CHECK(nccl_stand_in.n_dropped == nccl_stand_in.n_opened);
    reset();
    nccl_stand_in.is_never_met = is_last();
    CHECK(open_device(good) == NULL && nccl_stand_in.n_opened == 1);
    CHECK(nccl_stand_in.n_dropped == 1);
}

/* The collectives are the table's, and what comes out is what MPI makes of it. */
static void check_slices(struct comm_device *device, size_t n_slice)
{
    size_t n = n_slice * (size_t)control.size;
    double *send = calloc(n + 1, sizeof *send), *sum = calloc(n_slice + 1, sizeof *sum);
    double *expected = calloc(n_slice + 1, sizeof *expected);
    float *own = calloc(n_slice + 1, sizeof *own), *all = calloc(n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++)
        send[i] = (double)(i % 1000) * 0x1p30 * (control.rank + 1);
    for (size_t i = 0; i < n_slice; i++)
        own[i] = (float)(control.rank + 1) + (float)i;
    CHECK(device->reduce_scatter_f64(device, send, sum, n_slice, &err) == 0);
    CHECK(comm.ops->reduce_scatter_f64(&comm, send, expected, n_slice, &err) == 0);
    CHECK(memcmp(sum, expected, n_slice * sizeof *sum) == 0);
    CHECK(device->all_gather_f32(device, own, all, n_slice, &err) == 0);
    for (size_t i = 0; i < n; i++)
        CHECK(all[i] == (float)(i / n_slice + 1) + (float)(i % n_slice));
    free(send), free(sum), free(expected), free(own), free(all);
}

static void check_collectives(void)
{
    reset();
    struct comm_device *device = open_device(good);
    CHECK(device != NULL);
    check_slices(device, 0);
    check_slices(device, 1);
    check_slices(device, 1003);
    CHECK(nccl_stand_in.n_begun == 6 && nccl_stand_in.n_dropped == 0);
    device_comm_close(device);
}

/* The last rank's device fails, and the others' NCCL notices. Each link is aborted
 * once, and all hear the cause, not that the ranks lost each other. */
static void check_lost(void)
{
    double send[8] = {0}, slice[1];
    float own[1] = {0}, all[8];
    struct error own_err = {0};
    int rc;
    reset();
    nccl_stand_in.fails_at = 2;
    struct comm_device *device = open_device(good);
    CHECK(device != NULL);
    CHECK(device->reduce_scatter_f64(device, send, slice, 1, &err) == 0);
    if (is_last()) {
        rc = error_set(&own_err, PPT_ESTATE, "the device: it has burnt");
    } else {
        rc = device->all_gather_f32(device, own, all, 1, &own_err);
        CHECK(rc == -PPT_ECOMM && strstr(own_err.text, "as it was told to") != NULL);
        CHECK(nccl_stand_in.n_dropped == 1);
        CHECK(device->reduce_scatter_f64(device, send, slice, 1, &err) == -PPT_ECOMM);
        CHECK(device->all_gather_f32(device, own, all, 1, &err) == -PPT_ECOMM);
        CHECK(nccl_stand_in.n_begun == 2);
    }
    CHECK(agree(&control, rc, &own_err) == -PPT_ESTATE);
    CHECK(strcmp(own_err.text, "the device: it has burnt") == 0);
    device_comm_close(device);
    CHECK(nccl_stand_in.n_dropped == 1);
}

/* The last rank never comes, and nothing tells the others: its own clock ends all. */
static void check_away(void)
{
    double send[8] = {0}, slice[1];
    struct error own_err = {0};
    reset();
    nccl_stand_in.hangs_at = 1;
    struct comm_device *device = open_device(good);
    CHECK(device != NULL);
    if (!is_last())
        CHECK(device->reduce_scatter_f64(device, send, slice, 1, &err) != 0 && false);
    int rc = error_set(&own_err, PPT_EDATA, "only mine");
    stop_within(2);
    CHECK(agree(&control, rc, &own_err) == -PPT_EDATA && stop_overdue == 1);
    CHECK(strcmp(own_err.text, "only mine") == 0);
    comm_mpi_abort(0);
}

int main(int argc, char **argv)
{
    bool is_away = argc > 1 && strcmp(argv[1], "away") == 0;
    if (comm_mpi_start(&argc, &argv, &err) != 0 || comm_mpi_new(&comm, &err) != 0 ||
        comm_mpi_new_control(&stop_overdue, &control, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (is_away)
        check_away();
    check_choice();
    check_refusals();
    check_collectives();
    check_lost();
    comm_mpi_free(&control);
    comm_mpi_free(&comm);
    comm_mpi_end();
    return 0;
}
