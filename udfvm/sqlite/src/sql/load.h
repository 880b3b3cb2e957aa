/* Loading stored functions: compiled in a micro-VM, and sealed into a layer in memory. */
#ifndef UDFVM_SQLITE_LOAD_H
#define UDFVM_SQLITE_LOAD_H

#include "connection/registry.h"
#include "sql/signature.h"

struct stored_definition {
    const char *caller; /* the SQL function that stores it, for errors; NULL: a call loads it */
    const char *name, *language, *signature, *options;
    const void *source;
    size_t name_length, source_length;
    bool source_is_text;
    bool expression; /* of so many values, a, b and so on */
    int values;
};
struct stored_options {
    bool deterministic;
    uint32_t isolation;
    uint64_t row_timeout_ns; /* 0: not given */
    char entry[64];          /* empty: the function's name */
};
/* Compiles and loads a function in a micro-VM. NULL with *message. */
struct sql_function *load_function(struct function_registry *registry,
                                   const struct stored_definition *definition, char **message);

/* Payloads of LOAD requests, sqlite3_malloc'd. They return NULL with *message, or without it if
 * memory is out. */
enum { MAX_COMPILED_PARAMETERS = 32 };
typedef uint8_t *load_request(sqlite_library *, const struct stored_definition *,
                              const struct sql_signature *, const struct stored_options *,
                              size_t *length, char **message);
load_request python_request, compiled_request;

#endif
