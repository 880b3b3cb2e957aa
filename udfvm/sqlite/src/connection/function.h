/* A function in SQL: its parameters and result, and the pool and image that run it. */
#ifndef UDFVM_SQLITE_FUNCTION_H
#define UDFVM_SQLITE_FUNCTION_H

#include <stdbool.h>
#include <stdint.h>

#include "connection/sqlite_copies.h"
#include "extension.h"
#include "udfvm_abi.h"

enum { MAX_PARAMETERS = 127, MAX_NAME = 255 };
/* The type of what an expression takes and returns: that of each value. No other function has it.
 */
enum { TYPE_ANY = UDFVM_TYPE_NULL };
enum { LANGUAGES = 3 }; /* of enum udfvm_sqlite_language */

/* A set of forms. */
#define FORM(form) (1u << (form))

struct function_registry;
struct embedder;

struct sql_parameter {
    char *name;
    uint32_t type;
    bool nullable, single;
    uint32_t kind; /* enum udfvm_sqlite_kind */
    struct udfvm_sqlite_times times;
    sqlite3_value *fallback; /* the default; NULL: none, or a later parameter has none */
};

/* A result column of a table function. */
struct result_column {
    char *name;
    uint32_t type;
    struct udfvm_sqlite_times times;
};

struct sql_function {
    unsigned references;
    struct function_registry *registry; /* a reference */
    struct embedder *embedder;          /* a reference; NULL if the function is of no offer */
    struct sql_function *next;
    /* The function that takes any number of arguments, of which this one takes `parameter_count`: a
     * reference; NULL: none. */
    struct sql_function *family;
    char *definition; /* of a stored function: all that it was made of; else NULL */
    size_t definition_length, source_length; /* the source is the end of the definition */
    bool expression;                         /* of vm_expr: no name finds it */
    char *name;
    size_t name_length;
    udfvm_pool *pool; /* references; NULL: one of a family that no statement has run yet */
    udfvm_image *image;
    uint32_t result_type;
    struct udfvm_sqlite_times result_times;
    uint32_t isolation;
    uint32_t flags;
    struct udfvm_limits limits;
    uint64_t wait_ns;
    uint32_t pool_limit;
    uint32_t form;         /* enum udfvm_sqlite_form */
    uint32_t language;     /* enum udfvm_sqlite_language */
    bool attached;         /* vm_attach defined its own function or table */
    bool refuses;          /* its own function says what runs it */
    uint32_t column_count; /* table functions */
    struct result_column *columns;
    uint32_t parameter_count;
    struct sql_parameter parameters[];
};

/* NULL: out of memory. `embedder` may be NULL. */
struct sql_function *function_create(struct function_registry *registry, struct embedder *embedder,
                                     const struct udfvm_sqlite_function *offered);
void function_release(struct sql_function *function);
void function_release_data(void *function); /* the same, as SQLite's destructors take it */
/* Asks the embedder for the pool and image that run the function now. Returns false if the image
 * cannot be built. */
bool function_renew(struct sql_function *function, struct udfvm_error *error);

/* Returns true for [A-Za-z_][A-Za-z0-9_]*, not vm_*, of at most MAX_NAME bytes. */
bool name_valid(const char *name, size_t length);
/* Compares names of functions as SQL does. */
bool same_name(const char *a, const char *b, size_t length);

const char *language_name(unsigned language); /* by index; NULL past the last */
unsigned language_of(const char *name);       /* its index; LANGUAGES if there is none */

/* ---- Functions whose last parameter takes any number of arguments ---- */

static inline bool is_variadic(const struct sql_function *function)
{
    return function->flags & UDFVM_SQLITE_VARIADIC;
}
/* Returns the function of such a family that takes `count` arguments, which takes_count() allows:
 * a reference. NULL: out of memory. */
struct sql_function *function_taking(struct sql_function *family, int count);
/* Returns how many parameters it has. */
uint32_t parameters_taking(const struct sql_function *family, int count);

/* ---- Defaults of parameters, which replace arguments that a call leaves out ---- */

/* Makes a default from its encoding (struct udfvm_value and its bytes), as SQL has it. Free it with
 * sqlite3_value_free. Returns NULL if memory is out or the encoding is not valid. */
sqlite3_value *default_create(sqlite_library *library, sqlite3 *connection, const void *encoded,
                              size_t length, const struct udfvm_sqlite_times *times);
uint32_t required_count(const struct sql_function *function); /* arguments that a call must have */
uint32_t max_count(const struct sql_function *function);      /* and that it can have */
bool takes_count(const struct sql_function *function, int count);
/* Returns all arguments of a call that passes `count` of them. */
sqlite3_value **with_defaults(const struct sql_function *function, int count, sqlite3_value **given,
                              sqlite3_value *completed[MAX_PARAMETERS]);

#endif
