#include "jobs/fl/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "jobs/fl/cause.h"
#include "kernels/ring.h"

static int by_bytes(const void *a, const void *b)
{
    return memcmp(*(const unsigned char *const *)a, *(const unsigned char *const *)b,
                  CRYPTO_KEY_SIZE);
}

/* An identity that stands there twice would be counted twice. */
static int check_roster(const struct session_terms *terms, struct error *err)
{
    const unsigned char **keys = malloc(terms->n_clients * sizeof *keys);
    int rc = 0;
    if (keys == NULL) {
        return error_set(err, PPT_ENOMEM, "no memory for a roster");
    }
    for (uint32_t i = 0; i < terms->n_clients; i++) {
        keys[i] = terms->roster[i];
    }
    qsort(keys, terms->n_clients, sizeof *keys, by_bytes);
    for (uint32_t i = 1; i < terms->n_clients && rc == 0; i++) {
        if (memcmp(keys[i - 1], keys[i], CRYPTO_KEY_SIZE) == 0) {
            rc = cause_set(err, CAUSE_KEY_TWICE,
                           "an identity key is registered for two clients");
        }
    }
    free(keys);
    return rc;
}

static int check_terms(const struct session_terms *terms, struct error *err)
{
    const uint32_t n = terms->n_clients, k = terms->degree;
    if (n < 2 || n > SESSION_MAX_CLIENTS || k < 1 || k > n - 1 ||
        (k < n - 1 && k % 2 != 0) || terms->threshold < 1 || terms->threshold > k) {
        return error_set(err, PPT_ERANGE,
                         "%u clients with %u neighbours and threshold %u cannot be",
                         (unsigned)n, (unsigned)k, (unsigned)terms->threshold);
    }
    if (terms->n_bits < 1 || terms->n_bits > RING_MAX_BITS || terms->n_coords < 1 ||
        terms->n_coords > INT32_MAX / 4) {
        return error_set(err, PPT_ERANGE, "a vector of %u coordinates of %d bits",
                         (unsigned)terms->n_coords, terms->n_bits);
    }
    if (terms->round == UINT64_MAX) { /* no round comes after it */
        return error_set(err, PPT_ERANGE, "a round beyond the last");
    }
    if (n < terms->min_clients) {
        return cause_set(err, CAUSE_COHORT_TOO_SMALL,
                         "%u clients are asked, at least %u must take part",
                         (unsigned)n, (unsigned)terms->min_clients);
    }
    return check_roster(terms, err);
}

static int make_id(struct session *session, struct error *err)
{
    const struct session_terms *terms = &session->terms;
    struct buf text = {0};
    buf_bytes(&text, "ppt fl session 1", 16);
    buf_bytes(&text, terms->job, sizeof terms->job);
    buf_bytes(&text, terms->model, sizeof terms->model);
    buf_u64(&text, terms->round);
    buf_u32(&text, terms->n_clients);
    buf_u32(&text, terms->degree);
    buf_u32(&text, terms->threshold);
    buf_u32(&text, terms->min_clients);
    buf_u32(&text, terms->n_coords);
    buf_u32(&text, (uint32_t)terms->n_bits);
    buf_bytes(&text, terms->roster, (size_t)terms->n_clients * CRYPTO_KEY_SIZE);
    int rc = buf_check(&text, err);
    if (rc == 0) {
        crypto_sha256(text.data, text.len, session->id);
    }
    buf_free(&text);
    return rc;
}

/* A random order of the circle that nobody chose: Fisher and Yates from a stream under
 * the session's id. */
