/* Entry point of the loadable extension: gives a connection vm_udf, and the functions that its
 * embedder offers. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "functions/arguments.h"
#include "entry/libraries.h"

UDFVM_SQLITE_EXPORT int sqlite3_udfvmsqlite_init(sqlite3 *connection, char **error,
                                                 sqlite_library *library);

static _Thread_local const struct udfvm_sqlite_offer *offer;

int udfvm_sqlite_set_offer(const struct udfvm_sqlite_offer *new_offer)
{
    bool untaken = offer != NULL;
    offer = new_offer;
    return untaken;
}

typedef void sql_function(sqlite3_context *, int, sqlite3_value **);

#define ENTRY(name, body, n)                                                               \
    static void name##_##n(sqlite3_context *context, int count, sqlite3_value **arguments) \
    {                                                                                      \
        body(libraries[n], context, count, arguments);                                     \
    }
#define ENTRIES(name, body)                                                                \
    ENTRY(name, body, 0)                                                                   \
    ENTRY(name, body, 1)                                                                   \
    ENTRY(name, body, 2)                                                                   \
    ENTRY(name, body, 3)                                                                   \
    static sql_function *const name##_entries[LIBRARIES] = { name##_0, name##_1, name##_2, \
                                                             name##_3 };

ENTRIES(own, call_own)
ENTRIES(vm_udf, call_by_name)
ENTRIES(vm_attach, sql_attach)
ENTRIES(vm_create, sql_create)
ENTRIES(vm_drop, sql_drop)
ENTRIES(vm_policy, sql_policy)
ENTRIES(vm_release, sql_release)

/* Those beside vm_udf. */
static const struct {
    const char *name;
    sql_function *const *entries;
} helpers[] = {
    { "vm_attach", vm_attach_entries },   { "vm_create", vm_create_entries },
    { "vm_drop", vm_drop_entries },       { "vm_policy", vm_policy_entries },
    { "vm_release", vm_release_entries },
};

#ifndef SQLITE_RESULT_SUBTYPE
#define SQLITE_RESULT_SUBTYPE \
    0x001000000 /* since SQLite 3.45, which wants it of functions that give subtypes */
#endif
#define FLAGS (SQLITE_UTF8 | SQLITE_RESULT_SUBTYPE)

/* ---- Defining functions ---- */

static void forget_registry(void *data)
{
    registry_forget(data);
}

static void release_registry(void *data)
{
    registry_release(data);
}

static void forget_function(void *data)
{
    function_release(data);
}

static int fail(sqlite_library *library, char **error, int code, const char *why, const char *name)
{
    sqlite_library *sqlite3_api = library;
    *error = name ? sqlite3_mprintf("udfvm: %s: %s", name, why) : sqlite3_mprintf("udfvm: %s", why);
    return code;
}

static bool type_known(uint32_t type)
{
    return type >= UDFVM_TYPE_INT64 && type <= UDFVM_TYPE_BOOL;
}

static const char *fault_of_table(const struct udfvm_sqlite_function *function)
{
    if (function->column_count == 0 || function->column_count > 100)
        return "a table function has 1 to 100 columns";
    if (function->parameter_count >= ARGUMENTS_MAX)
        return "table functions take at most 59 arguments";
    for (uint32_t i = 0; i < function->column_count; i++)
        if (!type_known(function->columns[i].type))
            return "a column's type is unknown";
    return NULL;
}

static unsigned kind_index(uint32_t kind)
{
    unsigned index = 0;
    while (index < KINDS && kind != 1u << index)
        index++;
    return index;
}

static const char *fault_of(const struct udfvm_sqlite_function *function)
{
    size_t length = strlen(function->name);
    if (length == 0 || length > 255)
        return "a function's name has 1 to 255 bytes";
    if (strncasecmp(function->name, "vm_", 3) == 0)
        return "names that begin with vm_ are reserved";
    if (function->parameter_count > 127)
        return "SQLite's functions take at most 127 arguments";
    for (uint32_t i = 0; i < function->parameter_count; i++)
        if (!type_known(function->parameters[i].type))
            return "a parameter's type is unknown";
    if (function->role > UDFVM_SQLITE_AGGREGATE)
        return "the role is unknown";
    if (kind_index(function->kind) >= KINDS)
        return "the kind is unknown";
    if (function->isolation != UDFVM_SQLITE_STATEMENT && function->isolation != UDFVM_SQLITE_ROW)
        return "the isolation is unknown";
    if (!function->pool || !function->image)
        return "no pool or image";
    if (function->role == UDFVM_SQLITE_TABLE)
        return fault_of_table(function);
    if (function->column_count > 0)
        return "only table functions have columns";
    return type_known(function->result_type) ? NULL : "the result's type is unknown";
}

/* SQLite refuses to redefine a function while statements run. Asked before anything is defined, so
 * that a list is defined whole or not at all. */
