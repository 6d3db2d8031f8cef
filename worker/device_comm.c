#include "worker/device_comm.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "worker/agree.h"

#define NAME_WORDS 2
/* A step's sums are there within this many looks; what takes longer waits for a rank
 * that works, and shall not take a core of its. */
#define N_LOOKS 10000
#define NAP_NS 50000

struct device_comm {
    struct comm_device device; /* first: what callers hold */
    const struct nccl_module *module;
    struct nccl_link *link; /* NULL: aborted */
};

bool device_comm_module(const char *path, const struct nccl_module **ret_module,
                        struct error *err)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct nccl_module *module = NULL;
    if (handle == NULL) {
        const char *why = dlerror();
        error_set(err, PPT_ESTATE, "%.300s", why == NULL ? path : why);
        return false;
    }
    module = dlsym(handle, NCCL_MODULE_SYMBOL);
    if (module == NULL || strcmp(module->version, PPT_VERSION) != 0) {
        dlclose(handle);
        error_set(err, PPT_ESTATE, "%s is not of this ppt-worker's build", path);
        return false;
    }
    *ret_module = module;
    return true;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int lose(struct device_comm *self, const char *why, struct error *err)
{
    error_set(err, PPT_ECOMM, "the ranks' devices could not meet: %.500s", why);
    if (self->link != NULL)
        self->module->drop(self->link);
    self->link = NULL;
    return -PPT_ECOMM;
}

/* For what was begun; at most patience_s, or without end where that is 0. */
static int wait_for(struct device_comm *self, bool has_begun, int patience_s,
                    struct error *err)
{
    const struct timespec nap = {.tv_nsec = NAP_NS};
    double until = now_s() + patience_s;
    int state = has_begun ? 0 : -1;
    for (int64_t looks = 0; has_begun; looks++) {
        state = self->module->poll(self->link);
        if (state != 0)
            break;
        if (patience_s > 0 && now_s() > until)
            return lose(self, "they took too long", err);
        if (looks < N_LOOKS)
            sched_yield();
        else
            nanosleep(&nap, NULL);
    }
    return state > 0 ? 0 : lose(self, self->module->error(), err);
}

static int check_link(const struct device_comm *self, struct error *err)
{
    return self->link != NULL
               ? 0
               : error_set(err, PPT_ECOMM, "the ranks' devices no longer meet");
}

static int reduce_scatter_f64(struct comm_device *device, const double *send,
                              double *recv, size_t n_slice, struct error *err)
{
    struct device_comm *self = (struct device_comm *)device;
    int rc = check_link(self, err);
    if (rc != 0)
        return rc;
    bool has_begun = self->module->reduce_scatter_f64(self->link, send, recv, n_slice);
    return wait_for(self, has_begun, 0, err);
}

static int all_gather_f32(struct comm_device *device, const float *send, float *recv,
                          size_t n_slice, struct error *err)
{
    struct device_comm *self = (struct device_comm *)device;
    int rc = check_link(self, err);
    if (rc != 0)
        return rc;
    bool has_begun = self->module->all_gather_f32(self->link, send, recv, n_slice);
    return wait_for(self, has_begun, 0, err);
}

/* Why devices cannot meet, as far as a rank knows by itself, and the names of all:
 * names[size][NAME_WORDS] and, last, a 1 where any rank cannot. */
static const char *name_own(const struct comm *control,
                            const struct device_comm_site *site, int64_t *names)
{
    const int n = control->size * NAME_WORDS;
    const char *why = NULL;
    for (int i = 0; i < n; i++)
        names[i] = INT64_MIN;
    if (site->module == NULL)
        why = "a rank has no module of NCCL's";
    else if (!site->module->name(site->device, names + control->rank * NAME_WORDS))
        why = site->module->error();
    names[n] = why != NULL;
    return why;
}

static bool are_apart(const int64_t *names, int size)
{
    for (int i = 0; i < size; i++) {
        for (int j = 0; j < i; j++) {
            if (memcmp(names + i * NAME_WORDS, names + j * NAME_WORDS,
                       NAME_WORDS * sizeof *names) == 0)
                return false;
        }
    }
    return true;
}

static int all_can(struct comm *control, const struct device_comm_site *site,
                   bool *ret_can, struct error *err)
{
    const int n = control->size * NAME_WORDS;
    int64_t *names = calloc((size_t)n + 1, sizeof *names);
    const char *why = NULL;
    int rc = 0;
    if (names == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory for %d ranks", control->size);
    rc = agree(control, rc, err);
    if (rc == 0) {
        why = name_own(control, site, names);
        rc = control->ops->max_i64(control, names, (size_t)n + 1, err);
    }
    *ret_can = rc == 0 && names[n] == 0;
    if (*ret_can && !are_apart(names, control->size)) {
        *ret_can = false;
        why = "ranks share a device";
    }
    if (rc == 0 && !*ret_can)
        log_info("the ranks' devices meet in the host's memory: %s",
                 why == NULL ? "another rank cannot" : why);
    free(names);
    return rc;
}

/* Rank 0's invitation and the first meeting. */
static int meet(struct comm *control, const struct device_comm_site *site,
                struct device_comm *self, struct error *err)
{
    unsigned char id[NCCL_ID_SIZE] = {0};
    int rc = 0;
    if (control->rank == 0 && !self->module->new_id(id))
        rc = lose(self, self->module->error(), err);
    rc = agree(control, rc, err);
    if (rc != 0)
        return rc;
    rc = control->ops->broadcast(control, id, sizeof id, 0, err);
    if (rc != 0)
        return rc;
    self->link = self->module->open(id, site->device, control->rank, control->size);
    return agree(control, wait_for(self, self->link != NULL, site->patience_s, err),
                 err);
}

int device_comm_open(struct comm *control, const struct device_comm_site *site,
                     struct comm_device **ret_device, struct error *err)
{
    bool can = false;
    *ret_device = NULL;
    if (control->size == 1 || site->device < 0)
        return 0;
    if (site->is_sealed) {
        log_info("the ranks' devices meet in the host's memory: the channels are "
                 "sealed, and NCCL's are not");
        return 0;
    }
    int rc = all_can(control, site, &can, err);
    if (rc != 0 || !can)
        return rc;
    struct device_comm *self = calloc(1, sizeof *self);
    if (self == NULL)
        rc = error_set(err, PPT_ENOMEM, "no memory for the devices' channel");
    rc = agree(control, rc, err);
    if (rc != 0) {
        free(self);
        return rc;
    }
    *self = (struct device_comm){.device = {reduce_scatter_f64, all_gather_f32},
                                 .module = site->module};
    struct error own = {0};
    if (meet(control, site, self, &own) == 0) {
        *ret_device = &self->device;
        return 0;
    }
    log_warning("%s; they go on in the host's memory", own.text);
    device_comm_close(&self->device);
    return 0;
}

void device_comm_close(struct comm_device *device)
{
    struct device_comm *self = (struct device_comm *)device;
    if (self == NULL)
        return;
    if (self->link != NULL)
        self->module->drop(self->link);
    free(self);
}
