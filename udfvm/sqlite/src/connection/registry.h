/* The registry of a connection: its functions, its policy, and what they need.
 *
 * Locking: data of a connection (registry, functions, sessions) is touched only inside SQLite's
 * calls for that connection, which SQLite serialises. Only the table of registries is shared, and
 * has a mutex.
 */
#ifndef UDFVM_SQLITE_REGISTRY_H
#define UDFVM_SQLITE_REGISTRY_H

#include "connection/function.h"

struct session;

/* The pool and base image that load and run stored functions of a language. */
struct language_runtime {
    udfvm_pool *pool; /* references; NULL: none yet */
    udfvm_image *base;
    uint32_t pool_limit;
    struct embedder *embedder; /* a reference; NULL if the extension opened the image */
};

/* A base image that the extension opened itself. */
struct base_image {
    struct base_image *next;
    char *path;
    udfvm_image *image;
    udfvm_pool *pool;
};

/* The functions of one connection. It lives until the connection drops vm_udf and no function
 * refers to it. */
struct function_registry {
    sqlite_library *library;
    sqlite3 *connection;
    unsigned references;
    struct sql_function *functions; /* list; one reference each */
    struct sql_function *stored;    /* list of those loaded from the database; one reference each */
    struct session *sessions;       /* every session of the connection */
    uint32_t width;                 /* result columns of vm_map and vm_table */
    struct udfvm_sqlite_policy policy;
    struct language_runtime runtimes[LANGUAGES];
    struct base_image *bases;
    struct embedder *
        embedder; /* a reference: the last offer's, for exceptions of the program; NULL: no offer */
    bool embedded;                  /* a program made an offer: it sets the policy, not SQL */
    bool interrupted;               /* a stored function was being loaded: see resolve_code() */
    uint64_t load_end_ns;           /* of the statement that loads one; UINT64_MAX: none */
    bool raised;                    /* an exception of the program may be pending: see raise.c */
    struct function_registry *next; /* table of registries; guarded by its mutex */
};

/* The maker of an offer. All functions of the offer share it. */
struct embedder {
    unsigned references;
    void (*release)(uint64_t owner);
    uint64_t owner;
    struct udfvm_sqlite_interrupt interrupt;
    int (*renew)(uint64_t owner, const char *name,
                 struct udfvm_sqlite_renewal *renewal); /* NULL: functions never change */
    struct udfvm_sqlite_failures failures;
};
void embedder_release(struct embedder *embedder);

/* Returns a borrowed registry; NULL if the connection has none. */
struct function_registry *registry_of(sqlite_library *library, sqlite3 *connection);
/* One reference; NULL: out of memory. */
struct function_registry *registry_create(sqlite_library *library, sqlite3 *connection);
/* Called when the connection drops vm_udf: releases the functions and a reference. */
void registry_forget(struct function_registry *registry);
void registry_release(struct function_registry *registry);
void registry_release_data(void *registry); /* the same, as SQLite's destructors take it */
struct sql_function *registry_find(const struct function_registry *registry, const char *name,
                                   size_t length);
/* Takes over the reference. Replaces a function of the same name. */
void registry_put(struct function_registry *registry, struct sql_function *function);
void registry_remove(struct function_registry *registry, const char *name, size_t length);
/* Handlers for pthread_atfork, in its order. */
void registries_before_fork(void);
void registries_in_parent(void);
void registries_in_child(void);

void runtime_clear(struct language_runtime *runtime); /* releases its references */

/* The sink for output of functions if no program sets one. */
extern const struct udfvm_log_sink log_standard_error;

#endif
