#include "jobs/spec/notify.h"

#include <string.h>

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char *const ends[SPEC_N_ENDS] = {"done", "failed", "cancelled", "refused"};

bool spec_notifies(const struct spec_notify *notify, const char *end)
{
    for (int bit = 0; notify->mail[0] != '\0' && bit < SPEC_N_ENDS; bit++)
        if (strcmp(ends[bit], end) == 0)
            return (notify->ends & 1u << bit) != 0;
    return false;
}

void notify_read_address(struct ydoc_faults *faults, const struct ydoc_node *node,
                         char ret_address[SPEC_NAME_SIZE])
{
    char text[SPEC_NAME_SIZE];
    if (node == NULL || ydoc_string(faults, node, sizeof text, text) != 0)
        return;
    const char *at = strchr(text, '@');
    if (strspn(text, LETTERS "._+-@") != strlen(text) || strspn(text, LETTERS) == 0 ||
        (at != NULL && (strspn(at + 1, LETTERS) == 0 || strchr(at + 1, '@') != NULL)))
        ydoc_fault(faults, node,
                   "expected an e-mail address such as a.user@example.org, found "
                   "\"%.60s\"",
                   text);
    else
        strcpy(ret_address, text);
}

static void read_mail(struct ydoc_faults *faults, const struct ydoc_node *node,
                      void *base)
{
    struct spec_notify *notify = base;
    notify_read_address(faults, node, notify->mail);
}

static void write_mail(struct json *json, const struct field *field, const void *base)
{
    const struct spec_notify *notify = base;
    json_string(json, field->key, notify->mail);
}

static void read_ends(struct ydoc_faults *faults, const struct ydoc_node *node,
                      void *base)
{
    struct spec_notify *notify = base;
    notify->ends = (1u << SPEC_N_ENDS) - 1;
    if (node == NULL)
        return;
    notify->ends = 0;
    if (node->kind != YDOC_SEQUENCE || node->n_children == 0) {
        ydoc_fault(faults, node, "expected a list such as [failed, refused]");
        return;
    }
    for (const struct ydoc_node *n = node->first; n != NULL; n = n->next) {
        int bit;
        if (ydoc_word(faults, n, ends, SPEC_N_ENDS, &bit) == 0)
            notify->ends |= 1u << bit;
    }
}

static void write_ends(struct json *json, const struct field *field, const void *base)
{
    const struct spec_notify *notify = base;
    json_array(json, field->key);
    for (int bit = 0; bit < SPEC_N_ENDS; bit++)
        if (notify->ends & 1u << bit)
            json_string(json, NULL, ends[bit]);
    json_close_array(json);
}

static const struct field notify_fields[] = {
    {.key = "mail",
     .type = FIELD_OWN,
     .is_required = true,
     .read = read_mail,
     .write = write_mail},
    {.key = "on", .type = FIELD_OWN, .read = read_ends, .write = write_ends},
};
const struct field_section field_notify = {"notify", notify_fields,
                                           COUNT(notify_fields)};

void notify_read(struct ydoc_faults *faults, const struct ydoc_node *node, void *base)
{
    struct spec *spec = base;
    if (node != NULL && !ydoc_is_null(node))
        field_read(faults, node, &field_notify, &spec->notify);
}

void notify_write(struct json *json, const struct field *field, const void *base)
{
    const struct spec *spec = base;
    if (spec->notify.mail[0] == '\0')
        return;
    json_object(json, field->key);
    field_write(json, &field_notify, &spec->notify);
    json_close_object(json);
}
