#include "base/ydoc.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define DEFAULT_MAX_BYTES (256u << 10)
#define DEFAULT_MAX_DEPTH 16
#define DEFAULT_MAX_NODES 4096

/* A node and what owns it. */
struct cell {
    struct ydoc_node node;
    struct ydoc_node *last; /* child */
    struct cell *next;      /* of the document, for ydoc_free */
    bool borrows;           /* its text belongs to another cell */
};

struct ydoc {
    struct cell *cells;
    struct ydoc_node *root;
};

struct builder {
    yaml_parser_t parser;
    struct ydoc *doc;
    struct ydoc_limits limits;
    struct ydoc_faults *faults;
    struct ydoc_node *open; /* innermost collection that is not closed yet */
    int depth, n_nodes, n_documents;
    /* the key that waits for its value */
    char *key;
    int key_line, key_column;
};

void ydoc_free(struct ydoc *doc)
{
    if (doc == NULL)
        return;
    for (struct cell *cell = doc->cells, *next; cell != NULL; cell = next) {
        next = cell->next;
        if (!cell->borrows)
            free((char *)cell->node.text);
        free((char *)cell->node.key);
        free(cell);
    }
    free(doc);
}

const struct ydoc_node *ydoc_root(const struct ydoc *doc)
{
    return doc == NULL ? NULL : doc->root;
}

const struct ydoc_node *ydoc_get(const struct ydoc_node *mapping, const char *key)
{
    if (mapping == NULL || mapping->kind != YDOC_MAPPING)
        return NULL;
    for (const struct ydoc_node *n = mapping->first; n != NULL; n = n->next)
        if (strcmp(n->key, key) == 0)
            return n;
    return NULL;
}

/* A fault at a place rather than at a node. Always returns -PPT_ESPEC. */
static int fault_at_mark(struct builder *b, size_t line, size_t column,
                         const char *message)
{
    struct ydoc_node place = {.line = (int)line + 1, .column = (int)column + 1};
    ydoc_fault(b->faults, &place, "%s", message);
    return -PPT_ESPEC;
}

static int out_of_memory(struct builder *b)
{
    b->faults->is_out_of_memory = true;
    b->faults->n++;
    return -PPT_ENOMEM;
}

/* Bytes of the UTF-8 sequence at p, 0 if it is none (RFC 3629: no overlong forms, no
 * surrogates); its code point goes to *ret_code. */
static size_t utf8_len(const unsigned char *p, size_t len, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80             ? 1
               : (p[0] & 0xe0) == 0xc0 ? 2
               : (p[0] & 0xf0) == 0xe0 ? 3
               : (p[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n == 0 || n > len)
        return 0;
    uint32_t code = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return n;
}

static bool is_control(uint32_t code)
{
    return (code < 0x20 && code != '\t' && code != '\n' && code != '\r') ||
           (code >= 0x7f && code < 0xa0);
}

/* Says what is wrong with the characters of a text and where, or NULL. */
static const char *bad_character(const char *text, size_t len, size_t *ret_line,
                                 size_t *ret_column)
{
    *ret_line = *ret_column = 0;
    for (size_t i = 0; i < len;) {
        uint32_t code = 0;
        size_t n = utf8_len((const unsigned char *)text + i, len - i, &code);
        if (n == 0)
            return "expected UTF-8 text, found a byte that is not";
        if (is_control(code))
            return "expected text, found a control character";
        ++*ret_column;
        if (code == '\n') {
            ++*ret_line;
            *ret_column = 0;
        }
        i += n;
    }
    return NULL;
}

/* Refuses what a node must not carry; the tree goes on all the same. */
static void refuse_decoration(struct builder *b, const yaml_event_t *event,
                              const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor != NULL)
        fault_at_mark(b, event->start_mark.line, event->start_mark.column,
                      "expected a plain value, found an anchor (&): write the value "
                      "out where it is used");
    if (tag != NULL)
        fault_at_mark(
            b, event->start_mark.line, event->start_mark.column,
            "expected a plain value, found a tag (!): tags are not used here");
}

