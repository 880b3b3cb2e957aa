/* vm_attach: gives a sealed function, by its name or file, its own name on a connection.
 *
 * A file decides the name of its function. So no name may change its meaning: neither names of
 * SQLite and of other extensions, nor of functions that were attached before.
 */
#include <string.h>

#include "entry/attach.h"
#include "functions/define.h"
#include "sql/resolve.h"
#include "sql/sealed.h"
#include "statement/report.h"

/* A name has neither a slash nor a dot. */
static bool is_path(const char *text)
{
    return text[strcspn(text, "/.")] != 0;
}

static bool same_parameters(const struct sql_function *one, const struct sql_function *other)
{
    if (one->parameter_count != other->parameter_count)
        return false;
    for (uint32_t i = 0; i < one->parameter_count; i++)
        if (one->parameters[i].type != other->parameters[i].type ||
            one->parameters[i].nullable != other->parameters[i].nullable)
            return false;
    return true;
}

/* Returns true if attaching the second function after the first would change nothing. */
static bool same_function(const struct sql_function *one, const struct sql_function *other)
{
    struct udfvm_image_statistics image, image_of_other;
    udfvm_image_statistics(one->image, &image);
    udfvm_image_statistics(other->image, &image_of_other);
    return memcmp(image.digest, image_of_other.digest, sizeof image.digest) == 0 &&
           one->form == other->form && one->flags == other->flags &&
           one->result_type == other->result_type && one->isolation == other->isolation &&
           memcmp(&one->limits, &other->limits, sizeof one->limits) == 0 &&
           strcmp(one->name, other->name) == 0 && same_parameters(one, other);
}

/* Puts a function into the registry and defines it in SQL. Returns false with *message. */
static bool attach(struct function_registry *registry, struct sql_function *function, bool of_file,
                   char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    const struct sql_function *old = registry_find(registry, function->name, function->name_length);
    bool taken = false;
    if (old && (old->attached || of_file))
        *message = sqlite3_mprintf("the connection has another function '%s', or another state of "
                                   "it: attach it on a new connection, or seal "
                                   "it with --namespace",
                                   function->name);
    else if (name_is_taken(registry, function->name, &taken) != SQLITE_OK)
        *message = sqlite3_mprintf("%s", sqlite3_errmsg(registry->connection));
    else if (taken)
        *message = sqlite3_mprintf("SQL has a function '%s' already: seal it with --namespace",
                                   function->name);
    else if (define_own(function, sqlite_copy_number(registry->library)) != SQLITE_OK)
        *message = sqlite3_mprintf("%s", sqlite3_errmsg(registry->connection));
    if (*message)
        return false;
    function->attached = true;
    function->references++;
    registry_put(registry, function);
    return true;
}

static char *not_sealed(struct function_registry *registry, const char *name)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_str *text = sqlite3_str_new(registry->connection);
    sqlite3_str_appendall(text, "no function of that name was sealed: see `udfvm seal`");
    append_known(text, registry, name, KNOWN_SEALED, 0);
    return sqlite3_str_finish(text);
}

static struct sql_function *load(struct function_registry *registry, const char *name,
                                 size_t length, char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    struct sql_function *function = NULL;
    if (registry->embedded)
        *message = sqlite3_mprintf(
            "the program that opened this connection decides which functions it has");
    else if (is_path(name))
        function = sealed_open(registry, name, message);
    else
        function = sealed_load(registry, name, length, message);
    if (!function && !*message)
        *message = is_path(name) ? sqlite3_mprintf("the file is damaged")
                                 : not_sealed(registry, name);
    return function;
}

/* Returns the name or file; NULL if the arguments are not valid. */
static const char *take_arguments(sqlite_library *library, int count, sqlite3_value **arguments,
                                  bool *in_schema)
{
    sqlite_library *sqlite3_api = library;
    const char *option = count == 2 ? (const char *)sqlite3_value_text(arguments[1]) : NULL;
    *in_schema = option && strcmp(option, "in_schema") == 0;
    if (count != 1 + *in_schema || sqlite3_value_type(arguments[0]) != SQLITE_TEXT)
        return NULL;
    const char *name = (const char *)sqlite3_value_text(arguments[0]);
    return name && strlen(name) == (size_t)sqlite3_value_bytes(arguments[0]) ? name : NULL;
}

/* Attaches the function unless the connection has it. Returns false with *message. */
static bool find_or_attach(struct function_registry *registry, struct sql_function *function,
                           bool of_file, char **message)
{
    const struct sql_function *old = registry_find(registry, function->name, function->name_length);
    return (old && old->attached && same_function(old, function)) ||
           attach(registry, function, of_file, message);
}

/* vm_attach(name), vm_attach(name, 'in_schema') */
void sql_attach(sqlite_library *library, sqlite3_context *context, int count,
                sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    struct function_registry *registry = sqlite3_user_data(context);
    char *message = NULL;
    bool in_schema;
    const char *name = take_arguments(library, count, arguments, &in_schema);
    if (!name) {
        fail_because(registry, context, UDFVM_SQLITE_TYPE,
                     sqlite3_mprintf("vm_attach takes the name or file of a sealed function, as "
                                     "TEXT, then optionally 'in_schema'"));
        return;
    }
    struct sql_function *function = load(registry, name, strlen(name), &message);
    if (function && in_schema)
        function->flags |= UDFVM_SQLITE_IN_SCHEMA;
    if (function && find_or_attach(registry, function, is_path(name), &message))
        sqlite3_result_text(context, function->name, -1, SQLITE_TRANSIENT);
    else
        fail_because(registry, context,
                     registry->embedded ? UDFVM_SQLITE_POLICY : UDFVM_SQLITE_OTHER,
                     message ? sqlite3_mprintf("vm_attach: '%.255s': %s", name, message) : NULL);
    sqlite3_free(message);
    if (function)
        function_release(function);
}
