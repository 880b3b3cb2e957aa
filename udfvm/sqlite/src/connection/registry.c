/* Registries of connections: see registry.h. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "connection/registry.h"

/* One entry for each connection that has vm_udf. SQLite itself has client data of connections only
 * since version 3.44. */
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct function_registry *table;

/* ---- Forks ---- */

static pid_t forking_thread;

/* While SQLite runs a statement, it holds the connection's mutex. That is a recursive one of
 * pthreads, which knows its owner by the thread's id. A child that was forked during a statement,
 * by a host function or a signal handler, has another id: it could neither leave the statement nor
 * close the connection. So a mutex that the forking thread held passes to the child's thread. */
static void adopt_mutex(const struct function_registry *registry)
{
#ifdef __GLIBC__
    sqlite_library *sqlite3_api = registry->library;
    pthread_mutex_t *mutex = (pthread_mutex_t *)sqlite3_db_mutex(registry->connection);
    if (mutex && mutex->__data.__kind == PTHREAD_MUTEX_RECURSIVE &&
        mutex->__data.__owner == forking_thread)
        mutex->__data.__owner = (pid_t)syscall(SYS_gettid);
#else
    (void)registry;
#endif
}

void registries_before_fork(void)
{
    pthread_mutex_lock(&table_lock);
    forking_thread = (pid_t)syscall(SYS_gettid);
}

void registries_in_parent(void)
{
    pthread_mutex_unlock(&table_lock);
}

void registries_in_child(void)
{
    for (const struct function_registry *registry = table; registry; registry = registry->next)
        adopt_mutex(registry);
    table_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

/* ---- Connections ---- */

struct function_registry *registry_of(sqlite_library *library, sqlite3 *connection)
{
    pthread_mutex_lock(&table_lock);
    struct function_registry *registry = table;
    while (registry && (registry->connection != connection || registry->library != library))
        registry = registry->next;
    pthread_mutex_unlock(&table_lock);
    return registry;
}

struct function_registry *registry_create(sqlite_library *library, sqlite3 *connection)
{
    struct function_registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return NULL;
    registry->library = library;
    registry->connection = connection;
    registry->references = 1;
    pthread_mutex_lock(&table_lock);
    registry->next = table;
    table = registry;
    pthread_mutex_unlock(&table_lock);
    return registry;
}

static void release_list(struct sql_function **list)
{
    while (*list) {
        struct sql_function *function = *list;
        *list = function->next;
        function->next = NULL;
        function_release(function);
    }
}

void registry_forget(struct function_registry *registry)
{
    pthread_mutex_lock(&table_lock);
    struct function_registry **link = &table;
    while (*link != registry)
        link = &(*link)->next;
    *link = registry->next;
    pthread_mutex_unlock(&table_lock);
    release_list(&registry->functions);
    release_list(&registry->stored);
    if (registry->embedder)
        embedder_release(registry->embedder);
    registry->embedder = NULL;
    registry_release(registry);
}

void runtime_clear(struct language_runtime *runtime)
{
    struct embedder *embedder = runtime->embedder;
    udfvm_pool_close(runtime->pool);
    udfvm_image_close(runtime->base);
    *runtime = (struct language_runtime){ .pool = NULL };
    if (embedder)
        embedder_release(embedder);
}

static void bases_free(struct function_registry *registry)
{
    while (registry->bases) {
        struct base_image *base = registry->bases;
        registry->bases = base->next;
        udfvm_pool_close(base->pool);
        udfvm_image_close(base->image);
        free(base->path);
        free(base);
    }
}

void registry_release(struct function_registry *registry)
{
    if (--registry->references > 0)
        return;
    for (int i = 0; i < LANGUAGES; i++)
        runtime_clear(&registry->runtimes[i]);
    bases_free(registry);
    free(registry);
}

void registry_release_data(void *registry)
{
    registry_release(registry);
}

struct sql_function *registry_find(const struct function_registry *registry, const char *name,
                                   size_t length)
{
    struct sql_function *function = registry->functions;
    while (function &&
           (function->name_length != length || !same_name(function->name, name, length)))
        function = function->next;
    return function;
}

static struct sql_function **link_of(struct function_registry *registry, const char *name,
                                     size_t length)
{
    struct sql_function **link = &registry->functions;
    while (*link && ((*link)->name_length != length || !same_name((*link)->name, name, length)))
        link = &(*link)->next;
    return link;
}

void registry_remove(struct function_registry *registry, const char *name, size_t length)
{
    struct sql_function **link = link_of(registry, name, length), *removed = *link;
    if (!removed)
        return;
    *link = removed->next;
    removed->next = NULL;
    function_release(removed);
}

void registry_put(struct function_registry *registry, struct sql_function *function)
{
    struct sql_function **link = link_of(registry, function->name, function->name_length),
                        *old = *link;
    function->next = old ? old->next : NULL;
    *link = function;
    if (old) {
        old->next = NULL;
        function_release(old);
    }
}

void embedder_release(struct embedder *embedder)
{
    if (--embedder->references > 0)
        return;
    embedder->release(embedder->owner);
    free(embedder);
}
