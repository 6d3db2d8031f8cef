#include "worker/wireup.h"

#include <pmix.h>
#include <string.h>

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

int wireup_local_rank(int size, int *ret_local_rank, struct error *err)
{
    pmix_proc_t self;
    pmix_value_t *value = NULL;
    if (size == 1) {
        *ret_local_rank = 0;
        return 0;
    }
    int rc = check(PMIx_Init(&self, NULL, 0), "be reached", err);
    if (rc != 0)
        return rc;
    rc = check(PMIx_Get(&self, PMIX_LOCAL_RANK, NULL, 0, &value),
               "tell a rank's number on its node", err);
    if (rc == 0 && value->type == PMIX_UINT16)
        *ret_local_rank = value->data.uint16;
    else if (rc == 0)
        rc = error_set(err, PPT_ECOMM,
                       "a rank's number on its node has another form in PMIx");
    if (value != NULL)
        PMIX_VALUE_RELEASE(value);
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
