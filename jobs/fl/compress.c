#include "jobs/fl/compress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/fl/bits.h"
#include "jobs/fl/draw.h"
#include "jobs/fl/eden.h"
#include "jobs/fl/lossless.h"

static bool is_shared(const struct compress *compress)
{
    return compress->subspace.trainer != NULL;
}

int compress_open(struct compress *compress, const struct spec *spec,
                  struct trainer *trainer, struct error *err)
{
    const struct spec_compress *own = &spec->federation.compress;
    unsigned char key[CRYPTO_KEY_SIZE];
    *compress = (struct compress){.spec = own, .n = trainer->net.n_params};
    if (!own->is_on) {
        return 0;
    }
    compress->k = (int64_t)ceil(own->fraction * (double)compress->n);
    draw_key_public(spec->training.seed, "places", key);
    compress->common = crypto_stream_new(key);
    draw_key_public(spec->training.seed, "levels", key);
    compress->own = crypto_stream_new(key);
    compress->sizes = malloc((size_t)compress->n * sizeof *compress->sizes);
    compress->rotated = malloc((size_t)compress->n * sizeof *compress->rotated);
    int rc = compress->sizes == NULL || compress->rotated == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory to compress updates")
                 : 0;
    if (rc == 0 && own->kind == COMPRESS_LOW_RANK) {
        rc = low_rank_open(&compress->low_rank, &trainer->net, (int)own->rank, err);
    }
    if (rc == 0) {
        rc =
            subspace_open(&compress->subspace, spec, trainer, &compress->low_rank, err);
    }
    if (is_shared(compress)) {
        compress->k = compress->subspace.n_sent;
    }
    if (rc != 0) {
        compress_close(compress);
    }
    return rc;
}

void compress_close(struct compress *compress)
{
    if (compress->common != NULL) {
        crypto_stream_free(compress->common);
    }
    if (compress->own != NULL) {
        crypto_stream_free(compress->own);
    }
    subspace_close(&compress->subspace);
    low_rank_close(&compress->low_rank);
    free(compress->sizes);
    free(compress->rotated);
    buf_free(&compress->message);
    *compress = (struct compress){0};
}

/* Seven bits a byte, the lowest first; the last byte is below 128. */
static void put_gap(struct buf *buf, uint64_t gap)
{
    for (; gap >= 128; gap >>= 7) {
        buf_u8(buf, (uint8_t)(gap | 128));
    }
    buf_u8(buf, (uint8_t)gap);
}

static uint64_t read_gap(struct buf_reader *reader)
{
    uint64_t gap = 0;
    for (int shift = 0; shift < 63; shift += 7) {
        uint8_t byte = buf_read_u8(reader);
        gap |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            break;
        }
    }
    return gap;
}

/* The k-th largest of x[n], which is shuffled (Hoare's selection). */
static float kth_largest(float *x, int64_t n, int64_t k)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        float pivot = x[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            for (; x[i] > pivot; i++) {
            }
            for (; x[j] < pivot; j--) {
            }
            if (i <= j) {
                float value = x[i];
                x[i++] = x[j];
                x[j--] = value;
            }
        }
        if (k - 1 <= j) {
            high = j;
        } else if (k - 1 >= i) {
            low = i;
        } else {
            break;
        }
    }
    return x[k - 1];
}

/* Of values equally large those at the lower places. */
static void pack_largest(struct compress *compress, const float *update)
{
    int64_t n = compress->n, n_equal = compress->k, last = -1;
    for (int64_t j = 0; j < n; j++) {
        compress->sizes[j] = fabsf(update[j]);
    }
    float least = kth_largest(compress->sizes, n, compress->k);
    for (int64_t j = 0; j < n; j++) {
        n_equal -= fabsf(update[j]) > least;
    }
    for (int64_t j = 0; j < n; j++) {
        bool is_sent = fabsf(update[j]) > least;
        if (!is_sent && fabsf(update[j]) == least && n_equal > 0) {
            is_sent = true;
            n_equal--;
        }
        if (is_sent) {
            put_gap(&compress->message, (uint64_t)(j - last - 1));
            bits_put_float(&compress->message, update[j]);
            last = j;
        }
    }
}

static bool unpack_largest(struct compress *compress, struct buf_reader *reader,
                           float *ret)
{
    int64_t at = -1;
    for (int64_t i = 0; i < compress->k; i++) {
        uint64_t gap = read_gap(reader);
        if (gap >= (uint64_t)(compress->n - 1 - at)) {
            return false;
        }
        at += (int64_t)gap + 1;
        ret[at] = bits_read_float(reader);
    }
    return true;
}

