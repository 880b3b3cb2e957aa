/* Checks and takes an embedder's offer: see extension.h. */
#include "entry/offer.h"

#include "connection/try.h"
#include "functions/arguments.h"
#include "functions/define.h"
#include "connection/times.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static _Thread_local const struct udfvm_sqlite_offer *offer;

int udfvm_sqlite_set_offer(const struct udfvm_sqlite_offer *new_offer)
{
    bool untaken = offer != NULL;
    offer = new_offer;
    return untaken;
}

const struct udfvm_sqlite_offer *offer_current(void)
{
    return offer;
}

int offer_fail(sqlite_library *library, char **error, int code, const char *why, const char *name)
{
    sqlite_library *sqlite3_api = library;
    *error = name ? sqlite3_mprintf("udfvm: %s: %s", name, why) : sqlite3_mprintf("udfvm: %s", why);
    return code;
}

/* ---- What is wrong with an offer ---- */

static bool type_known(uint32_t type, const struct udfvm_sqlite_times *times)
{
    return type >= UDFVM_TYPE_INT64 && type <= UDFVM_TYPE_BOOL && times_valid(times, type);
}

static const char *fault_of_table(const struct udfvm_sqlite_function *function)
{
    if (function->column_count == 0 || function->column_count > 100)
        return "a table function has 1 to 100 columns";
    if (function->parameter_count >= MAX_ARGUMENTS)
        return "table functions take at most 59 arguments";
    for (uint32_t i = 0; i < function->column_count; i++)
        if (!type_known(function->columns[i].type, &function->columns[i].times))
            return "a column's type is unknown";
    return NULL;
}

static unsigned language_index(uint32_t language)
{
    unsigned index = 0;
    while (index < LANGUAGES && language != 1u << index)
        index++;
    return index;
}

static const char *fault_of_name(const char *name)
{
    const size_t length = strlen(name);
    if (length == 0 || length > MAX_NAME)
        return "a function's name has 1 to 255 bytes";
    return strncasecmp(name, "vm_", 3) == 0 ? "names that begin with vm_ are reserved" : NULL;
}

static const char *fault_of_parameters(const struct udfvm_sqlite_function *function)
{
    if (function->parameter_count > MAX_PARAMETERS)
        return "SQLite's functions take at most 127 arguments";
    for (uint32_t i = 0; i < function->parameter_count; i++)
        if (!type_known(function->parameters[i].type, &function->parameters[i].times))
            return "a parameter's type is unknown";
        else if (function->parameters[i].kind > UDFVM_SQLITE_DURATION)
            return "a parameter's kind is unknown";
    return NULL;
}

static const char *fault_of_result(const struct udfvm_sqlite_function *function)
{
    if (function->form == UDFVM_SQLITE_TABLE)
        return fault_of_table(function);
    if (function->column_count > 0)
        return "only table functions have columns";
    return type_known(function->result_type, &function->result_times)
               ? NULL
               : "the result's type is unknown";
}

static const char *fault_of_variadic(const struct udfvm_sqlite_function *function)
{
    if (!(function->flags & UDFVM_SQLITE_VARIADIC))
        return NULL;
    if (function->form > UDFVM_SQLITE_VECTORIZED)
        return "only scalar and vectorised functions take any number of arguments";
    return function->parameter_count > 0 ? NULL : "no parameter for any number of arguments";
}

static const char *fault_of(const struct udfvm_sqlite_function *function)
{
    const char *fault = fault_of_name(function->name);
    if (!fault)
        fault = fault_of_parameters(function);
    if (fault)
        return fault;
    if (function->form > UDFVM_SQLITE_AGGREGATE)
        return "the form is unknown";
    if (language_index(function->language) >= LANGUAGES)
        return "the language is unknown";
    fault = fault_of_variadic(function);
    if (fault)
        return fault;
    if (function->isolation != UDFVM_SQLITE_STATEMENT && function->isolation != UDFVM_SQLITE_ROW)
        return "the isolation is unknown";
    if (!function->pool || !function->image)
        return "no pool or image";
    return fault_of_result(function);
}

/* Returns true while statements of the connection run: SQLite refuses to redefine functions then.
 * It is checked before anything is defined, so that a list is defined as a whole or not at all. */
static bool statements_run(const struct function_registry *registry)
{
    sqlite_library *sqlite3_api = registry->library;
    sqlite3_stmt *statement = sqlite3_next_stmt(registry->connection, NULL);
    while (statement && !sqlite3_stmt_busy(statement))
        statement = sqlite3_next_stmt(registry->connection, statement);
    return statement != NULL;
}

static bool redefines_in_use(const struct function_registry *registry,
                             const struct udfvm_sqlite_offer *offered, size_t *which)
{
    if (!statements_run(registry))
        return false;
    for (*which = 0; *which < offered->count; ++*which)
        if (registry_find(registry, offered->functions[*which].name,
                          strlen(offered->functions[*which].name)))
            return true;
    return false;
}

