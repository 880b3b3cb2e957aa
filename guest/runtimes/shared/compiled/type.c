/* See type.h. */
#include "shared/compiled/type.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "shared/compiled/scanner.h"

static const struct {
    const char *name;
    enum storage storage;
    enum type_time time;
} leaves[] = {
    { "bool", STORAGE_BOOL, TIME_NONE },
    { "int8", STORAGE_INT8, TIME_NONE },
    { "int16", STORAGE_INT16, TIME_NONE },
    { "int32", STORAGE_INT32, TIME_NONE },
    { "int64", STORAGE_INT64, TIME_NONE },
    { "uint8", STORAGE_UINT8, TIME_NONE },
    { "uint16", STORAGE_UINT16, TIME_NONE },
    { "uint32", STORAGE_UINT32, TIME_NONE },
    { "uint64", STORAGE_UINT64, TIME_NONE },
    { "float", STORAGE_FLOAT32, TIME_NONE },
    { "double", STORAGE_FLOAT64, TIME_NONE },
    { "string", STORAGE_TEXT32, TIME_NONE },
    { "large_string", STORAGE_TEXT64, TIME_NONE },
    { "binary", STORAGE_BYTES32, TIME_NONE },
    { "large_binary", STORAGE_BYTES64, TIME_NONE },
    { "date32[day]", STORAGE_INT32, TIME_DAYS },
    { "timestamp[s]", STORAGE_INT64, TIME_SECONDS },
    { "timestamp[ms]", STORAGE_INT64, TIME_MILLISECONDS },
    { "timestamp[us]", STORAGE_INT64, TIME_MICROSECONDS },
    { "timestamp[ns]", STORAGE_INT64, TIME_NANOSECONDS },
};

static void *allocate(size_t count, size_t size)
{
    void *made = calloc(count ? count : 1, size);
    if (!made)
        abort();
    return made;
}

void type_give_children(struct type *type, enum storage storage, size_t count)
{
    type->storage = storage;
    type->count = count;
    type->children = allocate(count, sizeof *type->children);
}

void type_give_name(struct type *type, const char *name, size_t length)
{
    type->name = allocate(length + 1, 1);
    memcpy(type->name, name, length);
}

static void clear(struct type *type)
{
    for (size_t i = 0; i < type->count; i++)
        clear(&type->children[i]);
    free(type->children);
    free(type->name);
}

void type_delete(struct type *type)
{
    if (type)
        clear(type);
    free(type);
}

/* ---- Names ---- */

/* Returns the number of characters before the first of `marks`. */
static size_t length_until(const struct scanner *scanner, const char *marks)
{
    size_t length = 0;
    while (scanner->at + length < scanner->end && scanner->at[length] &&
           !strchr(marks, scanner->at[length]))
        length++;
    return length;
}

bool type_set_leaf(struct type *type, const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
        if (strlen(leaves[i].name) == length && memcmp(leaves[i].name, name, length) == 0) {
            type->storage = leaves[i].storage;
            type->time = leaves[i].time;
            return true;
        }
    return false;
}

static bool take_leaf(struct scanner *scanner, struct type *type)
{
    const size_t length = length_until(scanner, ",>");
    const bool taken = type_set_leaf(type, scanner->at, length);
    scanner->at += taken ? length : 0;
    return taken;
}

/* The number of fields of a struct whose first one is next: its commas that are in no other
 * brackets. */
static size_t count_fields(const struct scanner *scanner)
{
    size_t count = 1, depth = 1;
    bool quoted = false; /* a doubled quote ends one and begins another */
    for (const char *at = scanner->at; at < scanner->end && depth > 0; at++) {
        quoted ^= *at == '"';
        depth += *at == '<' && !quoted;
        depth -= *at == '>' && !quoted;
        count += *at == ',' && depth == 1 && !quoted;
    }
    return count;
}

static bool take_type(struct scanner *scanner, struct type *type, unsigned depth);

