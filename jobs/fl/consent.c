#include "jobs/fl/consent.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "jobs/dp/verdict.h"
#include "jobs/fl/cause.h"

static const char *const words[] = {
    [CONSENT_REGISTERED] = "registered ",
    [CONSENT_GIVEN] = "consents ",
    [CONSENT_WITHDRAWN] = "withdrawn ",
};

/* An entry and the line it stands in. */
struct line {
    struct consent_entry entry;
    int64_t number;
};

static int by_client(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return x->entry.client != y->entry.client
               ? (x->entry.client > y->entry.client) -
                     (x->entry.client < y->entry.client)
               : (x->number > y->number) - (x->number < y->number);
}

static bool read_number(const char *text, size_t len, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        number = 10 * number + (uint64_t)(text[i] - '0');
    }
    *ret_number = number;
    return len > 0 && len < 19;
}

/* One line's text without its end. False: it is none. */
static bool read_line(const char *text, size_t len, bool by_number,
                      struct consent_entry *ret_entry)
{
    for (uint8_t state = CONSENT_REGISTERED; state <= CONSENT_WITHDRAWN; state++) {
        size_t head = strlen(words[state]);
        if (len <= head || memcmp(text, words[state], head) != 0) {
            continue;
        }
        unsigned char digest[CRYPTO_SHA256_SIZE];
        ret_entry->state = state;
        if (by_number) {
            return read_number(text + head, len - head, &ret_entry->client);
        }
        crypto_sha256(text + head, len - head, digest);
        memcpy(&ret_entry->client, digest, sizeof ret_entry->client);
        return true;
    }
    return false;
}

static int read_lines(const char *text, size_t len, bool by_number, struct line *lines,
                      int64_t *ret_n, struct error *err)
{
    int64_t n = 0, number = 0;
    const char *end = text + len, *stop;
    for (; (stop = memchr(text, '\n', (size_t)(end - text))) != NULL; text = stop + 1) {
        size_t size = (size_t)(stop - text);
        size -= size > 0 && text[size - 1] == '\r';
        number++;
        if (size == 0 || text[0] == '#') {
            continue;
        }
        if (!read_line(text, size, by_number, &lines[n].entry)) {
            return error_set(err, PPT_EDATA,
                             "consents, line %lld: expected \"registered NAME\", "
                             "\"consents NAME\" or \"withdrawn NAME\"%s",
                             (long long)number,
                             by_number ? " with a client's number" : "");
        }
        lines[n++].number = number;
    }
    *ret_n = n;
    return 0;
}

int consent_parse(const char *text, size_t len, bool by_number,
                  struct consent_entry **ret_entries, int64_t *ret_n, struct error *err)
{
    size_t room = 1;
    for (size_t i = 0; i < len; i++) {
        room += text[i] == '\n';
    }
    struct line *lines = calloc(room, sizeof *lines);
    struct consent_entry *entries = malloc(room * sizeof *entries);
    int64_t n_lines = 0, n = 0;
    int rc = lines == NULL || entries == NULL
                 ? error_set(err, PPT_ENOMEM, "no memory for a list of consents")
                 : read_lines(text, len, by_number, lines, &n_lines, err);
    if (rc == 0) {
        qsort(lines, (size_t)n_lines, sizeof *lines, by_client);
        for (int64_t i = 0; i < n_lines; i++) { /* the last of each client */
            bool is_last =
                i + 1 == n_lines || lines[i + 1].entry.client != lines[i].entry.client;
            if (is_last) {
                entries[n++] = lines[i].entry;
            }
        }
    }
    free(lines);
    if (rc != 0) {
        free(entries);
        return rc;
    }
    *ret_entries = entries;
    *ret_n = n;
    return 0;
}

int consent_open(struct consent *consent, const struct spec *spec,
                 const struct partition *partition, struct env *env, struct error *err)
{
    const struct spec_federation *federation = &spec->federation;
    *consent = (struct consent){.terms = &federation->consent,
                                .partition = partition,
                                .env = env,
                                .is_private = spec->privacy.is_private};
    if (!federation->consent.is_asked) {
        return 0;
    }
    if (env->comm->rank == 0 && env->io->consents == NULL) {
        return error_set(err, PPT_ESPEC, "federation.consent: nobody keeps a list");
    }
    if (federation->partition == PARTITION_USERS && env->io->train->users == NULL) {
        error_set(err, PPT_ESPEC,
                  "federation.consent: the data set does not say whose records are "
                  "whose");
        return error_hint(err, "import it with --train-users");
    }
    consent->allows = calloc((size_t)partition->n_clients + 1, sizeof *consent->allows);
    return consent->allows != NULL
               ? 0
               : error_set(err, PPT_ENOMEM, "no memory for consents");
}

