/* vm_create and vm_drop: put functions into the database, and remove them. */
#include <string.h>

#include "connection/try.h"
#include "sql/load.h"
#include "sql/resolve.h"
#include "sql/stored.h"
#include "statement/report.h"

#define TABLE_SQL                                                                                \
    "CREATE TABLE IF NOT EXISTS main.udfvm_functions ("                                          \
    "name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, language TEXT NOT NULL, signature TEXT NOT " \
    "NULL, "                                                                                     \
    "options TEXT NOT NULL, "                                                                    \
    "source BLOB NOT NULL, version INTEGER NOT NULL, created TEXT NOT NULL)"
#define VERSION_SQL "SELECT version FROM main.udfvm_functions WHERE name = ?1 COLLATE NOCASE"
/* Writes a version if the one before is still there (-1: none). One statement does it, so that
 * other processes come before or after it. */
#define PUT_SQL                                                                                 \
    "INSERT OR REPLACE INTO main.udfvm_functions (name, language, signature, options, source, " \
    "version, created) "                                                                        \
    "SELECT ?1, ?2, ?3, ?4, ?5, ?6, strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE ?7 = "          \
    "coalesce((SELECT CASE WHEN typeof(version) = 'integer' "                                   \
    "AND version BETWEEN 0 AND 9223372036854775806 THEN version ELSE 0 END FROM "               \
    "main.udfvm_functions WHERE name = ?1 COLLATE NOCASE), -1)"
#define DROP_SQL "DELETE FROM main.udfvm_functions WHERE name = ?1 COLLATE NOCASE"

#define MAX_TRIES 1000 /* of a replacement while others replace the same function */

/* ---- vm_create ---- */

/* A TEXT argument without NUL; NULL for anything else. */
static const char *text_argument(sqlite_library *library, sqlite3_value *value)
{
    sqlite_library *sqlite3_api = library;
    if (sqlite3_value_type(value) != SQLITE_TEXT)
        return NULL;
    const char *text = (const char *)sqlite3_value_text(value);
    return text && strlen(text) == (size_t)sqlite3_value_bytes(value) &&
                   strlen(text) <= MAX_STORED_TEXT
               ? text
               : NULL;
}

/* Joins the options without "replace", which is an option of vm_create itself. Returns NULL if one
 * is not TEXT. */
static char *join_options(sqlite_library *library, int count, sqlite3_value **arguments,
                          bool *replace)
{
    sqlite_library *sqlite3_api = library;
    sqlite3_str *out = sqlite3_str_new(NULL);
    bool valid = true;
    sqlite3_str_append(out, "", 0);
    for (int i = 0; i < count && valid; i++) {
        const char *option = text_argument(library, arguments[i]);
        valid = option && sqlite3_str_length(out) < MAX_STORED_TEXT - 128;
        if (valid && strcmp(option, "replace") == 0)
            *replace = true;
        else if (valid)
            sqlite3_str_appendf(out, "%s%s", sqlite3_str_length(out) ? " " : "", option);
    }
    char *joined = sqlite3_str_finish(out);
    if (valid)
        return joined ? joined : sqlite3_mprintf("");
    sqlite3_free(joined);
    return NULL;
}

static bool take_source(sqlite_library *library, sqlite3_value *value,
                        struct stored_definition *definition)
{
    sqlite_library *sqlite3_api = library;
    const int type = sqlite3_value_type(value);
    definition->source_is_text = type == SQLITE_TEXT;
    definition->source = type == SQLITE_TEXT ? (const void *)sqlite3_value_text(value)
                                             : sqlite3_value_blob(value);
    definition->source_length = (size_t)sqlite3_value_bytes(value);
    return (type == SQLITE_TEXT || type == SQLITE_BLOB) && definition->source &&
           definition->source_length > 0;
}

/* Runs one of our statements to its end. */
static int run(struct function_registry *registry, sqlite3_stmt *statement)
{
    sqlite_library *sqlite3_api = registry->library;
    while (sqlite3_step(statement) == SQLITE_ROW)
        ;
    return sqlite3_finalize(statement);
}