static bool redefines_in_use(const struct registry *registry,
                             const struct udfvm_sqlite_offer *offered, size_t *which)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_stmt *statement = sqlite3_next_stmt(registry->connection, NULL);
    while (statement && !sqlite3_stmt_busy(statement))
        statement = sqlite3_next_stmt(registry->connection, statement);
    if (!statement)
        return false;
    for (*which = 0; *which < offered->count; ++*which)
        if (registry_find(registry, offered->functions[*which].name,
                          strlen(offered->functions[*which].name)))
            return true;
    return false;
}

/* SQL compares names of functions without case: one would replace the other. */
static bool differs_by_case(const struct registry *registry,
                            const struct udfvm_sqlite_offer *offered, size_t *which)
{
    for (*which = 0; *which < offered->count; ++*which) {
        const char *name = offered->functions[*which].name;
        const struct function *known = registry_find(registry, name, strlen(name));
        if (known && strcmp(known->name, name) != 0)
            return true;
        for (size_t before = 0; before < *which; before++)
            if (strcasecmp(offered->functions[before].name, name) == 0 &&
                strcmp(offered->functions[before].name, name) != 0)
                return true;
    }
    return false;
}

/* Takes a function's own SQL function or table away. */
static int undefine(const struct function *old)
{
    sqlite_library *sqlite3_api = old->registry->library;
    sqlite3 *connection = old->registry->connection;
    if (old->role == UDFVM_SQLITE_TABLE)
        return sqlite3_create_module_v2(connection, old->name, NULL, NULL, NULL);
    if (old->role == UDFVM_SQLITE_VECTORIZED)
        return SQLITE_OK;
    int code = SQLITE_OK;
    for (uint32_t count = required_count(old); count <= old->parameter_count && code == SQLITE_OK;
         count++)
        code = sqlite3_create_function_v2(connection, old->name, (int)count, SQLITE_UTF8, NULL,
                                          NULL, NULL, NULL, NULL);
    return code;
}

/* The function's own SQL function or table. A vectorised function has none: vm_map runs it. */
int define_own(struct function *function, int index)
{
    sqlite_library *sqlite3_api = function->registry->library;
    sqlite3 *connection = function->registry->connection;
    int flags = FLAGS;
    if (!(function->flags & UDFVM_SQLITE_IN_SCHEMA))
        flags |= SQLITE_DIRECTONLY;
    if (function->flags & UDFVM_SQLITE_DETERMINISTIC)
        flags |= SQLITE_DETERMINISTIC;
    if (function->role == UDFVM_SQLITE_VECTORIZED)
        return SQLITE_OK;
    if (function->role == UDFVM_SQLITE_TABLE)
        return table_define_own(function);
    if (function->role == UDFVM_SQLITE_AGGREGATE)
        return aggregate_define_own(function, index, flags);
    int code = SQLITE_OK;
    for (uint32_t count = required_count(function);
         count <= function->parameter_count && code == SQLITE_OK; count++) {
        function->references++; /* SQLite's: it calls the destructor in any case */
        code = sqlite3_create_function_v2(connection, function->name, (int)count, flags, function,
                                          own_entries[index], NULL, NULL, forget_function);
    }
    return code;
}

static int define(struct registry *registry, int index, struct lease *lease,
                  const struct udfvm_sqlite_function *offered)
{
    struct function *function = function_create(registry, lease, offered);
    if (!function)
        return SQLITE_NOMEM;
    struct function *old = registry_find(registry, offered->name, strlen(offered->name));
    int code = SQLITE_OK;
    if (old && (old->parameter_count != function->parameter_count ||
                required_count(old) != required_count(function) || old->role != function->role))
        code = undefine(old);
    if (code == SQLITE_OK)
        code = define_own(function, index);
    if (code == SQLITE_OK)
        registry_put(registry, function);
    else
        function_release(function);
    return code;
}

static void take_policy(struct registry *registry, struct lease *lease,
                        const struct udfvm_sqlite_offer *offered)
{
    if (!registry->embedded) /* what SQL is allowed, the program says from here on */
        registry->policy = (struct udfvm_sqlite_policy){
            .idle_spin_us = registry->policy.idle_spin_us
        };
    registry->embedded = true;
    if (offered->policy)
        registry->policy = *offered->policy;
    for (size_t i = 0; i < offered->runtime_count; i++) {
        const struct udfvm_sqlite_runtime *runtime = &offered->runtimes[i];
        struct runtime *kept = &registry->runtimes[kind_index(runtime->kind)];
        runtime_clear(kept);
        lease->references++;
        *kept = (struct runtime){ .pool = udfvm_pool_retain(runtime->pool),
                                  .base = udfvm_image_retain(runtime->base),
                                  .pool_limit = runtime->pool_limit,
                                  .lease = lease };
    }
}

/* vm_map and vm_table, which have as many columns as the widest table function: so they are defined
 * again when there is a wider one. */
static int define_tables(struct registry *registry)
{
    const uint32_t width = widest_table(registry);
    if (registry->width == width)
        return SQLITE_OK;
    registry->width = width;
    int code = map_define(registry);
    return code == SQLITE_OK ? table_define(registry) : code;
}