static int count_node(struct builder *b, const yaml_event_t *event)
{
    if (++b->n_nodes <= b->limits.max_nodes)
        return 0;
    struct ydoc_node place = {.line = (int)event->start_mark.line + 1,
                              .column = (int)event->start_mark.column + 1};
    ydoc_fault(b->faults, &place, "expected at most %d keys and values, found more",
               b->limits.max_nodes);
    return -PPT_ESPEC;
}

/* A new last child of a collection, the root where parent is NULL; NULL when out of
 * memory. */
static struct ydoc_node *link_node(struct ydoc *doc, struct ydoc_node *parent,
                                   enum ydoc_kind kind)
{
    struct cell *cell = calloc(1, sizeof *cell);
    if (cell == NULL)
        return NULL;
    cell->next = doc->cells;
    doc->cells = cell;
    struct ydoc_node *node = &cell->node;
    node->kind = kind;
    node->parent = parent;
    if (parent == NULL) {
        doc->root = node;
        return node;
    }
    struct cell *home = (struct cell *)parent; /* the node is its first member */
    node->index = parent->n_children++;
    if (home->last == NULL)
        parent->first = node;
    else
        home->last->next = node;
    home->last = node;
    return node;
}

/* Links a new node into the open collection; takes the waiting key. */
static struct ydoc_node *add_node(struct builder *b, enum ydoc_kind kind,
                                  const yaml_event_t *event)
{
    struct ydoc_node *node = link_node(b->doc, b->open, kind);
    if (node == NULL) {
        out_of_memory(b);
        return NULL;
    }
    node->line = (int)event->start_mark.line + 1;
    node->column = (int)event->start_mark.column + 1;
    if (b->open == NULL)
        return node;
    node->key = b->key;
    node->key_line = b->key_line;
    node->key_column = b->key_column;
    b->key = NULL;
    return node;
}

static int add_key(struct builder *b, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    bool is_merge =
        strcmp(text, "<<") == 0 && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    b->key = strdup(text);
    if (b->key == NULL)
        return out_of_memory(b);
    b->key_line = (int)event->start_mark.line + 1;
    b->key_column = (int)event->start_mark.column + 1;

    struct ydoc_node place = {.line = b->key_line,
                              .column = b->key_column,
                              .key = b->key,
                              .key_line = b->key_line,
                              .key_column = b->key_column,
                              .parent = b->open};
    const struct ydoc_node *before = ydoc_get(b->open, b->key);
    if (is_merge)
        ydoc_fault(b->faults, &place,
                   "expected a key, found a merge (<<): write the keys out");
    else if (before != NULL)
        ydoc_fault(b->faults, &place,
                   "expected each key once, it stands in line %d already",
                   before->key_line);
    return 0;
}

/* A text without control characters, also where they were escaped. */
static int check_scalar(struct builder *b, const yaml_event_t *event)
{
    size_t line, column;
    const char *bad = bad_character((const char *)event->data.scalar.value,
                                    event->data.scalar.length, &line, &column);
    if (bad == NULL)
        return 0;
    return fault_at_mark(b, event->start_mark.line, event->start_mark.column, bad);
}

static int add_scalar(struct builder *b, const yaml_event_t *event)
{
    int rc = count_node(b, event);
    if (rc == 0)
        rc = check_scalar(b, event);
    if (rc != 0)
        return rc;
    refuse_decoration(b, event, event->data.scalar.anchor, event->data.scalar.tag);
    if (b->open != NULL && b->open->kind == YDOC_MAPPING && b->key == NULL)
        return add_key(b, event);
    struct ydoc_node *node = add_node(b, YDOC_SCALAR, event);
    if (node == NULL)
        return -PPT_ENOMEM;
    node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = strdup((const char *)event->data.scalar.value);
    return node->text == NULL ? out_of_memory(b) : 0;
}

