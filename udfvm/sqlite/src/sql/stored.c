/* Functions that live in the database: the table udfvm_functions, vm_create and vm_drop.
 *
 * A statement reads a function's definition when it first calls it, in its own transaction: what it
 * runs is what the database says to it, whoever wrote that last. Loading it again is needed only
 * where the definition is another. The database may be a stranger's: so the table must be a table,
 * each value is of the type and length that it should be, and nothing stored is believed but names,
 * signature and options, which are parsed, and the source, which goes into a micro-VM. */
#include <stdlib.h>
#include <string.h>

#include "sql/stored.h"
#include "sql/load.h"
#include "sql/resolve.h"
#include "statement/report.h"

#define TABLE_SQL                                                                                \
    "CREATE TABLE IF NOT EXISTS main.udfvm_functions ("                                          \
    "name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, language TEXT NOT NULL, signature TEXT NOT " \
    "NULL, "                                                                                     \
    "options TEXT NOT NULL, "                                                                    \
    "source BLOB NOT NULL, version INTEGER NOT NULL, created TEXT NOT NULL)"
#define IS_TABLE_SQL                                                                             \
    "SELECT 1 FROM main.sqlite_master WHERE name = 'udfvm_functions' COLLATE NOCASE AND type = " \
    "'table' AND sql LIKE 'CREATE TABLE%'"
#define FIND_SQL                                                                                   \
    "SELECT language, signature, options, source, version FROM main.udfvm_functions WHERE name = " \
    "?1 "                                                                                          \
    "COLLATE NOCASE"
/* Puts a version if the one before it is still there (-1: none): one statement, so that other
 * processes come before it or after it. */
#define PUT_SQL                                                                                 \
    "INSERT OR REPLACE INTO main.udfvm_functions (name, language, signature, options, source, " \
    "version, created) "                                                                        \
    "SELECT ?1, ?2, ?3, ?4, ?5, ?6, strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE ?7 = "          \
    "coalesce((SELECT CASE WHEN typeof(version) = 'integer' "                                   \
    "AND version BETWEEN 0 AND 9223372036854775806 THEN version ELSE 0 END FROM "               \
    "main.udfvm_functions WHERE name = ?1 COLLATE NOCASE), -1)"
#define DROP_SQL "DELETE FROM main.udfvm_functions WHERE name = ?1 COLLATE NOCASE"

#define TRIES            1000        /* of a replacement, while others replace the same function */
#define MAX_STORED       64u         /* functions that a connection keeps loaded, at most, */
#define MAX_STORED_BYTES (64u << 20) /* and bytes of their layers and sources: those used last */
#define MAX_TEXT         4096        /* bytes of a signature, and of options */

bool stored_table(struct function_registry *registry, int *code)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_stmt *statement = NULL;
    *code = sqlite3_prepare_v2(registry->connection, IS_TABLE_SQL, -1, &statement, NULL);
    bool found = *code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW;
    int finalized = sqlite3_finalize(statement);
    *code = *code == SQLITE_OK ? finalized : *code;
    return found;
}

char *definition_hash(sqlite_library *library, const char *language, const char *signature,
                      const char *options, const void *source, size_t length)
{
    sqlite_library *sqlite3_api = library;
    struct udfvm_sha256 hash;
    uint8_t digest[32];
    char text[65];
    udfvm_sha256_start(&hash);
    udfvm_sha256_add(&hash, language, strlen(language) + 1);
    udfvm_sha256_add(&hash, signature, strlen(signature) + 1);
    udfvm_sha256_add(&hash, options, strlen(options) + 1);
    udfvm_sha256_add(&hash, source, length);
    udfvm_sha256_end(&hash, digest);
    for (int i = 0; i < 32; i++)
        sqlite3_snprintf(3, text + 2 * (size_t)i, "%02x", digest[i]);
    return sqlite3_mprintf("%s", text);
}

/* ---- Finding ---- */

static const char *text_column(sqlite_library *library, sqlite3_stmt *statement, int column)
{
    sqlite_library *sqlite3_api = library;
    if (sqlite3_column_type(statement, column) != SQLITE_TEXT)
        return NULL;
    const char *text = (const char *)sqlite3_column_text(statement, column);
    const int length = sqlite3_column_bytes(statement, column);
    return text && length <= MAX_TEXT && strlen(text) == (size_t)length ? text : NULL;
}

