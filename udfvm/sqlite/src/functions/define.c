/* A function's own SQL function or table: see define.h. */
#include "functions/define.h"

#include "functions/aggregate.h"
#include "functions/entries.h"
#include "functions/scalar.h"
#include "functions/tables.h"

#define EXISTS_SQL                                                       \
    "SELECT 1 FROM pragma_function_list WHERE name = ?1 COLLATE NOCASE " \
    "UNION ALL SELECT 1 FROM pragma_module_list WHERE name = ?1 COLLATE NOCASE"

#define TABLE_SQL "SELECT 1 FROM pragma_table_list WHERE name = ?1 COLLATE NOCASE"

ENTRIES(own, call_own)

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
    if (old->form == UDFVM_SQLITE_VECTORIZED)
        return SQLITE_OK;
    int code = SQLITE_OK;
    for (uint32_t count = required_count(old); count <= old->parameter_count && code == SQLITE_OK;
         count++)
        code = sqlite3_create_function_v2(connection, old->name, (int)count, SQLITE_UTF8, NULL,
                                          NULL, NULL, NULL, NULL);
    return code;
}

int define_own(struct sql_function *function, int index)
{
    sqlite_library *sqlite3_api = function->registry->library;
    sqlite3 *connection = function->registry->connection;
    int flags = FUNCTION_FLAGS;
    if (!(function->flags & UDFVM_SQLITE_IN_SCHEMA))
        flags |= SQLITE_DIRECTONLY;
    if (function->flags & UDFVM_SQLITE_DETERMINISTIC)
        flags |= SQLITE_DETERMINISTIC;
    if (function->form == UDFVM_SQLITE_VECTORIZED)
        return SQLITE_OK;
    if (function->form == UDFVM_SQLITE_TABLE)
        return table_define_own(function);
    if (function->form == UDFVM_SQLITE_AGGREGATE)
        return aggregate_define_own(function, index, flags);
    int code = SQLITE_OK;
    for (uint32_t count = required_count(function);
         count <= function->parameter_count && code == SQLITE_OK; count++) {
        function->references++; /* SQLite's reference: it calls the destructor even if it fails */
        code = sqlite3_create_function_v2(connection, function->name, (int)count, flags, function,
                                          own_entries[index], NULL, NULL, function_release_data);
    }
    return code;
}