/* Does the next place, `left` before the end, belong to the k that are still wanted?
 * (Knuth's selection sampling.) */
static bool is_drawn(struct compress *compress, int64_t left, int64_t k)
{
    return draw_uniform(compress->common) * (double)left < (double)k;
}

static void pack_random(struct compress *compress, int64_t round, const float *update)
{
    int64_t k = compress->k;
    crypto_stream_seek(compress->common, (uint64_t)round, 0);
    for (int64_t j = 0; j < compress->n && k > 0; j++) {
        if (is_drawn(compress, compress->n - j, k)) {
            bits_put_float(&compress->message, update[j]);
            k--;
        }
    }
}

static void unpack_random(struct compress *compress, int64_t round,
                          struct buf_reader *reader, float *ret)
{
    int64_t k = compress->k;
    crypto_stream_seek(compress->common, (uint64_t)round, 0);
    for (int64_t j = 0; j < compress->n && k > 0; j++) {
        if (is_drawn(compress, compress->n - j, k)) {
            ret[j] = bits_read_float(reader);
            k--;
        }
    }
}

void compress_gather(struct compress *compress, int64_t round, float *update)
{
    int64_t n_found = 0;
    if (is_shared(compress)) {
        subspace_gather(&compress->subspace, update);
        return;
    }
    crypto_stream_seek(compress->common, (uint64_t)round, 0);
    for (int64_t j = 0; j < compress->n && n_found < compress->k; j++) {
        if (is_drawn(compress, compress->n - j, compress->k - n_found)) {
            update[n_found++] = update[j];
        }
    }
}

void compress_scatter(struct compress *compress, int64_t round, float *update)
{
    int64_t n_put = 0;
    if (is_shared(compress)) {
        memcpy(compress->sizes, update, (size_t)compress->k * sizeof *update);
        subspace_scatter(&compress->subspace, update);
        subspace_turn(&compress->subspace, compress->sizes);
        return;
    }
    memcpy(compress->sizes, update, (size_t)compress->k * sizeof *update);
    memset(update, 0, (size_t)compress->n * sizeof *update);
    crypto_stream_seek(compress->common, (uint64_t)round, 0);
    for (int64_t j = 0; j < compress->n && n_put < compress->k; j++) {
        if (is_drawn(compress, compress->n - j, compress->k - n_put)) {
            update[j] = compress->sizes[n_put++];
        }
    }
}

static void pack_shared(struct compress *compress, const float *update)
{
    memcpy(compress->sizes, update, (size_t)compress->n * sizeof *update);
    subspace_gather(&compress->subspace, compress->sizes);
    for (int64_t j = 0; j < compress->k; j++) {
        bits_put_float(&compress->message, compress->sizes[j]);
    }
}

static void unpack_shared(struct compress *compress, struct buf_reader *reader,
                          float *ret)
{
    for (int64_t j = 0; j < compress->k; j++) {
        ret[j] = bits_read_float(reader);
    }
    subspace_scatter(&compress->subspace, ret);
}

/* Of a value: its sign and a level from 0 to `levels`. */
static int width_of(int64_t levels)
{
    int width = 1;
    for (; levels > 0; levels >>= 1) {
        width++;
    }
    return width;
}

static void seek_own(struct compress *compress, int64_t round, int64_t client)
{
    crypto_stream_seek(compress->own, (uint64_t)round << 32 | (uint64_t)client, 0);
}

static void pack_levels(struct compress *compress, int64_t round, int64_t client,
                        const float *update)
{
    struct buf *out = &compress->message;
    int64_t n = compress->n, levels = compress->spec->levels;
    struct bits_writer writer = {.out = out, .width = width_of(levels)};
    double square = 0.0;
    for (int64_t j = 0; j < n; j++) {
        square += (double)update[j] * (double)update[j];
    }
    double norm = (double)nextafterf((float)sqrt(square), INFINITY);
    bits_put_float(out, (float)norm);
    seek_own(compress, round, client);
    for (int64_t j = 0; j < n; j++) {
        double level = fabs((double)update[j]) / norm * (double)levels;
        uint32_t code = (uint32_t)level;
        code += draw_uniform(compress->own) < level - (double)code;
        bits_put(&writer, code << 1 | (update[j] < 0.0f));
    }
    bits_end(&writer);
}