static bool read_definition(sqlite_library *library, sqlite3_stmt *statement,
                            struct stored_definition *definition)
{
    sqlite_library *sqlite3_api = library;
    const int type = sqlite3_column_type(statement, 3);
    definition->language = text_column(library, statement, 0);
    definition->signature = text_column(library, statement, 1);
    definition->options = text_column(library, statement, 2);
    definition->source_is_text = type == SQLITE_TEXT;
    definition->source = definition->source_is_text
                             ? (const void *)sqlite3_column_text(statement, 3)
                             : sqlite3_column_blob(statement, 3);
    definition->source_length = (size_t)sqlite3_column_bytes(statement, 3);
    return definition->language && definition->signature && definition->options &&
           definition->source && definition->source_length > 0 &&
           (type == SQLITE_TEXT || type == SQLITE_BLOB);
}

static struct sql_function **stored_link(struct function_registry *registry, const char *name,
                                         size_t length)
{
    struct sql_function **link = &registry->stored;
    while (*link && ((*link)->name_length != length || !same_name((*link)->name, name, length)))
        link = &(*link)->next;
    return link;
}

/* Whether the function was made of this definition, under this policy. */
static bool made_of(const struct function_registry *registry, const struct sql_function *function,
                    const struct stored_definition *definition)
{
    const size_t language = strlen(definition->language) + 1,
                 signature = strlen(definition->signature) + 1,
                 options = strlen(definition->options) + 1;
    const size_t limits = sizeof registry->policy.limits;
    const char *at = function->definition;
    return function->definition_length ==
               language + signature + options + limits + definition->source_length &&
           memcmp(at, definition->language, language) == 0 &&
           memcmp(at + language, definition->signature, signature) == 0 &&
           memcmp(at + language + signature, definition->options, options) == 0 &&
           memcmp(at + language + signature + options, &registry->policy.limits, limits) == 0 &&
           memcmp(at + language + signature + options + limits, definition->source,
                  definition->source_length) == 0;
}

static bool language_allowed(const struct function_registry *registry, const char *language)
{
    for (unsigned i = 0; language_name(i); i++)
        if (strcmp(language_name(i), language) == 0)
            return registry->policy.languages >> i & 1;
    return false;
}

static void drop_link(struct sql_function **link)
{
    struct sql_function *old = *link;
    *link = old->next;
    old->next = NULL;
    function_release(old);
}

/* The first was used last, and stays. Those that running statements use live as long as these. */
static void trim_stored(struct function_registry *registry)
{
    uint64_t bytes = 0;
    unsigned count = 0;
    for (struct sql_function **link = &registry->stored; *link;) {
        struct udfvm_image_statistics image;
        udfvm_image_statistics((*link)->image, &image);
        bytes += image.file_bytes + (*link)->definition_length;
        if (++count > 1 && (count > MAX_STORED || bytes > MAX_STORED_BYTES))
            drop_link(link);
        else
            link = &(*link)->next;
    }
}

static struct sql_function *load_and_keep(struct function_registry *registry,
                                          const struct stored_definition *definition,
                                          char **message)
{
    struct sql_function **link = stored_link(registry, definition->name, definition->name_length),
                        *old = *link;
    if (old && made_of(registry, old, definition) &&
        language_allowed(registry, definition->language)) {
        *link = old->next;
        old->next = registry->stored;
        registry->stored = old;
        return old;
    }
    struct sql_function *function = load_function(registry, definition, message);
    link = stored_link(registry, definition->name, definition->name_length);
    old = *link;
    if (!function)
        return NULL;
    if (old)
        drop_link(link);
    function->next = registry->stored;
    registry->stored = function;
    trim_stored(registry);
    return function;
}

struct sql_function *stored_find(struct function_registry *registry, const char *name,
                                 size_t length, char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    struct stored_definition definition = { .name = name, .name_length = length };
    struct sql_function *function = NULL;
    sqlite3_stmt *statement = NULL;
    int code;
    *message = NULL;
    if (registry->policy.languages == 0 || !name_valid(name, length) ||
        (!stored_table(registry, &code) && code == SQLITE_OK))
        return NULL;
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(registry->connection, FIND_SQL, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_text(statement, 1, name, (int)length, SQLITE_STATIC);
        code = sqlite3_step(statement);
    }
    if (code == SQLITE_ROW && read_definition(sqlite3_api, statement, &definition))
        function = load_and_keep(registry, &definition, message);
    else if (code == SQLITE_ROW)
        *message = sqlite3_mprintf("its entry in udfvm_functions is damaged");
    else if (code != SQLITE_DONE)
        *message = sqlite3_mprintf("%s", sqlite3_errmsg(registry->connection));
    sqlite3_finalize(statement);
    return function;
}