static int open_collection(struct builder *b, const yaml_event_t *event)
{
    bool is_mapping = event->type == YAML_MAPPING_START_EVENT;
    int rc = count_node(b, event);
    if (rc != 0)
        return rc;
    if (b->open != NULL && b->open->kind == YDOC_MAPPING && b->key == NULL)
        return fault_at_mark(b, event->start_mark.line, event->start_mark.column,
                             "expected a word as the key, found a collection");
    if (is_mapping)
        refuse_decoration(b, event, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag);
    else
        refuse_decoration(b, event, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag);
    struct ydoc_node *node =
        add_node(b, is_mapping ? YDOC_MAPPING : YDOC_SEQUENCE, event);
    if (node == NULL)
        return -PPT_ENOMEM;
    if (++b->depth > b->limits.max_depth) {
        ydoc_fault(b->faults, node,
                   "expected at most %d collections in one another, found more",
                   b->limits.max_depth);
        return -PPT_ESPEC;
    }
    b->open = node;
    return 0;
}

static int start_document(struct builder *b, const yaml_event_t *event)
{
    if (++b->n_documents > 1)
        return fault_at_mark(b, event->start_mark.line, event->start_mark.column,
                             "expected one document, found the start of a second");
    if (event->data.document_start.version_directive != NULL ||
        event->data.document_start.tag_directives.start !=
            event->data.document_start.tag_directives.end)
        fault_at_mark(b, event->start_mark.line, event->start_mark.column,
                      "expected a document without directives (%)");
    return 0;
}

static int take_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return start_document(b, event);
    case YAML_SCALAR_EVENT:
        return add_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return open_collection(b, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->open = (struct ydoc_node *)b->open->parent;
        b->depth--;
        return 0;
    case YAML_ALIAS_EVENT:
        return fault_at_mark(b, event->start_mark.line, event->start_mark.column,
                             "expected a plain value, found an alias (*): write the "
                             "value out");
    default:
        return 0;
    }
}

static int syntax_fault(struct builder *b)
{
    const yaml_parser_t *parser = &b->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return out_of_memory(b);
    struct ydoc_node place = {.line = (int)parser->problem_mark.line + 1,
                              .column = (int)parser->problem_mark.column + 1};
    ydoc_fault(b->faults, &place, "expected YAML: %s%s%s",
               parser->problem != NULL ? parser->problem : "it cannot be read",
               parser->context != NULL ? " " : "",
               parser->context != NULL ? parser->context : "");
    return -PPT_ESPEC;
}

static int build(struct builder *b)
{
    int rc = 0;
    for (bool is_end = false; rc == 0 && !is_end;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&b->parser, &event))
            return syntax_fault(b);
        is_end = event.type == YAML_STREAM_END_EVENT;
        rc = take_event(b, &event);
        yaml_event_delete(&event);
    }
    if (rc == 0 && b->doc->root == NULL)
        return fault_at_mark(b, 0, 0, "expected a document, found nothing");
    return rc;
}

/* Size and characters, before libyaml sees a byte. */
static int check_text(struct builder *b, const char *text, size_t len)
{
    if (len > b->limits.max_bytes) {
        ydoc_fault(b->faults, NULL, "expected at most %zu bytes, found %zu",
                   b->limits.max_bytes, len);
        return -PPT_ESPEC;
    }
    size_t line, column;
    const char *bad = bad_character(text, len, &line, &column);
    return bad == NULL ? 0 : fault_at_mark(b, line, column, bad);
}

