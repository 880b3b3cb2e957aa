/* Finds the function of a name: see resolve.h. */
#include "sql/resolve.h"

#include "sql/sealed.h"
#include "sql/stored.h"
#include "statement/report.h"

int resolve_code(struct function_registry *registry, char **wrong)
{
    sqlite_library *sqlite3_api = registry->library;
    if (!registry->interrupted)
        return SQLITE_ERROR;
    registry->interrupted = false;
    sqlite3_free(*wrong);
    *wrong = NULL;
    return SQLITE_INTERRUPT;
}

void fail_to_resolve(struct function_registry *registry, sqlite3_context *context, char *wrong)
{
    sqlite_library *sqlite3_api = registry->library;
    if (resolve_code(registry, &wrong) == SQLITE_INTERRUPT)
        sqlite3_result_error_code(context, SQLITE_INTERRUPT);
    else
        fail_with(registry->library, context, wrong);
}

struct sql_function *resolve(struct function_registry *registry, struct statement *statement,
                             const char *caller, const char *name, size_t length, unsigned forms,
                             char **wrong)
{
    char *message = NULL;
    *wrong = NULL;
    struct sql_function *function = registry_find(registry, name, length);
    if (!function)
        function = sealed_find(registry, name, length, &message);
    if (!function && !message) {
        registry->load_end_ns = statement ? statement->end_ns
                                          : 0; /* 0: its time begins when it loads */
        function = stored_find(registry, name, length, &message);
        if (statement)
            statement->end_ns = registry->load_end_ns;
    }
    if (!function && message)
        *wrong = describe_definition(
            registry, NULL, name, length, message,
            (struct udfvm_sqlite_failure){ .cause = UDFVM_SQLITE_SIGNATURE });
    else if (!function)
        *wrong = describe_unknown(registry, caller, name, forms);
    else if (!(forms & FORM(function->form)))
        *wrong = describe_form(function, caller);
    return *wrong ? NULL : function;
}