void consent_close(struct consent *consent)
{
    free(consent->entries);
    free(consent->allows);
    *consent = (struct consent){0};
}

/* Of `client` in entries: its state, or that it is not there. */
static int find(const struct consent_entry *entries, int64_t n, uint64_t client)
{
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (entries[middle].client < client) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < n && entries[low].client == client ? entries[low].state : -1;
}

/* Puts the list in the place of the one before. */
static void take(struct consent *consent, struct consent_entry *entries, int64_t n)
{
    consent->n_leavers = consent->n_consenting = consent->n_withdrawn = 0;
    for (int64_t i = 0; i < consent->n_entries; i++) {
        const struct consent_entry *old = &consent->entries[i];
        consent->n_leavers += old->state == CONSENT_GIVEN &&
                              find(entries, n, old->client) != CONSENT_GIVEN;
    }
    for (int64_t i = 0; i < n; i++) {
        consent->n_consenting += entries[i].state == CONSENT_GIVEN;
        consent->n_withdrawn += entries[i].state == CONSENT_WITHDRAWN;
    }
    for (int64_t c = 0; c < consent->partition->n_clients; c++) {
        consent->allows[c] =
            find(entries, n, partition_id(consent->partition, c)) == CONSENT_GIVEN;
    }
    free(consent->entries);
    consent->entries = entries;
    consent->n_entries = n;
}

/* Rank 0: *ret_n is -1 where nothing has changed. */
static int read_list(struct consent *consent, struct consent_entry **ret_entries,
                     int64_t *ret_n, struct error *err)
{
    struct io *io = consent->env->io;
    char *text = NULL;
    size_t len = 0;
    *ret_n = -1;
    int rc = io->consents(io, &text, &len, err);
    if (rc == 0 && text != NULL) {
        rc = consent_parse(text, len, consent->partition->ids == NULL, ret_entries,
                           ret_n, err);
    }
    free(text);
    return rc;
}

/* The list as rank 0 finds it, on every rank. */
static int share_list(struct consent *consent, struct error *err)
{
    struct comm *comm = consent->env->comm;
    struct consent_entry *entries = NULL;
    int64_t n = -1;
    int rc = comm->rank == 0 ? read_list(consent, &entries, &n, err) : 0;
    rc = verdict_share(comm, rc, err);
    if (rc == 0) {
        rc = comm->ops->broadcast(comm, &n, sizeof n, 0, err);
    }
    consent->has_changed = n >= 0;
    consent->n_leavers = 0;
    if (rc != 0 || n < 0) {
        free(entries);
        return rc;
    }
    if (comm->rank != 0) {
        entries = malloc(((size_t)n + 1) * sizeof *entries);
    }
    rc = verdict_join(
        comm,
        entries == NULL ? error_set(err, PPT_ENOMEM, "no memory for consents") : 0,
        err);
    if (rc == 0 && n > 0) {
        rc = comm->ops->broadcast(comm, entries, (size_t)n * sizeof *entries, 0, err);
    }
    if (rc != 0) {
        free(entries);
        return rc;
    }
    take(consent, entries, n);
    return 0;
}

int consent_look(struct consent *consent, struct error *err)
{
    const struct spec_consent *terms = consent->terms;
    if (consent->allows == NULL) {
        return 0;
    }
    int rc = share_list(consent, err);
    if (rc != 0) {
        return rc;
    }
    if (consent->n_consenting < terms->min_clients) {
        return cause_set(
            err, CAUSE_TOO_FEW_CONSENT, "%lld clients consent, at least %lld must",
            (long long)consent->n_consenting, (long long)terms->min_clients);
    }
    if ((double)consent->n_consenting < terms->min_share * (double)consent->n_entries) {
        return cause_set(err, CAUSE_SHARE_TOO_SMALL,
                         "%lld of %lld registered clients consent, a share of at least "
                         "%g must",
                         (long long)consent->n_consenting,
                         (long long)consent->n_entries, terms->min_share);
    }
    return 0;
}

int64_t consent_filter(const struct consent *consent, int64_t *members, int64_t n)
{
    int64_t left = 0;
    for (int64_t i = 0; i < n; i++) {
        if (consent_allows(consent, members[i])) {
            members[left++] = members[i];
        }
    }
    return left;
}

int consent_enough(const struct consent *consent, int64_t n_members, struct error *err)
{
    if (consent->allows == NULL || consent->is_private ||
        n_members >= consent->terms->min_clients) {
        return 0;
    }
    return cause_set(err, CAUSE_TOO_FEW_CONSENT,
                     "%lld clients of a round consent, at least %lld must",
                     (long long)n_members, (long long)consent->terms->min_clients);
}
