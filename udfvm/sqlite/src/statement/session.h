/* A function at work in one execution of a statement, and the micro-VM that it has meanwhile. */
#ifndef UDFVM_SQLITE_SESSION_H
#define UDFVM_SQLITE_SESSION_H

#include "connection/registry.h"

struct batch;

/* One function at work in one execution of a statement. */
struct session {
    struct sql_function *function; /* a reference */
    udfvm_pool *pool; /* references to what ran the function when the statement came to it; NULL: it
                         did not yet */
    udfvm_image *image;
    udfvm_vm *vm; /* NULL until a row needs it: rows that NULL decides do not */
    int64_t row;  /* index of the row at hand among those of this session; -1: none, or not known */
    uint64_t end_ns; /* of the statement, by its timeout; UINT64_MAX: none */
    enum watch_result {
        WATCH_NOTHING,
        WATCH_INTERRUPT,
        WATCH_STATEMENT_TIMEOUT
    } watched;           /* why the watch ended the call at hand */
    sqlite3_stmt *pulse; /* see watch.c; finalised with each call */
    uint64_t groups;     /* aggregates: groups begun */
    struct batch *batch; /* aggregates: rows that wait; NULL until there are */
    int64_t *batch_rows; /* aggregates: which rows of the statement's those are; -1: a row that goes
                            out of a window */
    int64_t rows_seen;   /* aggregates: rows that came in, those left out for a NULL too */
    bool failed;         /* nothing more is asked of the guest */
    struct session *next; /* of this statement */
    struct session *next_of_registry, **link_of_registry;
};

/* Everything at work in one execution of a statement; SQLite keeps it as the statement's auxiliary
 * data. */
struct statement {
    sqlite_library *library;
    struct session *sessions;
    uint64_t end_ns; /* 0: not set yet */
};

/* Of the context's statement; `fallback` where SQLite keeps none. */
struct statement *statement_of(sqlite_library *library, sqlite3_context *context,
                               struct statement *fallback);
void statement_clear(struct statement *statement);
struct session *statement_find(const struct statement *statement,
                               const struct sql_function *function);
struct session *statement_find_name(const struct statement *statement, const char *name,
                                    size_t length);
/* Its time runs from here on, if it did not yet. */
void statement_begin(struct statement *statement, const struct function_registry *registry);

struct session *session_create(struct statement *statement,
                               struct sql_function *function); /* NULL: out of memory */
/* Waits for a VM of the session's pool, as long as its function does, and no longer than its
 * statement may. */
udfvm_vm *session_take_vm(struct session *session, uint64_t length, struct udfvm_error *error);
/* Takes a VM, where the session has none, with windows for a request of so many bytes, as far as
 * the function's memory allows that; where the rows of its batches depend on each other, one with
 * larger windows takes the place of one that the session has. False: there is none, or it is of the
 * parent process; nothing may be written to its window. */
bool session_ready(struct session *session, uint64_t length, struct udfvm_error *error);
bool connection_interrupted(sqlite_library *library, sqlite3 *connection);

/* ---- watch.c: whether a long call is to be interrupted ---- */

uint64_t monotonic_ns(void);
int watch(void *session);                /* of udfvm_vm_set_watch */
void watch_end(struct session *session); /* after each call */
void watch_before_fork(void);
void watch_in_parent(void);
void watch_in_child(void);

#endif
