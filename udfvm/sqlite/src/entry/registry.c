/* What a connection knows: its functions, and the references that they hold. */
#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

/* One entry for each connection that has vm_udf: SQLite itself offers no client data before its
 * version 3.44. */
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct registry *table;

/* ---- Forks ---- */

static pid_t forking_thread;

/* While it runs a statement, SQLite holds the connection's mutex, a recursive one of pthreads,
 * which knows its owner by the number of the thread. A child that was forked in the middle of a
 * statement, by a host function or a signal handler, has another number: it could neither leave the
 * statement nor close the connection. So what the forking thread held passes to the child's, which
 * is its copy. */
static void adopt_mutex(const struct registry *registry)
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

static void before_fork(void)
{
    watch_before_fork();
    pthread_mutex_lock(&table_lock);
    forking_thread = (pid_t)syscall(SYS_gettid);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&table_lock);
    watch_in_parent();
}

static void in_child(void)
{
    watch_in_child();
    for (const struct registry *registry = table; registry; registry = registry->next)
        adopt_mutex(registry);
    table_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

/* ---- Connections ---- */

struct registry *registry_of(sqlite_library *library, sqlite3 *connection)
{
    pthread_mutex_lock(&table_lock);
    struct registry *registry = table;
    while (registry && (registry->connection != connection || registry->library != library))
        registry = registry->next;
    pthread_mutex_unlock(&table_lock);
    return registry;
}

struct registry *registry_create(sqlite_library *library, sqlite3 *connection)
{
    struct registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return NULL;
    registry->library = library;
    registry->connection = connection;
    registry->references = 1;
    policy_default(&registry->policy);
    pthread_mutex_lock(&table_lock);
    registry->next = table;
    table = registry;
    pthread_mutex_unlock(&table_lock);
    return registry;
}

static void release_list(struct function **list)
{
    while (*list) {
        struct function *function = *list;
        *list = function->next;
        function->next = NULL;
        function_release(function);
    }
}

void registry_forget(struct registry *registry)
{
    pthread_mutex_lock(&table_lock);
    struct registry **link = &table;
    while (*link != registry)
        link = &(*link)->next;
    *link = registry->next;
    pthread_mutex_unlock(&table_lock);
    release_list(&registry->functions);
    release_list(&registry->stored);
    if (registry->embedder)
        lease_release(registry->embedder);
    registry->embedder = NULL;
    registry_release(registry);
}

void runtime_clear(struct runtime *runtime)
{
    struct lease *lease = runtime->lease;
    udfvm_pool_close(runtime->pool);
    udfvm_image_close(runtime->base);
    *runtime = (struct runtime){ .pool = NULL };
    if (lease)
        lease_release(lease);
}

void registry_release(struct registry *registry)
{
    if (--registry->references > 0)
        return;
    for (int i = 0; i < LANGUAGES; i++)
        runtime_clear(&registry->runtimes[i]);
    bases_free(registry);
    free(registry);
}

/* SQL names of functions are case-insensitive in ASCII; vm_udf keeps to that. */
bool same_name(const char *a, const char *b, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[i]))
            return false;
    return true;
}

struct function *registry_find(const struct registry *registry, const char *name, size_t length)
{
    struct function *function = registry->functions;
    while (function &&
           (function->name_length != length || !same_name(function->name, name, length)))
        function = function->next;
    return function;
}

static struct function **link_of(struct registry *registry, const char *name, size_t length)
{
    struct function **link = &registry->functions;
    while (*link && ((*link)->name_length != length || !same_name((*link)->name, name, length)))
        link = &(*link)->next;
    return link;
}

void registry_remove(struct registry *registry, const char *name, size_t length)
{
    struct function **link = link_of(registry, name, length), *removed = *link;
    if (!removed)
        return;
    *link = removed->next;
    removed->next = NULL;
    function_release(removed);
}

void registry_put(struct registry *registry, struct function *function)
{
    struct function **link = link_of(registry, function->name, function->name_length), *old = *link;
    function->next = old ? old->next : NULL;
    *link = function;
    if (old) {
        old->next = NULL;
        function_release(old);
    }
}