static int define_all(struct registry *registry, int index,
                      const struct udfvm_sqlite_offer *offered, char **error)
{
    sqlite_library *sqlite3_api = registry->library;
    size_t which;
    for (size_t i = 0; i < offered->count; i++) {
        const char *fault = fault_of(&offered->functions[i]);
        if (fault)
            return fail(sqlite3_api, error, SQLITE_MISUSE, fault, offered->functions[i].name);
    }
    for (size_t i = 0; i < offered->runtime_count; i++)
        if (kind_index(offered->runtimes[i].kind) >= KINDS || !offered->runtimes[i].pool ||
            !offered->runtimes[i].base)
            return fail(sqlite3_api, error, SQLITE_MISUSE,
                        "a runtime of an unknown kind, or without pool or image", NULL);
    if (differs_by_case(registry, offered, &which))
        return fail(
            sqlite3_api, error, SQLITE_MISUSE,
            "another function's name differs from it by case alone, which does not count in SQL",
            offered->functions[which].name);
    if (redefines_in_use(registry, offered, &which))
        return fail(sqlite3_api, error, SQLITE_BUSY,
                    "cannot be redefined while statements of this connection run",
                    offered->functions[which].name);
    struct lease *lease = calloc(1, sizeof *lease);
    if (!lease)
        return SQLITE_NOMEM;
    *lease = (struct lease){ .references = 1,
                             .release = offered->release,
                             .owner = offered->owner,
                             .interrupt = offered->interrupt,
                             .renew = offered->renew,
                             .failures = offered->failures };
    offer = NULL; /* taken: the lease releases the owner from here on */
    struct lease *earlier = registry->embedder;
    lease->references++;
    registry->embedder = lease;
    if (earlier)
        lease_release(earlier);
    take_policy(registry, lease, offered);
    int code = SQLITE_OK;
    for (size_t i = 0; i < offered->count && code == SQLITE_OK; i++) {
        code = define(registry, index, lease, &offered->functions[i]);
        if (code != SQLITE_OK)
            fail(sqlite3_api, error, code, "SQLite did not define the function",
                 offered->functions[i].name);
    }
    lease_release(lease);
    return code;
}

/* The registry of a connection that has none yet, and what every connection gets. */
static struct registry *introduce(sqlite_library *library, sqlite3 *connection, int index,
                                  int *code)
{
    sqlite_library *sqlite3_api = library;
    struct registry *registry = registry_create(library, connection);
    *code = SQLITE_NOMEM;
    if (!registry)
        return NULL;
    *code = sqlite3_create_function_v2(connection, "vm_udf", -1, FLAGS | SQLITE_DIRECTONLY,
                                       registry, vm_udf_entries[index], NULL, NULL,
                                       forget_registry);
    if (*code != SQLITE_OK)
        return NULL; /* forgotten by then */
    for (size_t i = 0; i < sizeof helpers / sizeof *helpers && *code == SQLITE_OK; i++) {
        registry->references++; /* SQLite's: it calls the destructor in any case */
        *code = sqlite3_create_function_v2(connection, helpers[i].name, -1,
                                           SQLITE_UTF8 | SQLITE_DIRECTONLY, registry,
                                           helpers[i].entries[index], NULL, NULL, release_registry);
    }
    if (*code == SQLITE_OK)
        *code = aggregate_define_by_name(registry, index, FLAGS | SQLITE_DIRECTONLY);
    if (*code == SQLITE_OK) {
        registry->references++;
        *code = sqlite3_create_module_v2(connection, "vm_functions", &functions_module, registry,
                                         release_registry);
    }
    return registry;
}

int sqlite3_udfvmsqlite_init(sqlite3 *connection, char **error, sqlite_library *library)
{
    sqlite_library *sqlite3_api = library;
    if (sqlite3_libversion_number() < 3031000)
        return fail(library, error, SQLITE_ERROR, "needs SQLite 3.31 or later", NULL);
    const struct udfvm_sqlite_offer *offered = offer;
    if (offered &&
        (offered->size != sizeof *offered || offered->function_size != sizeof *offered->functions))
        return fail(library, error, SQLITE_MISUSE,
                    "the offer is of another version of this extension", NULL);
    int index = library_index(library);
    if (index < 0)
        return fail(library, error, SQLITE_ERROR,
                    "loaded into more copies of SQLite than one process may have", NULL);
    struct registry *registry = registry_of(library, connection);
    if (!registry) {
        int code;
        registry = introduce(library, connection, index, &code);
        if (code != SQLITE_OK)
            return fail(library, error, code, "SQLite did not define vm_udf and its companions",
                        NULL);
    }
    int code = offered ? define_all(registry, index, offered, error) : SQLITE_OK;
    if (code == SQLITE_OK && define_tables(registry) != SQLITE_OK)
        code = fail(library, error, SQLITE_ERROR, "SQLite did not define vm_map and vm_table",
                    NULL);
    return code;
}
