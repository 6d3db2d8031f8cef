#include "worker/comm_nccl.h"

#include <cuda_runtime_api.h>
#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(ncclUniqueId) == NCCL_ID_SIZE, "an id fits");
_Static_assert(sizeof((struct cudaDeviceProp){0}.uuid) == 2 * sizeof(int64_t),
               "a name fits");

struct nccl_link {
    ncclComm_t comm;
    cudaStream_t stream;
};

static _Thread_local char why[512];

static bool cuda_is_good(cudaError_t status)
{
    if (status != cudaSuccess)
        snprintf(why, sizeof why, "%s", cudaGetErrorString(status));
    return status == cudaSuccess;
}

/* Also of what has only begun. */
static bool nccl_is_good(ncclResult_t status, ncclComm_t comm)
{
    bool is_good = status == ncclSuccess || status == ncclInProgress;
    const char *more = is_good ? NULL : ncclGetLastError(comm);
    if (!is_good)
        snprintf(why, sizeof why, "%s%s%.400s", ncclGetErrorString(status),
                 more == NULL || *more == '\0' ? "" : ": ", more == NULL ? "" : more);
    return is_good;
}

static bool name(int device, int64_t ret_name[2])
{
    struct cudaDeviceProp properties;
    if (!cuda_is_good(cudaGetDeviceProperties(&properties, device)))
        return false;
    memcpy(ret_name, &properties.uuid, sizeof properties.uuid);
    return true;
}

/* The job's ranks are on one node, so what does not go from device to device or through
 * memory goes over the loopback interface, where no other machine listens; and no
 * variable of the environment has NCCL load code that would run with the records in
 * reach, or meet elsewhere. */
static void stay_inside(void)
{
    static const char *const settings[][2] = {
        {"NCCL_SOCKET_IFNAME", "=lo"},    {"NCCL_NET", "Socket"},
        {"NCCL_NET_PLUGIN", "none"},      {"NCCL_TUNER_PLUGIN", "none"},
        {"NCCL_PROFILER_PLUGIN", "none"}, {"NCCL_CONF_FILE", "/dev/null"}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        setenv(settings[i][0], settings[i][1], 1);
    unsetenv("NCCL_COMM_ID");
}

static bool new_id(unsigned char ret_id[NCCL_ID_SIZE])
{
    ncclUniqueId id;
    stay_inside();
    if (!nccl_is_good(ncclGetUniqueId(&id), NULL))
        return false;
    memcpy(ret_id, &id, sizeof id);
    return true;
}

static void drop(struct nccl_link *link)
{
    if (link->comm != NULL)
        ncclCommAbort(link->comm);
    if (link->stream != NULL)
        cudaStreamDestroy(link->stream);
    free(link);
}

static struct nccl_link *open_link(const unsigned char id[NCCL_ID_SIZE], int device,
                                   int rank, int size)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId unique;
    struct nccl_link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        snprintf(why, sizeof why, "no memory");
        return NULL;
    }
    config.blocking = 0;
    memcpy(&unique, id, sizeof unique);
    stay_inside();
    if (!cuda_is_good(cudaSetDevice(device)) ||
        !cuda_is_good(
            cudaStreamCreateWithFlags(&link->stream, cudaStreamNonBlocking)) ||
        !nccl_is_good(ncclCommInitRankConfig(&link->comm, size, unique, rank, &config),
                      NULL)) {
        drop(link);
        return NULL;
    }
    return link;
}

static bool reduce_scatter_f64(struct nccl_link *link, const double *send, double *recv,
                               size_t n_slice)
{
    return nccl_is_good(ncclReduceScatter(send, recv, n_slice, ncclFloat64, ncclSum,
                                          link->comm, link->stream),
                        link->comm);
}

static bool all_gather_f32(struct nccl_link *link, const float *send, float *recv,
                           size_t n_slice)
{
    return nccl_is_good(
        ncclAllGather(send, recv, n_slice, ncclFloat32, link->comm, link->stream),
        link->comm);
}

/* NCCL first: until it has queued its work the stream is empty, which looks like done.
 */
static int poll_link(struct nccl_link *link)
{
    ncclResult_t state = ncclSuccess;
    if (!nccl_is_good(ncclCommGetAsyncError(link->comm, &state), link->comm) ||
        !nccl_is_good(state, link->comm))
        return -1;
    if (state == ncclInProgress)
        return 0;
    cudaError_t stream = cudaStreamQuery(link->stream);
    if (stream == cudaErrorNotReady)
        return 0;
    return cuda_is_good(stream) ? 1 : -1;
}

static const char *error(void)
{
    return why;
}

extern const struct nccl_module ppt_nccl_module;
const struct nccl_module ppt_nccl_module = {.version = PPT_VERSION,
                                            .name = name,
                                            .new_id = new_id,
                                            .open = open_link,
                                            .reduce_scatter_f64 = reduce_scatter_f64,
                                            .all_gather_f32 = all_gather_f32,
                                            .poll = poll_link,
                                            .drop = drop,
                                            .error = error};
