#include "worker/tokeniser.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/pathsafe.h"

#define MAX_FILE_BYTES (8u << 20)
#define MAX_MERGES 65280
#define N_BYTES 256
#define MAX_WORD 256     /* bytes; a longer word is cut */
#define SLOTS (1u << 18) /* at least twice the symbols and the merges */

/* A symbol: its bytes, within the bytes of all. */
struct symbol {
    size_t at, len;
};

struct tokeniser {
    int n_merges;
    uint32_t (*pair)[2]; /* [SLOTS]: left << 16 | right, and the id made; id 0: free */
};

/* What is needed while a file is read. */
struct reader {
    struct tokeniser *tokeniser;
    const char *path;
    int line;
    unsigned char *bytes; /* of all symbols, one behind the other */
    size_t n_bytes, size;
    struct symbol *symbols; /* by id */
    uint32_t *slots;        /* id of the symbol; 0: free (0 is no byte of a text) */
};

static uint32_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    return (uint32_t)x & (SLOTS - 1);
}

/* The slot of a pair: its own or a free one. */
static uint32_t pair_slot(const struct tokeniser *tokeniser, uint32_t key)
{
    uint32_t slot = mix(key);
    while (tokeniser->pair[slot][1] != 0 && tokeniser->pair[slot][0] != key)
        slot = (slot + 1) & (SLOTS - 1);
    return slot;
}

static uint32_t merged(const struct tokeniser *tokeniser, int32_t left, int32_t right)
{
    uint32_t key = (uint32_t)left << 16 | (uint32_t)right;
    return tokeniser->pair[pair_slot(tokeniser, key)][1];
}

static uint32_t symbol_slot(const struct reader *reader, const unsigned char *bytes,
                            size_t len)
{
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    uint32_t slot = mix(hash);
    for (; reader->slots[slot] != 0; slot = (slot + 1) & (SLOTS - 1)) {
        const struct symbol *symbol = &reader->symbols[reader->slots[slot]];
        if (symbol->len == len && memcmp(reader->bytes + symbol->at, bytes, len) == 0)
            break;
    }
    return slot;
}

static int fault(const struct reader *reader, const char *wanted, struct error *err)
{
    return error_set(err, PPT_ESPEC, "%s:%d: expected %s", reader->path, reader->line,
                     wanted);
}

/* The byte that the code point stands for, or -1. */
static int byte_of(uint32_t code)
{
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < N_BYTES; byte++) {
        bool is_itself = (byte >= 0x21 && byte <= 0x7e) ||
                         (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        if (code == (is_itself ? byte : next))
            return (int)byte;
        next += !is_itself;
    }
    return -1;
}

/* A symbol of the file, one or two bytes a letter, to its bytes in place. Returns how
 * many; 0: not such letters. */
static size_t decode(unsigned char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        uint32_t code = text[i++];
        if (code >= 0xc2 && code <= 0xdf && i < len && (text[i] & 0xc0) == 0x80)
            code = (code & 0x1f) << 6 | (text[i++] & 0x3f);
        else if (code >= 0x80)
            return 0;
        int byte = byte_of(code);
        if (byte <= 0)
            return 0;
        text[n++] = (unsigned char)byte;
    }
    return n;
}

static int add_symbol(struct reader *reader, const unsigned char *bytes, size_t len,
                      uint32_t id)
{
    if (reader->n_bytes + len > reader->size) {
        size_t size = 2 * (reader->n_bytes + len);
        unsigned char *more = realloc(reader->bytes, size);
        if (more == NULL)
            return -PPT_ENOMEM;
        reader->bytes = more;
        reader->size = size;
    }
    memcpy(reader->bytes + reader->n_bytes, bytes, len);
    reader->symbols[id] = (struct symbol){reader->n_bytes, len};
    reader->slots[symbol_slot(reader, bytes, len)] = id;
    reader->n_bytes += len;
    return 0;
}

/* "left right": both known, and a pair and a symbol that are not. */
static int read_merge(struct reader *reader, char *line, struct error *err)
{
    struct tokeniser *tokeniser = reader->tokeniser;
    char *blank = strchr(line, ' ');
    unsigned char both[2 * MAX_WORD];
    if (blank == NULL)
        return fault(reader, "two symbols and a blank between them", err);
    if (tokeniser->n_merges == MAX_MERGES)
        return fault(reader, "at most 65280 merges", err);
    unsigned char *left = (unsigned char *)line, *right = (unsigned char *)blank + 1;
    size_t left_len = decode(left, (size_t)(blank - line));
    size_t right_len = decode(right, strlen(blank + 1));
    if (left_len == 0 || right_len == 0)
        return fault(reader, "letters that stand for bytes, as in GPT-2's files", err);
    uint32_t left_id = reader->slots[symbol_slot(reader, left, left_len)];
    uint32_t right_id = reader->slots[symbol_slot(reader, right, right_len)];
    if (left_id == 0 || right_id == 0)
        return fault(reader, "symbols that are bytes or were made in a line before",
                     err);
    size_t len = left_len + right_len;
    if (len > MAX_WORD)
        return fault(reader, "symbols of at most 256 bytes", err);
    memcpy(both, left, left_len);
    memcpy(both + left_len, right, right_len);
    uint32_t slot = pair_slot(tokeniser, left_id << 16 | right_id);
    if (tokeniser->pair[slot][1] != 0 ||
        reader->slots[symbol_slot(reader, both, len)] != 0)
        return fault(reader, "each symbol to be made once", err);
    uint32_t id = (uint32_t)(N_BYTES + tokeniser->n_merges++);
    tokeniser->pair[slot][0] = left_id << 16 | right_id;
    tokeniser->pair[slot][1] = id;
    return add_symbol(reader, both, len, id) == 0
               ? 0
               : error_set(err, PPT_ENOMEM, "no memory for %s", reader->path);
}

