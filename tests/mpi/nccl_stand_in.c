#include "tests/mpi/nccl_stand_in.h"

#include <string.h>

struct nccl_link {
    int looks_left, outcome;
};

struct nccl_stand_in nccl_stand_in;
static struct nccl_link the_link;
static const unsigned char id[NCCL_ID_SIZE] = "rank 0 listens here";

static bool name(int device, int64_t ret_name[2])
{
    ret_name[0] = nccl_stand_in.device_name;
    ret_name[1] = device;
    return true;
}

static bool new_id(unsigned char ret_id[NCCL_ID_SIZE])
{
    memcpy(ret_id, id, sizeof id);
    return !nccl_stand_in.refuses_id;
}

/* Is done or has failed after a few looks. */
static void begin(int outcome)
{
    the_link = (struct nccl_link){.looks_left = 3, .outcome = outcome};
}

static struct nccl_link *open_link(const unsigned char got[NCCL_ID_SIZE], int device,
                                   int rank, int size)
{
    struct comm *comm = nccl_stand_in.comm;
    if (nccl_stand_in.refuses_open || memcmp(got, id, sizeof id) != 0 || device < 0 ||
        rank != comm->rank || size != comm->size)
        return NULL;
    nccl_stand_in.n_opened++;
    begin(nccl_stand_in.is_never_met ? 0 : 1);
    return &the_link;
}

/* True: the numbers are to be moved. */
static bool begin_next(void)
{
    int number = ++nccl_stand_in.n_begun;
    bool fails = number == nccl_stand_in.fails_at;
    begin(fails ? -1 : number != nccl_stand_in.hangs_at);
    return the_link.outcome == 1;
}

static bool reduce_scatter_f64(struct nccl_link *link, const double *send, double *recv,
                               size_t n_slice)
{
    struct comm *comm = nccl_stand_in.comm;
    return link == &the_link &&
           (!begin_next() ||
            comm->ops->reduce_scatter_f64(comm, send, recv, n_slice, NULL) == 0);
}

static bool all_gather_f32(struct nccl_link *link, const float *send, float *recv,
                           size_t n_slice)
{
    struct comm *comm = nccl_stand_in.comm;
    return link == &the_link &&
           (!begin_next() ||
            comm->ops->all_gather_f32(comm, send, recv, n_slice, NULL) == 0);
}

static int poll_link(struct nccl_link *link)
{
    return link->looks_left-- > 0 ? 0 : link->outcome;
}

static void drop(struct nccl_link *link)
{
    nccl_stand_in.n_dropped += link == &the_link;
}

static const char *error(void)
{
    return "as it was told to";
}

const struct nccl_module nccl_stand_in_module = {.version = PPT_VERSION,
                                                 .name = name,
                                                 .new_id = new_id,
                                                 .open = open_link,
                                                 .reduce_scatter_f64 =
                                                     reduce_scatter_f64,
                                                 .all_gather_f32 = all_gather_f32,
                                                 .poll = poll_link,
                                                 .drop = drop,
                                                 .error = error};
