/* Nested types of parameters and results: their names, as pyarrow prints them (struct<x: double,
 * tags: list<item: string>>), and their parts. */
#ifndef UDFVM_COMPILED_TYPE_H
#define UDFVM_COMPILED_TYPE_H

#include "shared/compiled/bytes.h"
#include "arrow/storage.h"

#define MAX_TYPE_DEPTH 32          /* levels of nested types */
#define MAX_TYPE_NAME  (16u << 10) /* bytes of a name */

/* What an integer counts since 1970. */
enum type_time {
    TIME_NONE,
    TIME_DAYS,
    TIME_SECONDS,
    TIME_MILLISECONDS,
    TIME_MICROSECONDS,
    TIME_NANOSECONDS
};

struct type {
    enum storage storage;
    enum type_time time;
    char *name; /* name of a struct's field; NULL for other types */
    size_t count;
    struct type *children; /* fields of a struct; the single child of a list */
};

/* Parses a name. Returns a type, to be deleted; NULL if the name is not valid. */
struct type *type_parse(const char *text, size_t length);
/* Appends the type's name. */
void type_write(const struct type *type, struct bytes *to);
bool type_equal(const struct type *a, const struct type *b);
void type_delete(struct type *type);

/* Makes it the leaf of a name; false where no leaf has it. */
bool type_set_leaf(struct type *type, const char *name, size_t length);
/* Gives a type children, without anything in them, or a name. */
void type_give_children(struct type *type, enum storage storage, size_t count);
void type_give_name(struct type *type, const char *name, size_t length);

/* Returns an empty column of the type: its storage, and nested columns. Its memory is never
 * freed. */
struct column type_column(const struct type *type);

#endif