void offer_refuse(const struct udfvm_sqlite_offer *offered, uint32_t reason, size_t index)
{
    if (offered->refusal)
        *offered->refusal = (struct udfvm_sqlite_refusal){ .reason = reason, .index = index };
}

/* Refuses a function that SQL cannot have. Returns an SQLite code, with *error. */
static int refuse_function(sqlite_library *library, const struct udfvm_sqlite_offer *offered,
                           size_t which, const char *why, char **error)
{
    offer_refuse(offered, UDFVM_SQLITE_NOT_FOR_SQL, which);
    return offer_fail(library, error, SQLITE_MISUSE, why, offered->functions[which].name);
}

/* Finds a name that is taken, for an offer that must not replace anything. A vectorised function
 * leaves SQL a function of its name. Returns an SQLite code. */
static int find_taken(struct function_registry *registry, const struct udfvm_sqlite_offer *offered,
                      bool *taken, size_t *which)
{
    int code = SQLITE_OK;
    *taken = false;
    if (offered->replace)
        return SQLITE_OK;
    for (*which = 0; *which < offered->count; ++*which) {
        const struct udfvm_sqlite_function *function = &offered->functions[*which];
        *taken = registry_find(registry, function->name, strlen(function->name)) != NULL;
        if (!*taken && function->form != UDFVM_SQLITE_VECTORIZED)
            code = name_is_taken(registry, function->name, taken);
        if (*taken || code != SQLITE_OK)
            break;
    }
    return code;
}

/* SQL ignores case in names of functions: one of the two would replace the other. */
static bool differs_by_case(const struct function_registry *registry,
                            const struct udfvm_sqlite_offer *offered, size_t *which)
{
    for (*which = 0; *which < offered->count; ++*which) {
        const char *name = offered->functions[*which].name;
        const struct sql_function *known = registry_find(registry, name, strlen(name));
        if (known && strcmp(known->name, name) != 0)
            return true;
        for (size_t before = 0; before < *which; before++)
            if (strcasecmp(offered->functions[before].name, name) == 0 &&
                strcmp(offered->functions[before].name, name) != 0)
                return true;
    }
    return false;
}

/* ---- Taking it ---- */

/* Removes the functions that the offer names. */
static int remove_all(struct function_registry *registry, const struct udfvm_sqlite_offer *offered,
                      char **error)
{
    sqlite_library *library = registry->library;
    for (size_t i = 0; i < offered->removed_count; i++) {
        const char *name = offered->removed[i];
        if (!registry_find(registry, name, strlen(name))) {
            offer_refuse(offered, UDFVM_SQLITE_NAME_UNKNOWN, i);
            return offer_fail(library, error, SQLITE_ERROR, "no such function is registered", name);
        }
        if (statements_run(registry))
            return offer_fail(library, error, SQLITE_BUSY,
                              "cannot be unregistered while statements of this connection run",
                              name);
    }
    for (size_t i = 0; i < offered->removed_count; i++) {
        const char *name = offered->removed[i];
        const struct sql_function *function = registry_find(registry, name, strlen(name));
        const int code = function ? undefine_own(function) : SQLITE_OK; /* a name may occur twice */
        if (code != SQLITE_OK)
            return offer_fail(library, error, code, "SQLite did not remove the function", name);
        if (function)
            registry_remove(registry, name, strlen(name));
    }
    return SQLITE_OK;
}

/* Defines a function in SQL in the place of the old one of its name, if there is one. */
static int replace(struct sql_function *old, struct sql_function *function, int index)
{
    if (old && (old->refuses || old->parameter_count != function->parameter_count ||
                required_count(old) != required_count(function) || old->form != function->form ||
                is_variadic(old) != is_variadic(function)))
        SQL_TRY(undefine_own(old));
    return define_own(function, index);
}

static int define(struct function_registry *registry, int index, struct embedder *embedder,
                  const struct udfvm_sqlite_function *offered)
{
    struct sql_function *function = function_create(registry, embedder, offered);
    if (!function)
        return SQLITE_NOMEM;
    const int code = replace(registry_find(registry, offered->name, strlen(offered->name)),
                             function, index);
    if (code == SQLITE_OK)
        registry_put(registry, function);
    else
        function_release(function);
    return code;
}

static void take_policy(struct function_registry *registry, struct embedder *embedder,
                        const struct udfvm_sqlite_offer *offered)
{
    if (!registry->embedded) /* from now on the program sets the policy */
        registry->policy = (struct udfvm_sqlite_policy){
            .idle_spin_us = registry->policy.idle_spin_us
        };
    registry->embedded = true;
    if (offered->policy)
        registry->policy = *offered->policy;
    for (size_t i = 0; i < offered->runtime_count; i++) {
        const struct udfvm_sqlite_runtime *runtime = &offered->runtimes[i];
        struct language_runtime *kept = &registry->runtimes[language_index(runtime->language)];
        runtime_clear(kept);
        embedder->references++;
        *kept = (struct language_runtime){ .pool = udfvm_pool_retain(runtime->pool),
                                           .base = udfvm_image_retain(runtime->base),
                                           .pool_limit = runtime->pool_limit,
                                           .embedder = embedder };
    }
}

