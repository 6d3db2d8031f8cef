#include "worker/wireup.h"

#include <errno.h>
#include <pmix.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEY_NAME "ppt.seal.identity"

static pmix_proc_t myself;

static int check(pmix_status_t status, const char *what, struct error *err)
{
    if (status == PMIX_SUCCESS)
        return 0;
    error_set(err, PPT_ECOMM, "PMIx could not %s: %s", what, PMIx_Error_string(status));
    return error_hint(err, "start the ranks with srun --mpi=pmix or mpirun");
}

/* Unknown counts as several nodes: sealing too much costs time only. */
static bool spans_nodes(int size)
{
    pmix_proc_t all;
    pmix_value_t *value = NULL;
    PMIX_LOAD_PROCID(&all, myself.nspace, PMIX_RANK_WILDCARD);
    if (PMIx_Get(&all, PMIX_LOCAL_SIZE, NULL, 0, &value) != PMIX_SUCCESS ||
        value == NULL)
        return true;
    bool is_one_node =
        value->type == PMIX_UINT32 && value->data.uint32 == (uint32_t)size;
    PMIX_VALUE_RELEASE(value);
    return !is_one_node;
}

int wireup_join(int rank, int size, bool *ret_spans_nodes, struct error *err)
{
    if (size == 1) {
        *ret_spans_nodes = false;
        return 0;
    }
    /* MPI has done so already; the library counts. */
    int rc = check(PMIx_Init(&myself, NULL, 0), "be reached", err);
    if (rc != 0)
        return rc;
    if (myself.rank != (pmix_rank_t)rank) {
        error_set(err, PPT_ECOMM, "rank %d of MPI is rank %u of PMIx", rank,
                  (unsigned)myself.rank);
        wireup_leave(size);
        return -PPT_ECOMM;
    }
    *ret_spans_nodes = spans_nodes(size);
    return 0;
}

void wireup_leave(int size)
{
    if (size > 1)
        PMIx_Finalize(NULL, 0);
}

/* *ret_value is freed by PMIX_VALUE_RELEASE; untouched where it fails. */
static int ask(const pmix_proc_t *proc, const char *key, pmix_data_type_t type,
               const char *what, pmix_value_t **ret_value, struct error *err)
{
    pmix_value_t *value = NULL;
    int rc = check(PMIx_Get(proc, key, NULL, 0, &value), what, err);
    if (rc == 0 && (value == NULL || value->type != type))
        rc = error_set(err, PPT_ECOMM, "PMIx could not %s: it has another form", what);
    if (rc == 0)
        *ret_value = value;
    else if (value != NULL)
        PMIX_VALUE_RELEASE(value);
    return rc;
}

int wireup_find_place(int size, struct wireup_place *ret_place, struct error *err)
{
    static struct wireup_place place; /* ranks do not move: asked for once */
    static bool is_known;
    pmix_proc_t self;
    pmix_value_t *value;
    if (size == 1 || is_known) {
        *ret_place = place;
        return 0;
    }
    int rc = check(PMIx_Init(&self, NULL, 0), "be reached", err);
    if (rc != 0)
        return rc;
    rc = ask(&self, PMIX_LOCAL_RANK, PMIX_UINT16, "tell a rank's number on its node",
             &value, err);
    if (rc == 0) {
        place.local_rank = value->data.uint16;
        PMIX_VALUE_RELEASE(value);
        rc = ask(&self, PMIX_NODEID, PMIX_UINT32, "tell a rank's node", &value, err);
    }
    if (rc == 0) {
        place.node = value->data.uint32;
        PMIX_VALUE_RELEASE(value);
        *ret_place = place;
        is_known = true;
    }
    PMIx_Finalize(NULL, 0);
    return rc;
}

int wireup_host(int size, int rank, char *ret_name, size_t name_size, struct error *err)
{
    /* Of the rank that was asked for last, which on one node is always the same. */
    static char known[256];
    static int known_rank = -1;
    pmix_proc_t proc;
    pmix_value_t *value;
    if (size == 1) {
        if (gethostname(ret_name, name_size) != 0 && errno != ENAMETOOLONG)
            return error_errno(err, PPT_EIO, "cannot tell this host's name");
        ret_name[name_size - 1] = '\0';
        return 0;
    }
    if (rank == known_rank) {
        snprintf(ret_name, name_size, "%s", known);
        return 0;
    }
    int rc = check(PMIx_Init(&proc, NULL, 0), "be reached", err);
    if (rc != 0)
        return rc;
    proc.rank = (pmix_rank_t)rank;
    rc = ask(&proc, PMIX_HOSTNAME, PMIX_STRING, "tell a rank's host", &value, err);
    if (rc == 0) {
        snprintf(known, sizeof known, "%s", value->data.string);
        known_rank = rank;
        snprintf(ret_name, name_size, "%s", known);
        PMIX_VALUE_RELEASE(value);
    }
    PMIx_Finalize(NULL, 0);
    return rc;
}

static int publish(const unsigned char key[CRYPTO_KEY_SIZE], struct error *err)
{
    unsigned char copy[CRYPTO_KEY_SIZE];
    pmix_value_t value;
    memcpy(copy, key, sizeof copy);
    PMIX_VALUE_CONSTRUCT(&value);
    value.type = PMIX_BYTE_OBJECT;
    value.data.bo.bytes = (char *)copy;
    value.data.bo.size = sizeof copy;
    int rc = check(PMIx_Put(PMIX_GLOBAL, KEY_NAME, &value), "take a key", err);
    if (rc == 0)
        rc = check(PMIx_Commit(), "publish a key", err);
    return rc;
}

/* Waits until every rank has published. */
static int meet(struct error *err)
{
    pmix_info_t collect;
    bool yes = true;
    PMIX_INFO_CONSTRUCT(&collect);
    PMIX_INFO_LOAD(&collect, PMIX_COLLECT_DATA, &yes, PMIX_BOOL);
    int rc = check(PMIx_Fence(NULL, 0, &collect, 1), "gather the ranks' keys", err);
    PMIX_INFO_DESTRUCT(&collect);
    return rc;
}

static int fetch(int rank, unsigned char ret_key[CRYPTO_KEY_SIZE], struct error *err)
{
    pmix_proc_t proc;
    pmix_value_t *value = NULL;
    PMIX_LOAD_PROCID(&proc, myself.nspace, (pmix_rank_t)rank);
    int rc =
        check(PMIx_Get(&proc, KEY_NAME, NULL, 0, &value), "find a rank's key", err);
    if (rc != 0)
        return rc;
    if (value->type == PMIX_BYTE_OBJECT && value->data.bo.size == CRYPTO_KEY_SIZE)
        memcpy(ret_key, value->data.bo.bytes, CRYPTO_KEY_SIZE);
    else
        rc = error_set(err, PPT_ECOMM, "the key of rank %d has another form", rank);
    PMIX_VALUE_RELEASE(value);
    return rc;
}

int wireup_keys(int size, const unsigned char key[CRYPTO_KEY_SIZE],
                unsigned char (*ret_keys)[CRYPTO_KEY_SIZE], struct error *err)
{
    int rc = publish(key, err);
    if (rc == 0)
        rc = meet(err);
    for (int rank = 0; rc == 0 && rank < size; rank++)
        rc = fetch(rank, ret_keys[rank], err);
    return rc;
}
