/* The entry point of the loadable extension: it gives a connection vm_udf, and the functions that
 * the embedder offers. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "connection/registry.h"
#include "connection/try.h"
#include "entry/attach.h"
#include "entry/offer.h"
#include "functions/aggregate.h"
#include "functions/entries.h"
#include "functions/scalar.h"
#include "functions/tables.h"
#include "sql/policy.h"
#include "sql/stored.h"

UDFVM_SQLITE_EXPORT int sqlite3_udfvmsqlite_init(sqlite3 *connection, char **error,
                                                 sqlite_library *library);

ENTRIES(vm_udf, call_by_name)
ENTRIES(vm_attach, sql_attach)
ENTRIES(vm_create, sql_create)
ENTRIES(vm_drop, sql_drop)
ENTRIES(vm_expr, call_expression)
ENTRIES(vm_policy, sql_policy)
ENTRIES(vm_release, sql_release)

/* The SQL functions besides vm_udf. */
static const struct {
    const char *name;
    sql_entry *const *entries;
} helpers[] = {
    { "vm_attach", vm_attach_entries }, { "vm_create", vm_create_entries },
    { "vm_drop", vm_drop_entries },     { "vm_expr", vm_expr_entries },
    { "vm_policy", vm_policy_entries }, { "vm_release", vm_release_entries },
};

/* ---- Defining functions ---- */

static void forget_registry(void *data)
{
    registry_forget(data);
}

/* Defines vm_map and vm_table. They have as many columns as the widest table function, so a wider
 * one makes this define them again. */
static int define_tables(struct function_registry *registry)
{
    const uint32_t width = widest_table(registry);
    if (registry->width == width)
        return SQLITE_OK;
    registry->width = width;
    SQL_TRY(map_define(registry));
    return table_define(registry);
}

/* Each gets a reference to the registry: SQLite calls the destructor even if it fails. */
static int define_helpers(struct function_registry *registry, int index)
{
    sqlite_library *sqlite3_api = registry->library;
    for (size_t i = 0; i < sizeof helpers / sizeof *helpers; i++) {
        registry->references++;
        SQL_TRY(sqlite3_create_function_v2(
            registry->connection, helpers[i].name, -1, SQLITE_UTF8 | SQLITE_DIRECTONLY, registry,
            helpers[i].entries[index], NULL, NULL, registry_release_data));
    }
    SQL_TRY(aggregate_define_by_name(registry, index, FUNCTION_FLAGS | SQLITE_DIRECTONLY));
    registry->references++;
    return sqlite3_create_module_v2(registry->connection, "vm_functions", &functions_module,
                                    registry, registry_release_data);
}

/* Makes the registry of a connection, and defines what every connection gets. */
static struct function_registry *introduce(sqlite_library *library, sqlite3 *connection, int index,
                                           int *code)
{
    sqlite_library *sqlite3_api = library;
    struct function_registry *registry = registry_create(library, connection);
    *code = SQLITE_NOMEM;
    if (!registry)
        return NULL;
    policy_default(&registry->policy);
    *code = sqlite3_create_function_v2(connection, "vm_udf", -1, FUNCTION_FLAGS | SQLITE_DIRECTONLY,
                                       registry, vm_udf_entries[index], NULL, NULL,
                                       forget_registry);
    if (*code != SQLITE_OK)
        return NULL; /* the failed definition called registry_forget() */
    *code = define_helpers(registry, index);
    return registry;
}

/* Finds the connection's registry, or makes it. Returns SQLITE_OK, or another code with *error. */
static int find_registry(sqlite_library *library, sqlite3 *connection, int index,
                         struct function_registry **registry, char **error)
{
    int code = SQLITE_OK;
    *registry = registry_of(library, connection);
    const struct udfvm_sqlite_offer *offered = offer_current();
    if (!*registry && offered && offered->removed_count > 0) {
        offer_refuse(offered, UDFVM_SQLITE_NAME_UNKNOWN, 0);
        return offer_fail(library, error, SQLITE_ERROR, "no such function is registered",
                          offered->removed[0]);
    }
    if (!*registry)
        *registry = introduce(library, connection, index, &code);
    return code == SQLITE_OK ? code
                             : offer_fail(library, error, code,
                                          "SQLite did not define vm_udf and its companions", NULL);
}

int sqlite3_udfvmsqlite_init(sqlite3 *connection, char **error, sqlite_library *library)
{
    sqlite_library *sqlite3_api = library;
    const struct udfvm_sqlite_offer *offered = offer_current();
    struct function_registry *registry;
    if (sqlite3_libversion_number() < 3031000)
        return offer_fail(library, error, SQLITE_ERROR, "needs SQLite 3.31 or later", NULL);
    if (offered &&
        (offered->size != sizeof *offered || offered->function_size != sizeof *offered->functions))
        return offer_fail(library, error, SQLITE_MISUSE,
                          "the offer is of another version of this extension", NULL);
    const int index = sqlite_copy_number(library);
    if (index < 0)
        return offer_fail(library, error, SQLITE_ERROR,
                          "loaded into more copies of SQLite than one process may have", NULL);
    SQL_TRY(find_registry(library, connection, index, &registry, error));
    if (offered)
        SQL_TRY(offer_take(registry, index, offered, error));
    return define_tables(registry) == SQLITE_OK
               ? SQLITE_OK
               : offer_fail(library, error, SQLITE_ERROR,
                            "SQLite did not define vm_map and vm_table", NULL);
}
