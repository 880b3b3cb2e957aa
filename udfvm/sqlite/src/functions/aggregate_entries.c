/* The functions that SQLite calls for aggregates, for each copy of SQLite. */
#include "functions/aggregate.h"
#include "connection/sqlite_copies.h"

/* The four functions of an aggregate: a row enters, a row leaves, the value, the last value. */
struct aggregate_entries {
    void (*step)(sqlite3_context *, int, sqlite3_value **);
    void (*inverse)(sqlite3_context *, int, sqlite3_value **);
    void (*value)(sqlite3_context *);
    void (*final)(sqlite3_context *);
};

#define ENTRIES(n, prefix, by_name)                                                               \
    static void prefix##_step_##n(sqlite3_context *context, int count, sqlite3_value **arguments) \
    {                                                                                             \
        aggregate_step(sqlite_copies[n], context, count, arguments, by_name, false);              \
    }                                                                                             \
    static void prefix##_inverse_##n(sqlite3_context *context, int count,                         \
                                     sqlite3_value **arguments)                                   \
    {                                                                                             \
        aggregate_step(sqlite_copies[n], context, count, arguments, by_name, true);               \
    }                                                                                             \
    static void prefix##_value_##n(sqlite3_context *context)                                      \
    {                                                                                             \
        aggregate_value(sqlite_copies[n], context, by_name, false);                               \
    }                                                                                             \
    static void prefix##_final_##n(sqlite3_context *context)                                      \
    {                                                                                             \
        aggregate_value(sqlite_copies[n], context, by_name, true);                                \
    }
#define FOUR(n, prefix) \
    { prefix##_step_##n, prefix##_inverse_##n, prefix##_value_##n, prefix##_final_##n }
#define ALL_ENTRIES(prefix, by_name)                                              \
    ENTRIES(0, prefix, by_name)                                                   \
    ENTRIES(1, prefix, by_name)                                                   \
    ENTRIES(2, prefix, by_name)                                                   \
    ENTRIES(3, prefix, by_name)                                                   \
    static const struct aggregate_entries prefix##_entries[MAX_SQLITE_COPIES] = { \
        FOUR(0, prefix), FOUR(1, prefix), FOUR(2, prefix), FOUR(3, prefix)        \
    };

ALL_ENTRIES(vm_agg, true)
ALL_ENTRIES(own, false)

int aggregate_define_by_name(struct function_registry *registry, int index, int flags)
{
    sqlite_library *sqlite3_api = registry->library;
    const struct aggregate_entries *entries = &vm_agg_entries[index];
    registry->references++; /* SQLite's reference: it calls the destructor even if it fails */
    return sqlite3_create_window_function(registry->connection, "vm_agg", -1, flags, registry,
                                          entries->step, entries->final, entries->value,
                                          entries->inverse, registry_release_data);
}

int aggregate_define_own(struct sql_function *function, int index, int flags)
{
    sqlite_library *sqlite3_api = function->registry->library;
    const struct aggregate_entries *entries = &own_entries[index];
    int code = SQLITE_OK;
    for (uint32_t count = required_count(function);
         count <= function->parameter_count && code == SQLITE_OK; count++) {
        function->references++;
        code = sqlite3_create_window_function(
            function->registry->connection, function->name, (int)count, flags, function,
            entries->step, entries->final, entries->value, entries->inverse, function_release_data);
    }
    return code;
}