static int read_merges(struct reader *reader, const char *text, size_t len,
                       struct error *err)
{
    char line[4 * MAX_WORD + 8];
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end == NULL ? len - at : (size_t)(end - text) - at;
        reader->line++;
        size_t next = at + n + 1;
        n -= n > 0 && text[at + n - 1] == '\r';
        if (n >= sizeof line || memchr(text + at, '\0', n) != NULL)
            return fault(reader, "a shorter line of text", err);
        memcpy(line, text + at, n);
        line[n] = '\0';
        at = next;
        bool is_head = reader->line == 1 && strncmp(line, "#version", 8) == 0;
        int rc = n == 0 || is_head ? 0 : read_merge(reader, line, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static bool allocate(struct reader *reader)
{
    reader->tokeniser = calloc(1, sizeof *reader->tokeniser);
    reader->symbols = calloc(N_BYTES + MAX_MERGES, sizeof *reader->symbols);
    reader->slots = calloc(SLOTS, sizeof *reader->slots);
    if (reader->tokeniser == NULL || reader->symbols == NULL || reader->slots == NULL)
        return false;
    reader->tokeniser->pair = calloc(SLOTS, sizeof *reader->tokeniser->pair);
    if (reader->tokeniser->pair == NULL)
        return false;
    for (uint32_t byte = 1; byte < N_BYTES; byte++) {
        unsigned char own = (unsigned char)byte;
        if (add_symbol(reader, &own, 1, byte) != 0)
            return false;
    }
    return true;
}

int tokeniser_parse(const char *text, size_t len, const char *path,
                    struct tokeniser **ret_tokeniser, struct error *err)
{
    struct reader reader = {.path = path};
    int rc = allocate(&reader) ? read_merges(&reader, text, len, err)
                               : error_set(err, PPT_ENOMEM, "no memory for %s", path);
    free(reader.bytes), free(reader.symbols), free(reader.slots);
    if (rc != 0) {
        tokeniser_free(reader.tokeniser);
        return rc;
    }
    *ret_tokeniser = reader.tokeniser;
    return 0;
}

int tokeniser_open(const char *path, struct tokeniser **ret_tokeniser,
                   struct error *err)
{
    char *text;
    size_t len;
    if (path == NULL)
        return tokeniser_parse("", 0, "bytes", ret_tokeniser, err);
    int rc = pathsafe_read_file(path, MAX_FILE_BYTES, &text, &len, err);
    if (rc != 0)
        return rc;
    rc = tokeniser_parse(text, len, path, ret_tokeniser, err);
    free(text);
    return rc;
}

void tokeniser_free(struct tokeniser *tokeniser)
{
    if (tokeniser != NULL)
        free(tokeniser->pair);
    free(tokeniser);
}

int64_t tokeniser_n_tokens(const struct tokeniser *tokeniser)
{
    return N_BYTES + tokeniser->n_merges;
}

/* Merges the ids of one word, the pair of the lowest id first, wherever it stands;
 * returns how many are left. */
static size_t merge_word(const struct tokeniser *tokeniser, int32_t *ids, size_t n)
{
    for (;;) {
        uint32_t least = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            uint32_t id = merged(tokeniser, ids[i], ids[i + 1]);
            least = id != 0 && (least == 0 || id < least) ? id : least;
        }
        if (least == 0)
            return n;
        size_t to = 0;
        for (size_t i = 0; i < n; to++) {
            bool is_pair = i + 1 < n && merged(tokeniser, ids[i], ids[i + 1]) == least;
            ids[to] = is_pair ? (int32_t)least : ids[i];
            i += is_pair ? 2 : 1;
        }
        n = to;
    }
}

size_t tokeniser_encode(const struct tokeniser *tokeniser, const char *text, size_t max,
                        int32_t *ret_ids)
{
    int32_t word[MAX_WORD];
    size_t n = 0;
    while (*text != '\0' && n < max) {
        size_t len = 0;
        do {
            word[len++] = (unsigned char)*text++;
        } while (len < MAX_WORD && *text != '\0' && *text != ' ');
        len = tokeniser->n_merges > 0 ? merge_word(tokeniser, word, len) : len;
        for (size_t i = 0; i < len && n < max; i++)
            ret_ids[n++] = word[i];
    }
    return n;
}