struct ydoc *ydoc_parse(const char *text, size_t len, const struct ydoc_limits *limits,
                        struct ydoc_faults *faults)
{
    struct builder b = {.faults = faults};
    if (limits != NULL)
        b.limits = *limits;
    if (b.limits.max_bytes == 0)
        b.limits.max_bytes = DEFAULT_MAX_BYTES;
    if (b.limits.max_depth == 0)
        b.limits.max_depth = DEFAULT_MAX_DEPTH;
    if (b.limits.max_nodes == 0)
        b.limits.max_nodes = DEFAULT_MAX_NODES;
    if (check_text(&b, text, len) != 0)
        return NULL;

    b.doc = calloc(1, sizeof *b.doc);
    if (b.doc == NULL || !yaml_parser_initialize(&b.parser)) {
        free(b.doc);
        out_of_memory(&b);
        return NULL;
    }
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, len);
    int rc = build(&b);
    yaml_parser_delete(&b.parser);
    free(b.key);
    if (rc == 0)
        return b.doc;
    ydoc_free(b.doc);
    return NULL;
}

/* ---- changing a tree ---- */

const struct ydoc_node *ydoc_take(const struct ydoc_node *mapping, const char *key)
{
    const struct ydoc_node *found = ydoc_get(mapping, key);
    if (found == NULL)
        return NULL;
    struct cell *home = (struct cell *)mapping;
    struct ydoc_node *before = NULL, *node = (struct ydoc_node *)home->node.first;
    for (; node != found; node = (struct ydoc_node *)node->next)
        before = node;
    if (before == NULL)
        home->node.first = node->next;
    else
        before->next = node->next;
    if (home->last == node)
        home->last = before;
    node->next = NULL;
    home->node.n_children--;
    return node;
}

/* The child of that key, made where there is none. */
static struct ydoc_node *need_child(struct ydoc *doc, struct ydoc_faults *faults,
                                    struct ydoc_node *parent, const char *key,
                                    size_t len, enum ydoc_kind kind,
                                    const struct ydoc_node *at)
{
    char *name = strndup(key, len);
    struct ydoc_node *node =
        name == NULL ? NULL : (struct ydoc_node *)ydoc_get(parent, name);
    if (node != NULL) {
        free(name);
        return node;
    }
    node = name == NULL ? NULL : link_node(doc, parent, kind);
    if (node == NULL) {
        free(name);
        faults->is_out_of_memory = true;
        faults->n++;
        return NULL;
    }
    node->key = name;
    node->line = at->line;
    node->column = at->column;
    node->key_line = at->key_line;
    node->key_column = at->key_column;
    return node;
}

const struct ydoc_node *ydoc_place(struct ydoc *doc, struct ydoc_faults *faults,
                                   const struct ydoc_node *at)
{
    struct ydoc_node *node = doc->root;
    for (const char *p = at->key;; p++) {
        size_t len = strcspn(p, ".");
        bool is_last = p[len] == '\0';
        if (len == 0) {
            ydoc_fault(faults, at, "expected a field such as training.learning_rate");
            return NULL;
        }
        if (node->kind != YDOC_MAPPING) {
            ydoc_fault(faults, at, "expected a field, but %s in line %d has none",
                       node->key, node->line);
            return NULL;
        }
        int n_before = node->n_children;
        struct ydoc_node *parent = node;
        node = need_child(doc, faults, parent, p, len,
                          is_last ? YDOC_SCALAR : YDOC_MAPPING, at);
        if (node == NULL)
            return NULL;
        if (is_last && parent->n_children == n_before) {
            ydoc_fault(faults, at,
                       "expected this field here alone, it stands in line "
                       "%d too",
                       node->key_line);
            return NULL;
        }
        p += len;
        if (is_last)
            break;
    }
    ((struct cell *)node)->borrows = true;
    node->text = "";
    return node;
}

void ydoc_say(const struct ydoc_node *place, const struct ydoc_node *scalar)
{
    struct ydoc_node *node = (struct ydoc_node *)place;
    node->text = scalar->text;
    node->is_plain = scalar->is_plain;
    node->line = scalar->line;
    node->column = scalar->column;
}