/* Finds the stored version; 0 if there is none, or if it is not valid. Returns an SQLite code. */
static int stored_version(struct function_registry *registry,
                          const struct stored_definition *definition, bool *found,
                          sqlite3_int64 *version)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(registry->connection, VERSION_SQL, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return code;
    sqlite3_bind_text(statement, 1, definition->name, (int)definition->name_length, SQLITE_STATIC);
    *found = sqlite3_step(statement) == SQLITE_ROW;
    *version = *found && sqlite3_column_type(statement, 0) == SQLITE_INTEGER
                   ? sqlite3_column_int64(statement, 0)
                   : 0;
    if (*version < 0 || *version == INT64_MAX)
        *version = 0;
    return sqlite3_finalize(statement);
}

/* Writes the definition if the stored version is still `old` (-1: none), and sets *put then.
 * Returns an SQLite code. */
static int put_version(struct function_registry *registry,
                       const struct stored_definition *definition, sqlite3_int64 old, bool *put)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(registry->connection, PUT_SQL, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return code;
    sqlite3_bind_text(statement, 1, definition->name, (int)definition->name_length, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, definition->language, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, definition->signature, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 4, definition->options, -1, SQLITE_STATIC);
    if (definition->source_is_text)
        sqlite3_bind_text64(statement, 5, definition->source, definition->source_length,
                            SQLITE_STATIC, SQLITE_UTF8);
    else
        sqlite3_bind_blob64(statement, 5, definition->source, definition->source_length,
                            SQLITE_STATIC);
    sqlite3_bind_int64(statement, 6, old < 0 ? 1 : old + 1);
    sqlite3_bind_int64(statement, 7, old);
    code = run(registry, statement);
    *put = code == SQLITE_OK && sqlite3_changes(registry->connection) > 0;
    return code;
}

static int make_table(struct function_registry *registry, char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    int code = sqlite3_exec(registry->connection, TABLE_SQL, NULL, NULL, NULL);
    if (code == SQLITE_OK && !stored_table(registry, &code) && code == SQLITE_OK) {
        *message = sqlite3_mprintf("udfvm_functions is not an ordinary table in this database");
        return SQLITE_ERROR;
    }
    return code;
}

/* Tries once to write the next version, and sets *done on success. Returns SQLITE_OK, or another
 * code, perhaps with *message. */
static int try_put(struct function_registry *registry, const struct stored_definition *definition,
                   bool replace, bool first, sqlite3_int64 *version, bool *done, char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    bool found = false;
    sqlite3_int64 old = -1;
    if (replace || !first)
        SQL_TRY(stored_version(registry, definition, &found, &old));
    if (found && !replace) {
        *message = sqlite3_mprintf(
            "it exists already (version %lld): drop it, or pass 'replace' as the last argument",
            (long long)old);
        return SQLITE_ERROR;
    }
    old = found ? old : -1;
    *version = old < 0 ? 1 : old + 1;
    return put_version(registry, definition, old, done);
}

/* Stores a definition. Returns true, or false with *message and the kind of failure. */
static bool put(struct function_registry *registry, const struct stored_definition *definition,
                bool replace, sqlite3_int64 *version, char **message, uint32_t *cause)
{
    sqlite_library *sqlite3_api = registry->library;
    bool done = false;
    int code = make_table(registry, message);
    for (int i = 0; i < MAX_TRIES && code == SQLITE_OK && !done; i++)
        code = try_put(registry, definition, replace, i == 0, version, &done, message);
    if (done && code == SQLITE_OK)
        return true;
    if (*message)
        return false;
    *cause = UDFVM_SQLITE_OTHER;
    *message = code == SQLITE_OK ? sqlite3_mprintf("it cannot be written: other writers, or a "
                                                   "trigger on udfvm_functions, prevent it")
                                 : sqlite3_mprintf("%s", sqlite3_errmsg(registry->connection));
    return false;
}

static void create(struct function_registry *registry, sqlite3_context *context,
                   const struct stored_definition *definition, bool replace)
{
    sqlite_library *sqlite3_api = registry->library;
    char *message = NULL;
    sqlite3_int64 version = 0;
    uint32_t cause = UDFVM_SQLITE_SIGNATURE;
    registry->load_end_ns = 0;
    if (registry_find(registry, definition->name, definition->name_length))
        message = sqlite3_mprintf("the connection has a function of that name, which takes "
                                  "precedence over those of the database");
    else if (stored_load(registry, definition, &message) &&
             put(registry, definition, replace, &version, &message, &cause))
        sqlite3_result_int64(context, version);
    else if (!message)
        sqlite3_result_error_nomem(context);
    if (message)
        fail_to_resolve(registry, context,
                        describe_definition(registry, definition->caller, definition->name,
                                            definition->name_length, message,
                                            (struct udfvm_sqlite_failure){ .cause = cause }));
}