static void make_order(struct session *session)
{
    const uint32_t n = session->terms.n_clients;
    unsigned char key[CRYPTO_KEY_SIZE];
    crypto_hkdf(session->id, sizeof session->id, "graph", 5, "ppt fl graph", 12, key,
                sizeof key);
    struct crypto_stream *stream = crypto_stream_new(key);
    for (uint32_t i = 0; i < n; i++) {
        session->order[i] = i;
    }
    for (uint32_t i = n - 1; i > 0; i--) {
        uint64_t word;
        crypto_stream_read(stream, &word, sizeof word);
        uint32_t j = (uint32_t)((unsigned __int128)word * (i + 1) >> 64);
        uint32_t other = session->order[j];
        session->order[j] = session->order[i];
        session->order[i] = other;
    }
    for (uint32_t i = 0; i < n; i++) {
        session->place[session->order[i]] = i;
    }
    crypto_stream_free(stream);
}

int session_open(struct session *session, const struct session_terms *terms,
                 struct error *err)
{
    struct session made = {.terms = *terms};
    int rc = check_terms(terms, err);
    if (rc == 0) {
        rc = make_id(&made, err);
    }
    if (rc != 0) {
        return rc;
    }
    made.order = malloc(terms->n_clients * sizeof *made.order);
    made.place = malloc(terms->n_clients * sizeof *made.place);
    if (made.order == NULL || made.place == NULL) {
        session_close(&made);
        return error_set(err, PPT_ENOMEM, "no memory for a session");
    }
    make_order(&made);
    *session = made;
    return 0;
}

void session_close(struct session *session)
{
    free(session->order);
    free(session->place);
    *session = (struct session){0};
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void session_neighbours(const struct session *session, uint32_t client,
                        uint32_t *ret_neighbours)
{
    const uint32_t n = session->terms.n_clients, k = session->terms.degree;
    const uint32_t here = session->place[client];
    uint32_t half = k / 2, n_found = 0;
    if (k == n - 1) {
        for (uint32_t v = 0; v < n; v++) {
            if (v != client) {
                ret_neighbours[n_found++] = v;
            }
        }
        return;
    }
    for (uint32_t step = 1; step <= half; step++) {
        ret_neighbours[n_found++] = session->order[(here + step) % n];
        ret_neighbours[n_found++] = session->order[(here + n - step) % n];
    }
    qsort(ret_neighbours, k, sizeof *ret_neighbours, by_number);
}

static unsigned char *put_u32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        *to++ = (unsigned char)(value >> (8 * i));
    }
    return to;
}

void session_signed(const struct session *session, uint32_t client,
                    const unsigned char channel_public[CRYPTO_KEY_SIZE],
                    const unsigned char mask_public[CRYPTO_KEY_SIZE],
                    unsigned char ret_text[SESSION_SIGNED_SIZE])
{
    unsigned char *at = ret_text;
    memcpy(at, "ppt fl keys    1", 16);
    memcpy(at += 16, session->id, sizeof session->id);
    at = put_u32(at + sizeof session->id, client);
    memcpy(at, channel_public, CRYPTO_KEY_SIZE);
    memcpy(at + CRYPTO_KEY_SIZE, mask_public, CRYPTO_KEY_SIZE);
}

void session_key(const struct session *session, enum session_purpose purpose,
                 uint32_t a, uint32_t b, const unsigned char secret[CRYPTO_KEY_SIZE],
                 unsigned char ret_key[CRYPTO_KEY_SIZE])
{
    static const char *const names[] = {"channel", "mask   ", "self   "};
    unsigned char info[7 + 8];
    memcpy(info, names[purpose], 7);
    put_u32(put_u32(info + 7, a < b ? a : b), a < b ? b : a);
    crypto_hkdf(session->id, sizeof session->id, secret, CRYPTO_KEY_SIZE, info,
                sizeof info, ret_key, CRYPTO_KEY_SIZE);
}

static void read_words(void *state, uint32_t *ret_words, size_t n)
{
    crypto_stream_read(state, ret_words, n * sizeof *ret_words);
}

void session_mask(const struct session *session, uint32_t *vector, bool is_minus,
                  const unsigned char key[CRYPTO_KEY_SIZE])
{
    struct crypto_stream *stream = crypto_stream_new(key);
    ring_mask(vector, session->terms.n_coords, is_minus, read_words, stream);
    crypto_stream_free(stream);
}
