#include "tests/unit/fl/federation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/crypto.h"

static void *need(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

static void must(int rc, const struct error *err)
{
    if (rc != 0) {
        fprintf(stderr, "federation: %s\n", err->text);
        abort();
    }
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int federation_join(struct federation *federation, uint32_t number,
                    const struct session *session, struct error *err)
{
    secagg_client_free(federation->clients[number]);
    federation->clients[number] = NULL;
    return secagg_client_new(session, number, &federation->members[number],
                             &federation->clients[number], err);
}

void federation_open(struct federation *federation, const struct session_terms *terms)
{
    struct session_terms with_roster = *terms;
    struct error err = {0};
    const uint32_t n = terms->n_clients;
    *federation = (struct federation){.n = n};
    federation->members = need(calloc(n, sizeof *federation->members));
    federation->roster = need(calloc(n, sizeof *federation->roster));
    federation->clients = need(calloc(n, sizeof(struct secagg_client *)));
    federation->leaves = need(calloc(n, sizeof *federation->leaves));
    federation->client_s = need(calloc(n, sizeof *federation->client_s));
    federation->sent_bytes = need(calloc(n, sizeof *federation->sent_bytes));
    size_t size = (size_t)n * terms->n_coords * sizeof(uint32_t);
    federation->vectors = need(malloc(size));
    unsigned char key[CRYPTO_KEY_SIZE] = {7};
    struct crypto_stream *stream = crypto_stream_new(key);
    crypto_stream_read(stream, federation->vectors, size);
    crypto_stream_free(stream);
    for (uint32_t u = 0; u < n; u++) {
        crypto_sign_keypair(federation->members[u].identity, federation->roster[u]);
        federation->leaves[u] = SECAGG_SUMMED;
    }
    with_roster.roster = (const unsigned char(*)[CRYPTO_KEY_SIZE])federation->roster;
    must(session_open(&federation->session, &with_roster, &err), &err);
    for (uint32_t u = 0; u < n; u++)
        must(federation_join(federation, u, &federation->session, &err), &err);
    must(secagg_server_new(&federation->session, &federation->server, &err), &err);
}

void federation_close(struct federation *federation)
{
    for (uint32_t u = 0; u < federation->n; u++)
        secagg_client_free(federation->clients[u]);
    secagg_server_free(federation->server);
    session_close(&federation->session);
    free(federation->members);
    free(federation->roster);
    free(federation->clients);
    free(federation->leaves);
    free(federation->client_s);
    free(federation->sent_bytes);
    free(federation->vectors);
    buf_free(&federation->message);
    buf_free(&federation->reply);
}

int federation_fetch(struct federation *federation, uint32_t number, struct error *err)
{
    buf_clear(&federation->message);
    return secagg_server_stage(federation->server) == SECAGG_KEYS
               ? 0
               : secagg_server_message(federation->server, number, &federation->message,
                                       err);
}

int federation_answer(struct federation *federation, uint32_t number, struct error *err)
{
    struct secagg_client *client = federation->clients[number];
    const struct buf *in = &federation->message;
    struct buf *out = &federation->reply;
    enum secagg_stage stage = secagg_server_stage(federation->server);
    const uint32_t *vector =
        federation->vectors + (size_t)number * federation->session.terms.n_coords;
    int rc;
    double start = cpu_s();
    switch (stage) {
    case SECAGG_KEYS:
        rc = secagg_client_keys(client, out, err);
        break;
    case SECAGG_SHARES:
        rc = secagg_client_share(client, in->data, in->len, out, err);
        break;
    case SECAGG_MASKED:
        rc = secagg_client_mask(client, in->data, in->len, vector, out, err);
        break;
    case SECAGG_VOUCHES:
        rc = secagg_client_vouch(client, in->data, in->len, out, err);
        break;
    default:
        rc = secagg_client_reveal(client, in->data, in->len, out, err);
    }
    federation->client_s[number] += cpu_s() - start;
    federation->sent_bytes[number] += out->len;
    return rc;
}

int federation_stage(struct federation *federation, struct error *err)
{
    enum secagg_stage stage = secagg_server_stage(federation->server);
    for (uint32_t u = 0; u < federation->n; u++) {
        if (federation->leaves[u] <= stage)
            continue;
        must(federation_fetch(federation, u, err), err);
        if (federation_answer(federation, u, err) != 0) {
            federation->leaves[u] = stage; /* it has stopped */
            continue;
        }
        must(secagg_server_take(federation->server, u, federation->reply.data,
                                federation->reply.len, err),
             err);
    }
    double start = cpu_s();
    int rc = secagg_server_next(federation->server, err);
    federation->server_s = cpu_s() - start;
    return rc;
}

int federation_run(struct federation *federation, struct error *err)
{
    int rc = 0;
    while (rc == 0 && secagg_server_stage(federation->server) < SECAGG_SUMMED)
        rc = federation_stage(federation, err);
    return rc;
}

bool federation_is_exact(const struct federation *federation, const uint32_t *sum)
{
    const struct session_terms *terms = &federation->session.terms;
    const uint32_t keep = UINT32_MAX >> (32 - terms->n_bits);
    for (uint32_t i = 0; i < terms->n_coords; i++) {
        uint32_t expected = 0;
        for (uint32_t u = 0; u < federation->n; u++)
            if (secagg_server_survives(federation->server, u))
                expected += federation->vectors[(size_t)u * terms->n_coords + i];
        if (sum[i] != (expected & keep))
            return false;
    }
    return true;
}
