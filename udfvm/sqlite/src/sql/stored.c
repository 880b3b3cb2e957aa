/* Functions that are stored in the database, in the table udfvm_functions.
 *
 * A statement reads a function's definition when it first calls it, in its own transaction, so it
 * runs the definition that it sees, whoever wrote that last. The function is loaded again only if
 * its definition has changed. The database may be a stranger's. So the table must be a table, and
 * each value must have the right type and length. Only names, signature and options, which are
 * parsed, and the source, which goes into a micro-VM, are used.
 */
#include <stdlib.h>
#include <string.h>

#include "sql/stored.h"
#include "connection/try.h"
#include "sql/load.h"
#include "sql/resolve.h"
#include "statement/report.h"

#define IS_TABLE_SQL                                                                             \
    "SELECT 1 FROM main.sqlite_master WHERE name = 'udfvm_functions' COLLATE NOCASE AND type = " \
    "'table' AND sql LIKE 'CREATE TABLE%'"
#define FIND_SQL                                                                          \
    "SELECT language, signature, options, source FROM main.udfvm_functions WHERE name = " \
    "?1 "                                                                                 \
    "COLLATE NOCASE"

#define MAX_STORED       64u /* functions that a connection keeps loaded: those used last, */
#define MAX_STORED_BYTES (64u << 20) /* and bytes of their layers and sources */

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
    return text && length <= MAX_STORED_TEXT && strlen(text) == (size_t)length ? text : NULL;
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
    while (*link && ((*link)->expression || (*link)->name_length != length ||
                     !same_name((*link)->name, name, length)))
        link = &(*link)->next;
    return link;
}

/* Returns true if the function was made from this definition, under this policy. */
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

/* Finds the function of a name; of an expression, that of the same definition. */
static struct sql_function **defined_link(struct function_registry *registry,
                                          const struct stored_definition *definition)
{
    struct sql_function **link = &registry->stored;
    if (!definition->expression)
        return stored_link(registry, definition->name, definition->name_length);
    while (*link && !((*link)->expression && made_of(registry, *link, definition)))
        link = &(*link)->next;
    return link;
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

void stored_drop(struct function_registry *registry, const char *name, size_t length)
{
    struct sql_function **link = stored_link(registry, name, length);
    if (*link)
        drop_link(link);
}

/* Drops the functions used longest ago. The first one was used last, and stays. Functions of
 * running statements live until these end. */
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

struct sql_function *stored_load(struct function_registry *registry,
                                 const struct stored_definition *definition, char **message)
{
    struct sql_function **link = defined_link(registry, definition), *old = *link;
    if (old && made_of(registry, old, definition) &&
        language_allowed(registry, definition->language)) {
        *link = old->next;
        old->next = registry->stored;
        registry->stored = old;
        return old;
    }
    struct sql_function *function = load_function(registry, definition, message);
    link = defined_link(registry, definition);
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

/* Returns SQLITE_ROW, SQLITE_DONE, or the code of what failed. */
static int find_row(struct function_registry *registry, const char *name, size_t length,
                    sqlite3_stmt **statement)
{
    sqlite_library *sqlite3_api = registry->library;
    int code;
    const bool is_there = stored_table(registry, &code);
    SQL_TRY(code);
    if (!is_there)
        return SQLITE_DONE;
    SQL_TRY(sqlite3_prepare_v2(registry->connection, FIND_SQL, -1, statement, NULL));
    sqlite3_bind_text(*statement, 1, name, (int)length, SQLITE_STATIC);
    return sqlite3_step(*statement);
}

struct sql_function *stored_find(struct function_registry *registry, const char *name,
                                 size_t length, char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    struct stored_definition definition = { .name = name, .name_length = length };
    struct sql_function *function = NULL;
    sqlite3_stmt *statement = NULL;
    *message = NULL;
    if (registry->policy.languages == 0 || !name_valid(name, length))
        return NULL;
    const int code = find_row(registry, name, length, &statement);
    if (code == SQLITE_ROW && read_definition(sqlite3_api, statement, &definition))
        function = stored_load(registry, &definition, message);
    else if (code == SQLITE_ROW)
        *message = sqlite3_mprintf("its entry in udfvm_functions is damaged");
    else if (code != SQLITE_DONE)
        *message = sqlite3_mprintf("%s", sqlite3_errmsg(registry->connection));
    sqlite3_finalize(statement);
    return function;
}

/* vm_release(): releases the loaded stored functions and idle VMs. Returns the number of functions.
 * Those of running statements live until these end. SQLite does not tell extensions of PRAGMA
 * shrink_memory. */
void sql_release(sqlite_library *library, sqlite3_context *context, int count,
                 sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    struct function_registry *registry = sqlite3_user_data(context);
    int released = 0;
    (void)arguments;
    if (count != 0) {
        fail_because(registry, context, UDFVM_SQLITE_TYPE,
                     sqlite3_mprintf("vm_release takes no arguments"));
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
