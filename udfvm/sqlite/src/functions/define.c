/* A function's own SQL function or table: see define.h. */
#include "functions/define.h"

#include "functions/aggregate.h"
#include "functions/entries.h"
#include "functions/scalar.h"
#include "functions/tables.h"
#include "statement/report.h"

#define EXISTS_SQL                                                       \
    "SELECT 1 FROM pragma_function_list WHERE name = ?1 COLLATE NOCASE " \
    "UNION ALL SELECT 1 FROM pragma_module_list WHERE name = ?1 COLLATE NOCASE"

#define TABLE_SQL "SELECT 1 FROM pragma_table_list WHERE name = ?1 COLLATE NOCASE"

/* Says what runs a vectorised function, which SQL finds by its name all the same. */
static void refuse_call(sqlite_library *library, sqlite3_context *context, int count,
                        sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    (void)count;
    (void)arguments;
    fail_with(library, context, describe_form(sqlite3_user_data(context), "a call by its name"));
}

ENTRIES(own, call_own)
ENTRIES(refusing, refuse_call)

/* Gives SQL a scalar function for each number of arguments that it takes; removes them if
 * `function` is NULL. A function for any number (-1) would not do: SQLite prefers what was defined
 * for a number once, even if it is removed. */
static int define_scalar(const struct sql_function *of, struct sql_function *function, int flags,
                         sql_entry *entry)
{
    sqlite_library *sqlite3_api = of->registry->library;
    sqlite3 *connection = of->registry->connection;
    const int limit = sqlite3_limit(connection, SQLITE_LIMIT_FUNCTION_ARG, -1),
              maximum = (int)max_count(of),
              last = is_variadic(of) && limit < maximum ? limit : maximum;
    int code = SQLITE_OK;
    for (int count = (int)required_count(of); count <= last && code == SQLITE_OK; count++) {
        if (function)
            function->references++; /* SQLite's: it calls the destructor even if it fails */
        code = sqlite3_create_function_v2(connection, of->name, count, flags, function, entry, NULL,
                                          NULL, function ? function_release_data : NULL);
    }
    return code;
}

int name_is_taken(struct function_registry *registry, const char *name, bool *taken)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(registry->connection, EXISTS_SQL, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return code;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    *taken = sqlite3_step(statement) == SQLITE_ROW;
    return sqlite3_finalize(statement);
}

bool table_has_name(struct function_registry *registry, const char *name)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(registry->connection, TABLE_SQL, -1, &statement, NULL) != SQLITE_OK)
        return false; /* an SQLite before 3.37 has no list of tables */
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    const bool found = sqlite3_step(statement) == SQLITE_ROW;
    sqlite3_finalize(statement);
    return found;
}

int undefine_own(const struct sql_function *old)
{
    sqlite_library *sqlite3_api = old->registry->library;
    sqlite3 *connection = old->registry->connection;
    if (old->form == UDFVM_SQLITE_TABLE)
        return sqlite3_create_module_v2(connection, old->name, NULL, NULL, NULL);
    if (old->form == UDFVM_SQLITE_VECTORIZED && !old->refuses)
        return SQLITE_OK;
    return define_scalar(old, NULL, SQLITE_UTF8, NULL);
}

/* Leaves a function of that name to SQL which is not of udfvm. */
static int define_refusal(struct sql_function *function, int index, int flags)
{
    bool taken = false;
    const int code = name_is_taken(function->registry, function->name, &taken);
    if (code != SQLITE_OK || taken)
        return code;
    function->refuses = true;
    return define_scalar(function, function, flags, refusing_entries[index]);
}

int define_own(struct sql_function *function, int index)
{
    int flags = FUNCTION_FLAGS;
    if (!(function->flags & UDFVM_SQLITE_IN_SCHEMA))
        flags |= SQLITE_DIRECTONLY;
    if (function->flags & UDFVM_SQLITE_DETERMINISTIC)
        flags |= SQLITE_DETERMINISTIC;
    if (function->form == UDFVM_SQLITE_VECTORIZED)
        return define_refusal(function, index, flags);
    if (function->form == UDFVM_SQLITE_TABLE)
        return table_define_own(function);
    if (function->form == UDFVM_SQLITE_AGGREGATE)
        return aggregate_define_own(function, index, flags);
    return define_scalar(function, function, flags, own_entries[index]);
}