/* Returns SQLITE_OK, or another code with *error. */
static int check_functions(const struct udfvm_sqlite_offer *offered, sqlite_library *library,
                           char **error)
{
    for (size_t i = 0; i < offered->count; i++) {
        const char *fault = fault_of(&offered->functions[i]);
        if (fault)
            return refuse_function(library, offered, i, fault, error);
    }
    for (size_t i = 0; i < offered->runtime_count; i++)
        if (language_index(offered->runtimes[i].language) >= LANGUAGES ||
            !offered->runtimes[i].pool || !offered->runtimes[i].base)
            return offer_fail(library, error, SQLITE_MISUSE,
                              "a runtime of an unknown language, or without pool or image", NULL);
    return SQLITE_OK;
}

/* The policy that comes with the offer holds, or that which the connection has. */
static int check_tenants(const struct function_registry *registry,
                         const struct udfvm_sqlite_offer *offered, char **error)
{
    const uint64_t tenant = offered->policy ? offered->policy->tenant : registry->policy.tenant;
    for (size_t i = 0; tenant && i < offered->count; i++)
        if (offered->functions[i].tenant != tenant) {
            offer_refuse(offered, UDFVM_SQLITE_OTHER_TENANT, i);
            return offer_fail(registry->library, error, SQLITE_MISUSE,
                              "its pool does not serve the tenant that the policy is for",
                              offered->functions[i].name);
        }
    return SQLITE_OK;
}

/* A table or view would hide a table function of its name. */
static bool hidden_by_table(struct function_registry *registry,
                            const struct udfvm_sqlite_offer *offered, size_t *which)
{
    for (*which = 0; *which < offered->count; ++*which) {
        const struct udfvm_sqlite_function *function = &offered->functions[*which];
        if (function->form == UDFVM_SQLITE_TABLE && table_has_name(registry, function->name))
            return true;
    }
    return false;
}

static int check_names(struct function_registry *registry, const struct udfvm_sqlite_offer *offered,
                       char **error)
{
    sqlite_library *library = registry->library;
    size_t which;
    bool taken;
    const int code = find_taken(registry, offered, &taken, &which);
    if (taken) {
        offer_refuse(offered, UDFVM_SQLITE_NAME_TAKEN, which);
        return offer_fail(library, error, SQLITE_MISUSE, "SQL has a function of that name already",
                          offered->functions[which].name);
    }
    if (code != SQLITE_OK)
        return code;
    if (hidden_by_table(registry, offered, &which))
        return refuse_function(library, offered, which,
                               "a table or view of that name would hide the table function: pass "
                               "another name=",
                               error);
    if (differs_by_case(registry, offered, &which))
        return refuse_function(library, offered, which,
                               "another function's name differs from it by case alone, which SQL "
                               "ignores: pass another name=",
                               error);
    if (redefines_in_use(registry, offered, &which))
        return offer_fail(library, error, SQLITE_BUSY,
                          "cannot be redefined while statements of this connection run",
                          offered->functions[which].name);
    return SQLITE_OK;
}

int offer_take(struct function_registry *registry, int index,
               const struct udfvm_sqlite_offer *offered, char **error)
{
    sqlite_library *sqlite3_api = registry->library;
    SQL_TRY(check_functions(offered, registry->library, error));
    SQL_TRY(check_tenants(registry, offered, error));
    SQL_TRY(check_names(registry, offered, error));
    SQL_TRY(remove_all(registry, offered, error));
    struct embedder *embedder = calloc(1, sizeof *embedder);
    if (!embedder)
        return SQLITE_NOMEM;
    *embedder = (struct embedder){ .references = 1,
                                   .release = offered->release,
                                   .owner = offered->owner,
                                   .interrupt = offered->interrupt,
                                   .renew = offered->renew,
                                   .failures = offered->failures };
    offer = NULL; /* taken: the embedder's reference releases the owner */
    struct embedder *earlier = registry->embedder;
    embedder->references++;
    registry->embedder = embedder;
    if (earlier)
        embedder_release(earlier);
    take_policy(registry, embedder, offered);
    int code = SQLITE_OK;
    for (size_t i = 0; i < offered->count && code == SQLITE_OK; i++) {
        code = define(registry, index, embedder, &offered->functions[i]);
        if (code != SQLITE_OK)
            offer_fail(sqlite3_api, error, code, "SQLite did not define the function",
                       offered->functions[i].name);
    }
    embedder_release(embedder);
    return code;
}
