/* What comes over the wire to the parties of secure aggregation, against any bytes: the
 * first byte picks a party and a stage; the rest replaces its message, or is laid over
 * a genuine one. A refusal has a cause, says nothing and ends a client; what is taken
 * never spoils memory.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fl/federation.h"

#define HOLDS(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "does not hold: %s\n", #condition);                        \
            abort();                                                                   \
        }                                                                              \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct session_terms terms = {.round = 1,
                                           .n_clients = 3,
                                           .degree = 2,
                                           .threshold = 2,
                                           .min_clients = 2,
                                           .n_coords = 3,
                                           .n_bits = 7};

/* The bytes, or the genuine message with the bytes added from an offset on. */
static void spoil(struct buf *message, const uint8_t *data, size_t len)
{
    bool is_over = len > 0 && (data[0] & 1) != 0 && message->len > 0;
    if (!is_over) {
        buf_clear(message);
        buf_bytes(message, data, len);
        return;
    }
    size_t at = len > 1 ? data[1] * (size_t)2 % message->len : 0;
    for (size_t i = 2; i < len && at + i - 2 < message->len; i++)
        message->data[at + i - 2] ^= data[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct federation federation;
    struct error err = {0};
    if (len < 1)
        return 0;
    enum secagg_stage stage = (enum secagg_stage)(data[0] % SECAGG_SUMMED);
    bool is_server = (data[0] & 0x80) != 0;
    federation_open(&federation, &terms);
    while (secagg_server_stage(federation.server) < stage)
        HOLDS(federation_stage(&federation, &err) == 0);
    HOLDS(federation_fetch(&federation, 0, &err) == 0);
    if (is_server) {
        HOLDS(federation_answer(&federation, 0, &err) == 0);
        spoil(&federation.reply, data + 1, len - 1);
        int rc = secagg_server_take(federation.server, 0, federation.reply.data,
                                    federation.reply.len, &err);
        HOLDS(rc == 0 || (rc == -err.code && strstr(err.text, ": ") != NULL));
    } else {
        spoil(&federation.message, data + 1, len - 1);
        int rc = federation_answer(&federation, 0, &err);
        HOLDS(rc == 0 || (rc == -err.code && federation.reply.len == 0));
        HOLDS(rc == 0 || strstr(err.text, ": ") != NULL);
        HOLDS(rc != 0 || stage == SECAGG_KEYS || len > 1);
    }
    federation_close(&federation);
    return 0;
}
