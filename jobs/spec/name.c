#include "jobs/spec/name.h"

#include <string.h>

#define MAX_NAME 127
#define NAME_CHARACTERS                                                                \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static bool is_name(const char *text, size_t len)
{
    return len >= 1 && len <= MAX_NAME && text[0] != '.' && text[0] != '-' &&
           strspn(text, NAME_CHARACTERS) >= len;
}

bool name_is_valid(const char *text)
{
    return is_name(text, strlen(text));
}

bool name_is_account(const char *text)
{
    int depth = 0;
    for (const char *p = text;; p++) {
        size_t len = strcspn(p, "/");
        if (!is_name(p, len) || ++depth > NAME_MAX_DEPTH)
            return false;
        p += len;
        if (*p == '\0')
            return true;
    }
}

int name_read(struct ydoc_faults *faults, const struct ydoc_node *node, size_t size,
              char *ret_name)
{
    char text[MAX_NAME + 1];
    if (ydoc_string(faults, node, size < sizeof text ? size : sizeof text, text) != 0)
        return -PPT_ESPEC;
    if (!name_is_valid(text)) {
        ydoc_fault(faults, node,
                   "expected a name of letters, digits, '.', '_' and '-' that begins "
                   "with neither '.' nor '-', found \"%s\"",
                   text);
        return -PPT_ESPEC;
    }
    memcpy(ret_name, text, strlen(text) + 1);
    return 0;
}

int name_read_account(struct ydoc_faults *faults, const struct ydoc_node *node,
                      size_t size, char *ret_path)
{
    if (node == NULL)
        return -PPT_ESPEC;
    if (node->kind == YDOC_SCALAR && strlen(node->text) < size &&
        name_is_account(node->text))
        return ydoc_string(faults, node, size, ret_path);
    ydoc_fault(faults, node,
               "expected an account such as acme/research/vision: 1 to %d names of "
               "letters, digits, '.', '_' and '-' with slashes between",
               NAME_MAX_DEPTH);
    return -PPT_ESPEC;
}

bool name_has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), tail = strlen(suffix);
    return len > tail && strcmp(name + len - tail, suffix) == 0;
}

int name_read_model(struct ydoc_faults *faults, const struct ydoc_node *node,
                    size_t size, char *ret_name)
{
    char text[MAX_NAME + 1];
    int rc = name_read(faults, node, size < sizeof text ? size : sizeof text, text);
    if (rc != 0)
        return rc;
    size_t len = strlen(text);
    if (!name_has_suffix(text, NAME_HDF5) && !name_has_suffix(text, NAME_SAFETENSORS)) {
        ydoc_fault(faults, node,
                   "expected a file name that ends in %s or %s, found \"%s\"",
                   NAME_HDF5, NAME_SAFETENSORS, text);
        return -PPT_ESPEC;
    }
    memcpy(ret_name, text, len + 1);
    return 0;
}
