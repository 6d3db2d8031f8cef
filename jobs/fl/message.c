#include "jobs/fl/message.h"

#include <string.h>

#include "jobs/fl/cause.h"

void message_begin(struct buf *message, enum message_kind kind,
                   const struct session *session, uint32_t sender)
{
    buf_clear(message);
    buf_u8(message, (uint8_t)kind);
    buf_bytes(message, session->id, sizeof session->id);
    buf_u32(message, sender);
}

int message_open(const void *data, size_t len, enum message_kind kind,
                 const struct session *session, uint32_t *ret_sender,
                 struct buf_reader *ret_body, struct error *err)
{
    struct buf_reader body = buf_reader(data, len);
    uint8_t its_kind = buf_read_u8(&body);
    const unsigned char *id = buf_read_bytes(&body, sizeof session->id);
    uint32_t sender = buf_read_u32(&body);
    if (body.is_short || its_kind != (uint8_t)kind) {
        return cause_set(err, CAUSE_MALFORMED, "not a message of kind %d", (int)kind);
    }
    if (memcmp(id, session->id, sizeof session->id) != 0) {
        return cause_set(err, CAUSE_OTHER_SESSION,
                         "a message of another round, model or cohort");
    }
    if (sender != MESSAGE_SERVER && sender >= session->terms.n_clients) {
        return cause_set(err, CAUSE_MALFORMED, "there is no client %u",
                         (unsigned)sender);
    }
    *ret_sender = sender;
    *ret_body = body;
    return 0;
}

static uint32_t get_u32(const unsigned char *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

int message_list(struct buf_reader *body, const struct session *session, uint32_t most,
                 size_t entry_size, bool is_ascending, struct message_list *ret_list,
                 struct error *err)
{
    struct message_list list = {.n = buf_read_u32(body), .entry_size = entry_size};
    if (list.n > most) {
        return cause_set(err, CAUSE_MALFORMED, "a list of %u entries, at most %u fit",
                         (unsigned)list.n, (unsigned)most);
    }
    list.entries = buf_read_bytes(body, list.n * entry_size);
    if (list.entries == NULL) {
        return cause_set(err, CAUSE_MALFORMED, "a list ends too early");
    }
    for (uint32_t i = 0; i < list.n; i++) {
        uint32_t number = message_number(&list, i);
        if (number >= session->terms.n_clients) {
            return cause_set(err, CAUSE_MALFORMED, "there is no client %u",
                             (unsigned)number);
        }
        if (is_ascending && i > 0 && number <= message_number(&list, i - 1)) {
            return cause_set(err, CAUSE_MALFORMED, "client %u is out of order",
                             (unsigned)number);
        }
    }
    *ret_list = list;
    return 0;
}

uint32_t message_number(const struct message_list *list, uint32_t i)
{
    return get_u32(list->entries + i * list->entry_size);
}

const unsigned char *message_entry(const struct message_list *list, uint32_t i)
{
    return list->entries + i * list->entry_size + 4;
}

int message_end(const struct buf_reader *body, struct error *err)
{
    return buf_is_done(body)
               ? 0
               : cause_set(err, CAUSE_MALFORMED, "a message is too short or too long");
}

void message_put_share(const uint64_t *share, unsigned char *ret_bytes)
{
    for (int i = 0; i < MESSAGE_SHARE_SIZE; i++) {
        ret_bytes[i] = (unsigned char)(share[i / 8] >> (8 * (i % 8)));
    }
}

bool message_get_share(const unsigned char *bytes, uint64_t *ret_share)
{
    bool is_good = true;
    for (int w = 0; w < MESSAGE_SHARE_WORDS; w++) {
        uint64_t low = get_u32(bytes + 8 * w), high = get_u32(bytes + 8 * w + 4);
        ret_share[w] = high << 32 | low;
        is_good = is_good && field_is_element(ret_share[w]);
    }
    return is_good;
}

size_t message_set_size(const struct session *session)
{
    return ((size_t)session->terms.n_clients + 7) / 8;
}

bool message_set_has(const unsigned char *set, uint32_t client)
{
    return (set[client / 8] >> (client % 8) & 1) != 0;
}

void message_set_add(unsigned char *set, uint32_t client)
{
    set[client / 8] = (unsigned char)(set[client / 8] | 1u << (client % 8));
}

void message_set_drop(unsigned char *set, uint32_t client)
{
    set[client / 8] = (unsigned char)(set[client / 8] & ~(1u << (client % 8)));
}

uint32_t message_set_count(const unsigned char *set, const struct session *session)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < session->terms.n_clients; i++) {
        n += message_set_has(set, i);
    }
    return n;
}
