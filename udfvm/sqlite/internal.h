/* The extension's parts. See extension.h for what it is.
 *
 * A process may hold several copies of SQLite (apsw's own, and the system's below Python's sqlite3), each with its own table of
 * routines and its own object layouts. So there is no global `sqlite3_api`: each object carries the table of its library, and the
 * macros of sqlite3ext.h find it in a local variable of that name.
 *
 * Locking: what belongs to a connection (registry, functions, sessions) is touched only inside SQLite's calls for that connection,
 * which SQLite serialises. Only the table of registries is shared, and has a mutex.
 */
#ifndef UDFVM_SQLITE_INTERNAL_H
#define UDFVM_SQLITE_INTERNAL_H

#include <sqlite3ext.h>
#include <stdbool.h>

#include "extension.h"
#include "udfvm_abi.h"

typedef const sqlite3_api_routines sqlite_library;

struct session;

/* The functions of one connection. Lives until vm_udf is dropped from it and no function refers to it. */
struct registry {
    sqlite_library *library;
    sqlite3 *connection;
    unsigned references;
    struct function *functions;          /* list; one reference each */
    struct session *sessions;            /* every session of the connection */
    struct registry *next;               /* table of registries; guarded by its mutex */
};

/* What an offer lent: shared by its functions. */
struct lease {
    unsigned references;
    void (*release)(uint64_t owner);
    uint64_t owner;
    struct udfvm_sqlite_interrupt interrupt;
};

struct parameter {
    char *name;
    uint32_t type;
    bool nullable;
};

struct function {
    unsigned references;
    struct registry *registry;           /* a reference */
    struct lease *lease;                 /* a reference */
    struct function *next;
    char *name;
    size_t name_length;
    udfvm_pool *pool;                    /* references */
    udfvm_image *image;
    uint32_t result_type;
    uint32_t isolation;
    uint32_t flags;
    struct udfvm_limits limits;
    uint64_t wait_ns;
    uint32_t pool_limit;
    uint32_t parameter_count;
    struct parameter parameters[];
};

/* One function at work in one execution of a statement. */
struct session {
    struct function *function;           /* a reference */
    udfvm_vm *vm;                        /* NULL until a row needs it: rows that NULL decides do not */
    uint8_t *window;                     /* where a row goes */
    uint64_t window_size;
    int64_t row;                         /* index of the row at hand among those of this session; -1 before the first */
    struct session *next;                /* of this statement */
    struct session *next_of_registry, **link_of_registry;
};

/* Everything at work in one execution of a statement; SQLite keeps it as the statement's auxiliary data. */
struct statement {
    sqlite_library *library;
    struct session *sessions;
};

/* registry.c */
struct registry *registry_of(sqlite_library *library, sqlite3 *connection);       /* borrowed; NULL: none */
struct registry *registry_create(sqlite_library *library, sqlite3 *connection);   /* one reference; NULL: out of memory */
void registry_forget(struct registry *registry);        /* the connection drops it: the end of its functions and a reference */
void registry_release(struct registry *registry);
struct function *registry_find(const struct registry *registry, const char *name, size_t length);
void registry_put(struct registry *registry, struct function *function);          /* takes the reference; replaces a namesake */

struct function *function_create(struct registry *registry, struct lease *lease, const struct udfvm_sqlite_function *offered);
void function_release(struct function *function);
void lease_release(struct lease *lease);

/* session.c */
struct statement *statement_of(sqlite_library *library, sqlite3_context *context, struct statement *fallback);
void statement_clear(struct statement *statement);
struct session *statement_find(const struct statement *statement, const struct function *function);
struct session *statement_find_name(const struct statement *statement, const char *name, size_t length);
struct session *session_create(struct statement *statement, struct function *function);   /* NULL: out of memory */
bool session_begin(struct session *session, struct udfvm_error *error);                   /* takes a VM */
bool connection_interrupted(sqlite_library *library, sqlite3 *connection);

/* row.c */
enum row_check { ROW_CALL, ROW_NULL, ROW_BAD };
enum row_check row_check(const struct session *session, sqlite3_context *context, sqlite3_value **arguments);
bool row_encode(const struct session *session, sqlite3_context *context, sqlite3_value **arguments, uint64_t *length);
void row_decode(const struct session *session, sqlite3_context *context, const struct udfvm_reply *reply);
size_t utf8_sequence(const uint8_t *text, size_t length);      /* bytes of the well-formed character at `text`, 0 where there is none */

/* report.c */
void report(const struct session *session, sqlite3_context *context, const char *format, ...) __attribute__((format(printf, 3, 4)));
void report_guest_error(const struct session *session, sqlite3_context *context, const struct udfvm_reply *reply);
void report_core_error(const struct session *session, sqlite3_context *context, const struct udfvm_error *error);

/* call.c */
void call_by_name(sqlite_library *library, sqlite3_context *context, int count, sqlite3_value **arguments);   /* vm_udf */
void call_own(sqlite_library *library, sqlite3_context *context, int count, sqlite3_value **arguments);

#endif