/* Takes the rest of a name in quotes, in which a quote is two. */
static bool take_quoted(struct scanner *scanner, struct type *field)
{
    field->name = allocate((size_t)(scanner->end - scanner->at) + 1, 1);
    for (size_t length = 0; scanner->at < scanner->end; length++) {
        if (*scanner->at == '"' && (++scanner->at == scanner->end || *scanner->at != '"'))
            return true;
        field->name[length] = *scanner->at++;
    }
    return false;
}

static bool take_name(struct scanner *scanner, struct type *field)
{
    if (scanner_accept_word(scanner, "\""))
        return take_quoted(scanner, field);
    const size_t length = length_until(scanner, "<>[]:,");
    if (length == 0)
        return false;
    type_give_name(field, scanner->at, length);
    scanner->at += length;
    return true;
}

static bool take_field(struct scanner *scanner, struct type *field, unsigned depth)
{
    return take_name(scanner, field) && scanner_accept_word(scanner, ": ") &&
           take_type(scanner, field, depth);
}

static bool take_fields(struct scanner *scanner, struct type *type, unsigned depth)
{
    type_give_children(type, STORAGE_STRUCT, count_fields(scanner));
    for (size_t i = 0; i < type->count; i++)
        if ((i > 0 && !scanner_accept_word(scanner, ", ")) ||
            !take_field(scanner, &type->children[i], depth))
            return false;
    return scanner_accept_word(scanner, ">");
}

static bool take_type(struct scanner *scanner, struct type *type, unsigned depth)
{
    if (depth == MAX_TYPE_DEPTH)
        return false;
    if (scanner_accept_word(scanner, "struct<"))
        return take_fields(scanner, type, depth + 1);
    if (!scanner_accept_word(scanner, "list<item: "))
        return take_leaf(scanner, type);
    type_give_children(type, STORAGE_LIST, 1);
    return take_type(scanner, type->children, depth + 1) && scanner_accept_word(scanner, ">");
}

struct type *type_parse(const char *text, size_t length)
{
    struct scanner scanner = { text, text + length };
    struct type *type = allocate(1, sizeof *type);
    if (length <= MAX_TYPE_NAME && take_type(&scanner, type, 0) && scanner.at == scanner.end)
        return type;
    type_delete(type);
    return NULL;
}

static const char *leaf_name(const struct type *type)
{
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
        if (leaves[i].storage == type->storage && leaves[i].time == type->time)
            return leaves[i].name;
    return "?";
}

/* Whether a name is written without quotes. Others than these may be, too. */
static bool needs_no_quotes(const char *name)
{
    const size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("_- ", name[i]))
            return false;
    return length > 0 && name[0] != ' ' && name[length - 1] != ' ';
}

static void write_name(const char *name, struct bytes *to)
{
    if (needs_no_quotes(name)) {
        bytes_text(to, name);
        return;
    }
    bytes_text(to, "\"");
    for (; *name; name++)
        bytes_text(to, *name == '"' ? "\"\"" : (const char[]){ *name, '\0' });
    bytes_text(to, "\"");
}

void type_write(const struct type *type, struct bytes *to)
{
    if (!storage_is_nested(type->storage)) {
        bytes_text(to, leaf_name(type));
        return;
    }
    bytes_text(to, type->storage == STORAGE_LIST ? "list<item: " : "struct<");
    for (size_t i = 0; i < type->count; i++) {
        const struct type *child = &type->children[i];
        if (type->storage == STORAGE_STRUCT) {
            bytes_text(to, i > 0 ? ", " : "");
            write_name(child->name, to);
            bytes_text(to, ": ");
        }
        type_write(child, to);
    }
    bytes_text(to, ">");
}

/* ---- Structure ---- */

bool type_equal(const struct type *a, const struct type *b)
{
    const bool names = a->name && b->name ? strcmp(a->name, b->name) == 0 : a->name == b->name;
    if (a->storage != b->storage || a->count != b->count || !names)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!type_equal(&a->children[i], &b->children[i]))
            return false;
    return true;
}

struct column type_column(const struct type *type)
{
    struct column column = { .storage = type->storage, .child_count = type->count };
    if (type->count > 0)
        column.children = allocate(type->count, sizeof *column.children);
    for (size_t i = 0; i < type->count; i++)
        column.children[i] = type_column(&type->children[i]);
    return column;
}