/* vm_create(name, language, source, signature, option...): returns the version. */
void sql_create(sqlite_library *library, sqlite3_context *context, int count,
                sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    struct function_registry *registry = sqlite3_user_data(context);
    if (!registry->policy.allow_create) {
        fail_because(
            registry, context, UDFVM_SQLITE_POLICY,
            sqlite3_mprintf(
                "vm_create: the policy of this connection does not allow it (allow_create)"));
        return;
    }
    struct stored_definition definition = { .caller = "vm_create" };
    bool replace = false;
    if (count >= 4) {
        definition.name = text_argument(library, arguments[0]);
        definition.language = text_argument(library, arguments[1]);
        definition.signature = text_argument(library, arguments[3]);
    }
    if (!definition.name || !definition.language || !definition.signature ||
        !take_source(library, arguments[2], &definition)) {
        fail_because(
            registry, context, UDFVM_SQLITE_TYPE,
            sqlite3_mprintf("vm_create takes name, language, source, signature, as TEXT, then "
                            "options; the source may be a BLOB"));
        return;
    }
    definition.name_length = strlen(definition.name);
    if (!name_valid(definition.name, definition.name_length)) {
        fail_because(registry, context, UDFVM_SQLITE_SIGNATURE,
                     sqlite3_mprintf("vm_create: '%.64s' cannot be a name: a name has at most 255 "
                                     "letters, digits and _, and begins with "
                                     "neither a digit nor vm_",
                                     definition.name));
        return;
    }
    char *options = join_options(library, count - 4, arguments + 4, &replace);
    if (options) {
        definition.options = options;
        create(registry, context, &definition, replace);
    } else {
        fail_because(registry, context, UDFVM_SQLITE_TYPE,
                     sqlite3_mprintf("vm_create: options must be TEXT"));
    }
    sqlite3_free(options);
}

/* ---- vm_drop ---- */

static char *not_stored(struct function_registry *registry, const char *name)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_str *text = sqlite3_str_new(registry->connection);
    sqlite3_str_appendf(text, "vm_drop: there is no function '%.255s' in this database", name);
    append_known(text, registry, name, KNOWN_STORED, 0);
    return sqlite3_str_finish(text);
}

/* Deletes it from the database. Returns an SQLite code. */
static int delete(struct function_registry *registry, const char *name, int *deleted)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_stmt *statement = NULL;
    int code = SQLITE_OK;
    *deleted = 0;
    if (!stored_table(registry, &code))
        return code;
    SQL_TRY(sqlite3_prepare_v2(registry->connection, DROP_SQL, -1, &statement, NULL));
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    SQL_TRY(run(registry, statement));
    *deleted = sqlite3_changes(registry->connection);
    return SQLITE_OK;
}

/* vm_drop(name): returns the number of dropped functions, which is 1. */
void sql_drop(sqlite_library *library, sqlite3_context *context, int count,
              sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    struct function_registry *registry = sqlite3_user_data(context);
    const char *name = count == 1 ? text_argument(library, arguments[0]) : NULL;
    int deleted;
    if (!registry->policy.allow_create) {
        fail_because(
            registry, context, UDFVM_SQLITE_POLICY,
            sqlite3_mprintf(
                "vm_drop: the policy of this connection does not allow it (allow_create)"));
        return;
    }
    if (!name) {
        fail_because(registry, context, UDFVM_SQLITE_TYPE,
                     sqlite3_mprintf("vm_drop takes the name of a function in the database"));
        return;
    }
    if (delete(registry, name, &deleted) != SQLITE_OK) {
        fail_because(
            registry, context, UDFVM_SQLITE_OTHER,
            sqlite3_mprintf("vm_drop: '%.255s': %s", name, sqlite3_errmsg(registry->connection)));
        return;
    }
    stored_drop(registry, name, strlen(name));
    if (deleted == 0)
        fail_because(registry, context, UDFVM_SQLITE_UNKNOWN, not_stored(registry, name));
    else
        sqlite3_result_int(context, deleted);
}