void lease_release(struct lease *lease)
{
    if (--lease->references > 0)
        return;
    lease->release(lease->owner);
    free(lease);
}

static bool copy_columns(struct function *function, const struct udfvm_sqlite_function *offered)
{
    function->columns = calloc(offered->column_count + 1, sizeof *function->columns);
    if (!function->columns)
        return false;
    for (; function->column_count < offered->column_count; function->column_count++) {
        const struct udfvm_sqlite_column *column = &offered->columns[function->column_count];
        char *name = strdup(column->name);
        if (!name)
            return false;
        function->columns[function->column_count] = (struct result_column){ name, column->type };
    }
    return true;
}

struct function *function_create(struct registry *registry, struct lease *lease,
                                 const struct udfvm_sqlite_function *offered)
{
    struct function *function = calloc(1, sizeof *function + offered->parameter_count *
                                                                 sizeof function->parameters[0]);
    if (!function)
        return NULL;
    function->references = 1;
    function->registry = registry;
    registry->references++;
    function->lease = lease;
    if (lease)
        lease->references++;
    function->pool = udfvm_pool_retain(offered->pool);
    function->image = udfvm_image_retain(offered->image);
    function->name = strdup(offered->name);
    function->name_length = strlen(offered->name);
    function->result_type = offered->result_type;
    function->isolation = offered->isolation;
    function->flags = offered->flags;
    function->limits = offered->limits;
    function->wait_ns = offered->wait_ns;
    function->pool_limit = offered->pool_limit;
    function->role = offered->role;
    function->language = offered->language;
    function->parameter_count = offered->parameter_count;
    bool complete = function->name != NULL && copy_columns(function, offered);
    for (uint32_t i = 0; i < offered->parameter_count; i++) {
        function->parameters[i].type = offered->parameters[i].type;
        function->parameters[i].nullable = offered->parameters[i].nullable != 0;
        function->parameters[i].single = offered->parameters[i].single != 0;
        function->parameters[i].name = strdup(offered->parameters[i].name);
        complete = complete && function->parameters[i].name;
        if (offered->parameters[i].fallback) {
            function->parameters[i].fallback = default_create(
                registry->library, registry->connection, offered->parameters[i].fallback,
                offered->parameters[i].fallback_length);
            complete = complete && function->parameters[i].fallback;
        }
    }
    if (!complete) {
        function_release(function);
        return NULL;
    }
    return function;
}

bool function_renew(struct function *function, struct udfvm_error *error)
{
    const struct lease *lease = function->lease;
    struct udfvm_sqlite_renewal renewal = { .pool = NULL };
    const int answer = lease && lease->renew ? lease->renew(lease->owner, function->name, &renewal)
                                             : 0;
    if (answer < 0) {
        *error = (struct udfvm_error){ .code = UDFVM_E_IMAGE };
        memcpy(error->message, renewal.message, sizeof error->message);
        error->message[sizeof error->message - 1] = 0;
        return false;
    }
    if (answer > 0) {
        udfvm_pool *const pool = function->pool;
        udfvm_image *const image = function->image;
        function->pool = udfvm_pool_retain(renewal.pool);
        function->image = udfvm_image_retain(renewal.image);
        function->pool_limit = renewal.pool_limit;
        udfvm_pool_close(pool);
        udfvm_image_close(image);
    }
    return true;
}

void function_release(struct function *function)
{
    if (--function->references > 0)
        return;
    sqlite_library *sqlite3_api = function->registry->library;
    for (uint32_t i = 0; i < function->parameter_count; i++) {
        free(function->parameters[i].name);
        sqlite3_value_free(function->parameters[i].fallback);
    }
    for (uint32_t i = 0; i < function->column_count; i++)
        free(function->columns[i].name);
    free(function->columns);
    free(function->name);
    free(function->definition);
    udfvm_image_close(function->image);
    udfvm_pool_close(function->pool);
    struct registry *registry = function->registry;
    struct lease *lease = function->lease;
    free(function);
    if (lease)
        lease_release(lease);
    registry_release(registry);
}