static bool unpack_levels(const struct compress *compress, struct buf_reader *reader,
                          float *ret)
{
    int64_t levels = compress->spec->levels;
    struct bits_reader codes = {.in = reader, .width = width_of(levels)};
    double norm = (double)bits_read_float(reader);
    for (int64_t j = 0; j < compress->n; j++) {
        uint32_t code = bits_read(&codes);
        double value = norm * (double)(code >> 1) / (double)levels;
        if ((int64_t)(code >> 1) > levels) {
            return false;
        }
        ret[j] = (float)((code & 1) != 0 ? -value : value);
    }
    return isfinite(norm);
}

/* Of a client in a round: errors of one rotation do not cancel in the mean. */
static void find_rotation(struct compress *compress, int64_t round, int64_t client,
                          unsigned char ret_key[CRYPTO_KEY_SIZE])
{
    seek_own(compress, round, client);
    crypto_stream_read(compress->own, ret_key, CRYPTO_KEY_SIZE);
}

int compress_pack(struct compress *compress, int64_t round, int64_t client,
                  const float *update, struct error *err)
{
    struct buf *out = &compress->message;
    unsigned char key[CRYPTO_KEY_SIZE];
    int rc = 0;
    buf_clear(out);
    switch (compress->spec->kind) {
    case COMPRESS_TOP_K:
        pack_largest(compress, update);
        break;
    case COMPRESS_RANDOM_K:
        pack_random(compress, round, update);
        break;
    case COMPRESS_QSGD:
        pack_levels(compress, round, client, update);
        break;
    case COMPRESS_EDEN:
        find_rotation(compress, round, client, key);
        eden_pack(key, (int)compress->spec->bits, update, compress->n,
                  compress->rotated, out);
        break;
    case COMPRESS_LOW_RANK:
        if (is_shared(compress)) {
            pack_shared(compress, update);
            break;
        }
        crypto_stream_seek(compress->common, (uint64_t)round, 0);
        low_rank_pack(&compress->low_rank, compress->common, update, out);
        break;
    default:
        rc = lossless_pack(update, compress->n, compress->sizes, out, err);
    }
    return rc != 0 ? rc : buf_check(out, err);
}

int compress_unpack(struct compress *compress, int64_t round, int64_t client,
                    const struct buf *message, float *ret_update, struct error *err)
{
    struct buf_reader reader = buf_reader(message->data, message->len);
    unsigned char key[CRYPTO_KEY_SIZE];
    bool is_good = true;
    memset(ret_update, 0, (size_t)compress->n * sizeof *ret_update);
    switch (compress->spec->kind) {
    case COMPRESS_TOP_K:
        is_good = unpack_largest(compress, &reader, ret_update);
        break;
    case COMPRESS_RANDOM_K:
        unpack_random(compress, round, &reader, ret_update);
        break;
    case COMPRESS_QSGD:
        is_good = unpack_levels(compress, &reader, ret_update);
        break;
    case COMPRESS_EDEN:
        find_rotation(compress, round, client, key);
        is_good = eden_unpack(key, (int)compress->spec->bits, &reader, compress->n,
                              compress->rotated, ret_update);
        break;
    case COMPRESS_LOW_RANK:
        if (is_shared(compress)) {
            unpack_shared(compress, &reader, ret_update);
            break;
        }
        is_good = low_rank_unpack(&compress->low_rank, &reader, ret_update);
        break;
    default:
        return lossless_unpack(message->data, message->len, compress->n,
                               compress->sizes, ret_update, err);
    }
    if (!is_good || !buf_is_done(&reader)) {
        return error_set(err, PPT_ETRUST, "a client's message is no compressed update");
    }
    return 0;
}

int compress_refuse(int64_t n_bytes, struct error *err)
{
    error_set(err, PPT_EPOLICY,
              "a client's message is %lld bytes, more than "
              "federation.max_client_bytes",
              (long long)n_bytes);
    return error_hint(err, "compress it more");
}

int compress_send(struct compress *compress, int64_t round, int64_t client,
                  int64_t max_bytes, float *update, float *residual, struct error *err)
{
    for (int64_t j = 0; residual != NULL && j < compress->n; j++) {
        update[j] += residual[j];
        residual[j] = update[j];
    }
    int rc = compress_pack(compress, round, client, update, err);
    int64_t n_bytes = (int64_t)compress->message.len;
    if (rc == 0 && max_bytes > 0 && n_bytes > max_bytes) {
        return compress_refuse(n_bytes, err);
    }
    if (rc == 0) {
        rc = compress_unpack(compress, round, client, &compress->message, update, err);
    }
    for (int64_t j = 0; rc == 0 && residual != NULL && j < compress->n; j++) {
        residual[j] -= update[j];
    }
    if (rc == 0 && n_bytes > compress->most_bytes) {
        compress->most_bytes = n_bytes;
    }
    return rc;
}
