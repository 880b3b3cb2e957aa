/* A function in one execution of a statement, and the micro-VM that it has meanwhile. */
#ifndef UDFVM_SQLITE_SESSION_H
#define UDFVM_SQLITE_SESSION_H

#include "connection/registry.h"

struct batch;

/* One function in one execution of a statement. */
struct session {
    struct sql_function *function; /* a reference */
    udfvm_pool *
        pool; /* references to what runs the function in this statement; NULL: it has not run yet */
    udfvm_image *image;
    udfvm_vm *vm; /* NULL until a row needs it: a row that a NULL decides does not */
    int64_t row;  /* index of the current row among those of this session; -1: none, or not known */
    uint64_t end_ns; /* of the statement, by its timeout; UINT64_MAX: none */
    enum watch_result {
        WATCH_NOTHING,
        WATCH_INTERRUPT,
        WATCH_STATEMENT_TIMEOUT
    } watched;           /* why the watch ended the current call */
    sqlite3_stmt *pulse; /* see watch.c; finalised with each call */
    uint64_t groups;     /* aggregates: groups begun */
    struct batch *batch; /* aggregates: waiting rows; NULL until there are some */
    int64_t *
        batch_rows; /* aggregates: their indices in the statement; -1: a row that leaves a window */
    int64_t rows_seen;    /* aggregates: rows that entered, including those left out for a NULL */
    bool streams;         /* its VM streams, by session_send() */
    bool failed;          /* the guest is not used any more */
    struct session *next; /* of this statement */
    struct session *next_of_registry, **link_of_registry;
};

/* All functions in one execution of a statement. SQLite keeps it as the statement's auxiliary
 * data. */
struct statement {
    sqlite_library *library;
    struct session *sessions;
    uint64_t end_ns; /* 0: not set yet */
};

/* Returns that of the context's statement; `fallback` if SQLite keeps none. */
struct statement *statement_of(sqlite_library *library, sqlite3_context *context,
                               struct statement *fallback);
void statement_clear(struct statement *statement);
struct session *statement_find(const struct statement *statement,
                               const struct sql_function *function);
struct session *statement_find_name(const struct statement *statement, const char *name,
                                    size_t length);
/* Returns the session of an expression of so many values. */
struct session *statement_find_expression(const struct statement *statement, const char *text,
                                          size_t length, int count);
/* Starts the statement's time, if it does not run yet. */
void statement_begin(struct statement *statement, const struct function_registry *registry);

/* Returns the session of a function for calls with so many arguments, and makes one if there is
 * none. NULL: out of memory. */
struct session *statement_session(struct statement *statement, struct sql_function *function,
                                  int count);
struct session *session_create(struct statement *statement,
                               struct sql_function *function); /* NULL: out of memory */
/* Waits for a VM of the session's pool: as long as its function does, and no longer than its
 * statement may. */
udfvm_vm *session_take_vm(struct session *session, uint64_t length, struct udfvm_error *error);
/* Takes a VM if the session has none, with windows for a request of this size, as far as the
 * function's memory allows. If the rows of the function's batches depend on each other, a VM with
 * larger windows replaces the session's. Returns false if there is none, or if it belongs to the
 * parent process: nothing may be written to its window. */
bool session_ready(struct session *session, uint64_t length, struct udfvm_error *error);
bool connection_interrupted(sqlite_library *library, sqlite3 *connection);

/* ---- watch.c: interrupting long calls ---- */

int watch(void *session);                /* of udfvm_vm_set_watch */
void watch_end(struct session *session); /* after each call, and in the end */
void watch_before_fork(void);
void watch_in_parent(void);
void watch_in_child(void);

#endif