/* ---- vm_create ---- */

/* A TEXT argument without NUL; NULL for anything else. */
static const char *text_argument(sqlite_library *library, sqlite3_value *value)
{
    sqlite_library *sqlite3_api = library;
    if (sqlite3_value_type(value) != SQLITE_TEXT)
        return NULL;
    const char *text = (const char *)sqlite3_value_text(value);
    return text && strlen(text) == (size_t)sqlite3_value_bytes(value) && strlen(text) <= MAX_TEXT
               ? text
               : NULL;
}

/* Joins the options; "replace" is not one of the function but of the command. NULL: one is no TEXT.
 */
static char *join_options(sqlite_library *library, int count, sqlite3_value **arguments,
                          bool *replace)
{
    sqlite_library *sqlite3_api = library;
    sqlite3_str *out = sqlite3_str_new(NULL);
    bool valid = true;
    sqlite3_str_append(out, "", 0);
    for (int i = 0; i < count && valid; i++) {
        const char *option = text_argument(library, arguments[i]);
        valid = option && sqlite3_str_length(out) < MAX_TEXT - 128;
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

/* Runs a statement of ours to its end. */
static int run(struct function_registry *registry, sqlite3_stmt *statement)
{
    sqlite_library *sqlite3_api = registry->library;
    while (sqlite3_step(statement) == SQLITE_ROW)
        ;
    return sqlite3_finalize(statement);
}

/* The version that is stored; 0 where there is none, or what stands there is no version. Returns an
 * SQLite code. */
static int stored_version(struct function_registry *registry,
                          const struct stored_definition *definition, bool *found,
                          sqlite3_int64 *version)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(registry->connection, FIND_SQL, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return code;
    sqlite3_bind_text(statement, 1, definition->name, (int)definition->name_length, SQLITE_STATIC);
    *found = sqlite3_step(statement) == SQLITE_ROW;
    *version = *found && sqlite3_column_type(statement, 4) == SQLITE_INTEGER
                   ? sqlite3_column_int64(statement, 4)
                   : 0;
    if (*version < 0 || *version == INT64_MAX)
        *version = 0;
    return sqlite3_finalize(statement);
}

/* Writes the definition where the stored version is still `old` (-1: none). Returns an SQLite code;
 * *put says whether it was. */
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

static bool put(struct function_registry *registry, const struct stored_definition *definition,
                bool replace, sqlite3_int64 *version, char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    int code = sqlite3_exec(registry->connection, TABLE_SQL, NULL, NULL, NULL);
    if (code == SQLITE_OK && !stored_table(registry, &code) && code == SQLITE_OK) {
        *message = sqlite3_mprintf("udfvm_functions is no ordinary table in this database");
        return false;
    }
    for (int i = 0; i < TRIES && code == SQLITE_OK; i++) {
        bool found = false, done = false;
        sqlite3_int64 old = -1;
        if (replace || i > 0)
            code = stored_version(registry, definition, &found, &old);
        if (found && !replace) {
            *message = sqlite3_mprintf(
                "it exists already (version %lld): drop it, or pass 'replace' as the last argument",
                (long long)old);
            return false;
        }
        old = found ? old : -1;
        if (code == SQLITE_OK)
            code = put_version(registry, definition, old, &done);
        *version = old < 0 ? 1 : old + 1;
        if (done)
            return true;
    }
    *message =
        code == SQLITE_OK
            ? sqlite3_mprintf(
                  "it cannot be written: others, or a trigger on udfvm_functions, do not let it")
            : sqlite3_mprintf("%s", sqlite3_errmsg(registry->connection));
    return false;
}

static void create(struct function_registry *registry, sqlite3_context *context,
                   const struct stored_definition *definition, bool replace)
{
    sqlite_library *sqlite3_api = registry->library;
    char *message = NULL;
    sqlite3_int64 version = 0;
    registry->load_end_ns = 0;
    if (registry_find(registry, definition->name, definition->name_length))
        message = sqlite3_mprintf(
            "the connection has a function of that name, which goes before those of the database");
    else if (load_and_keep(registry, definition, &message) &&
             put(registry, definition, replace, &version, &message))
        sqlite3_result_int64(context, version);
    else if (!message)
        sqlite3_result_error_nomem(context);
    if (message)
        fail_to_resolve(registry, context,
                        describe_definition(
                            registry, definition->caller, definition->name, definition->name_length,
                            message, (struct udfvm_sqlite_failure){ .cause = UDFVM_SQLITE_OTHER }));
}

/* vm_create(name, language, source, signature, option...): the version. */
void sql_create(sqlite_library *library, sqlite3_context *context, int count,
                sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    struct function_registry *registry = sqlite3_user_data(context);
    if (!registry->policy.allow_create) {
        fail_with(library, context,
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
        fail_with(
            library, context,
            sqlite3_mprintf("vm_create: takes name, language, source, signature, as TEXT, then "
                            "options; the source may be a BLOB"));
        return;
    }
    definition.name_length = strlen(definition.name);
    if (!name_valid(definition.name, definition.name_length)) {
        fail_with(library, context,
                  sqlite3_mprintf("vm_create: '%.64s' cannot be a name: it takes letters, digits "
                                  "and _, at most 255, not a digit "
                                  "first, and not vm_ at the beginning",
                                  definition.name));
        return;
    }
    char *options = join_options(library, count - 4, arguments + 4, &replace);
    if (options) {
        definition.options = options;
        create(registry, context, &definition, replace);
    } else {
        fail_with(library, context, sqlite3_mprintf("vm_create: options are TEXT"));
    }
    sqlite3_free(options);
}

/* vm_release(): lets go of the stored functions that are loaded and of idle VMs; how many functions
 * that were. Those that running statements use live as long as these. SQLite tells no extension of
 * PRAGMA shrink_memory, which frees pages of databases alone. */
void sql_release(sqlite_library *library, sqlite3_context *context, int count,
                 sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    struct function_registry *registry = sqlite3_user_data(context);
    int released = 0;
    (void)arguments;
    if (count != 0) {
        fail_with(library, context, sqlite3_mprintf("vm_release: takes no arguments"));
        return;
    }
    for (; registry->stored; released++)
        drop_link(&registry->stored);
    for (int i = 0; i < LANGUAGES; i++)
        if (registry->runtimes[i].pool)
            udfvm_pool_trim(registry->runtimes[i].pool, 0);
    for (const struct base_image *base = registry->bases; base; base = base->next)
        udfvm_pool_trim(base->pool, 0);
    sqlite3_result_int(context, released);
}

static char *not_stored(struct function_registry *registry, const char *name)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_str *text = sqlite3_str_new(registry->connection);
    sqlite3_str_appendf(text, "vm_drop: there is no function '%.255s' in this database", name);
    append_known(text, registry, name, KNOWN_STORED, 0);
    return sqlite3_str_finish(text);
}

/* vm_drop(name): how many were dropped, which is 1. */
void sql_drop(sqlite_library *library, sqlite3_context *context, int count,
              sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    struct function_registry *registry = sqlite3_user_data(context);
    const char *name = count == 1 ? text_argument(library, arguments[0]) : NULL;
    sqlite3_stmt *statement = NULL;
    int code = SQLITE_OK, dropped = 0;
    if (!registry->policy.allow_create) {
        fail_with(library, context,
                  sqlite3_mprintf(
                      "vm_drop: the policy of this connection does not allow it (allow_create)"));
        return;
    }
    if (!name) {
        fail_with(library, context,
                  sqlite3_mprintf("vm_drop: takes the name of a function in the database"));
        return;
    }
    if (stored_table(registry, &code)) {
        code = sqlite3_prepare_v2(registry->connection, DROP_SQL, -1, &statement, NULL);
        if (code == SQLITE_OK) {
            sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
            code = run(registry, statement);
            dropped = code == SQLITE_OK ? sqlite3_changes(registry->connection) : 0;
        }
    }
    if (code != SQLITE_OK)
        fail_with(
            library, context,
            sqlite3_mprintf("vm_drop: '%.255s': %s", name, sqlite3_errmsg(registry->connection)));
    if (code == SQLITE_OK && *stored_link(registry, name, strlen(name)))
        drop_link(stored_link(registry, name, strlen(name)));
    if (code == SQLITE_OK && dropped == 0)
        fail_with(library, context, not_stored(registry, name));
    else if (code == SQLITE_OK)
        sqlite3_result_int(context, dropped);
}
