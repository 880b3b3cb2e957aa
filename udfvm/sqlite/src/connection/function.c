/* A function in SQL: see function.h. */
#include "connection/function.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "connection/registry.h"

/* ---- Names and languages ---- */

/* SQLite ignores the case of ASCII letters in names of functions, and so does vm_udf. */
bool same_name(const char *a, const char *b, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[i]))
            return false;
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool name_valid(const char *name, size_t length)
{
    if (length == 0 || length > MAX_NAME || !is_letter(name[0]) ||
        (length >= 3 && strncasecmp(name, "vm_", 3) == 0))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_letter(name[i]) && !(name[i] >= '0' && name[i] <= '9'))
            return false;
    return true;
}

static const char *const languages[LANGUAGES] = { "python", "wasm", "native" };

const char *language_name(unsigned language)
{
    return language < LANGUAGES ? languages[language] : NULL;
}

unsigned language_of(const char *name)
{
    unsigned language = 0;
    while (language < LANGUAGES && strcmp(languages[language], name) != 0)
        language++;
    return language;
}

/* ---- Functions ---- */

static bool copy_columns(struct sql_function *function, const struct udfvm_sqlite_function *offered)
{
    function->columns = calloc(offered->column_count + 1, sizeof *function->columns);
    if (!function->columns)
        return false;
    for (; function->column_count < offered->column_count; function->column_count++) {
        const struct udfvm_sqlite_column *column = &offered->columns[function->column_count];
        char *name = strdup(column->name);
        if (!name)
            return false;
        function->columns[function->column_count] = (struct result_column){ name, column->type,
                                                                            column->times };
    }
    return true;
}

/* What struct udfvm_columns adds to the result: of each column the first bytes of its validity,
 * too, and to a row of a table its arguments' index. */
static uint64_t reply_frame(const struct udfvm_sqlite_function *offered)
{
    const uint64_t columns = offered->column_count + 1; /* that of the index, or the result alone */
    return sizeof(struct udfvm_columns) + columns * (sizeof(struct udfvm_column) + 8) +
           (offered->column_count ? sizeof(int64_t) : 0);
}

struct sql_function *function_create(struct function_registry *registry, struct embedder *embedder,
                                     const struct udfvm_sqlite_function *offered)
{
    struct sql_function *function = calloc(
        1, sizeof *function + offered->parameter_count * sizeof function->parameters[0]);
    if (!function)
        return NULL;
    function->references = 1;
    function->registry = registry;
    registry->references++;
    function->embedder = embedder;
    if (embedder)
        embedder->references++;
    function->pool = udfvm_pool_retain(offered->pool);
    function->image = udfvm_image_retain(offered->image);
    function->name = strdup(offered->name);
    function->name_length = strlen(offered->name);
    function->result_type = offered->result_type;
    function->result_times = offered->result_times;
    function->isolation = offered->isolation;
    function->flags = offered->flags;
    function->limits = offered->limits;
    function->limits.reply_frame = reply_frame(offered);
    function->wait_ns = offered->wait_ns;
    function->pool_limit = offered->pool_limit;
    function->form = offered->form;
    function->language = offered->language;
    function->parameter_count = offered->parameter_count;
    bool complete = function->name != NULL && copy_columns(function, offered);
    for (uint32_t i = 0; i < offered->parameter_count; i++) {
        function->parameters[i].type = offered->parameters[i].type;
        function->parameters[i].nullable = offered->parameters[i].nullable != 0;
        function->parameters[i].single = offered->parameters[i].single != 0;
        function->parameters[i].kind = offered->parameters[i].kind;
        function->parameters[i].times = offered->parameters[i].times;
        function->parameters[i].name = strdup(offered->parameters[i].name);
        complete = complete && function->parameters[i].name;
        if (offered->parameters[i].fallback) {
            function->parameters[i].fallback = default_create(
                registry->library, registry->connection, offered->parameters[i].fallback,
                offered->parameters[i].fallback_length, &offered->parameters[i].times);
            complete = complete && function->parameters[i].fallback;
        }
    }
    if (!complete) {
        function_release(function);
        return NULL;
    }
    return function;
}

bool function_renew(struct sql_function *function, struct udfvm_error *error)
{
    const struct embedder *embedder = function->embedder;
    struct udfvm_sqlite_renewal renewal = { .pool = function->pool,
                                            .image = function->image,
                                            .arguments = function->parameter_count };
    const int answer = embedder && embedder->renew
                           ? embedder->renew(embedder->owner, function->name, &renewal)
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

void function_release(struct sql_function *function)
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
    struct function_registry *registry = function->registry;
    struct embedder *embedder = function->embedder;
    struct sql_function *family = function->family;
    free(function);
    if (family)
        function_release(family);
    if (embedder)
        embedder_release(embedder);
    registry_release(registry);
}

void function_release_data(void *function)
{
    function_release(function);
}
