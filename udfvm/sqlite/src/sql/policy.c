/* The policy of a connection, and vm_policy(), which shows it. vm_policy() also changes it, unless
 * a program has set it. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sql/policy.h"
#include "statement/report.h"

#define SECOND_NS   1e9
#define MAX_SECONDS 1e9
#define MIN_SECONDS 1e-6

/* For a connection that no program made an offer to, such as the sqlite3 shell's: the user types
 * its SQL. */
void policy_default(struct udfvm_sqlite_policy *policy)
{
    *policy = (struct udfvm_sqlite_policy){
        .languages = UDFVM_SQLITE_PYTHON | UDFVM_SQLITE_WASM | UDFVM_SQLITE_NATIVE,
        .allow_create = 1,
        .max_source = 16 << 20,
        .limits = { .timeout_ns = 10000000000u, .max_log = 65536, .log_sink = &log_standard_error },
        .load_timeout_ns = 30000000000u,
        .idle_spin_us = 100,
    };
}

static bool seconds_of(sqlite_library *library, sqlite3_value *value, double *seconds)
{
    sqlite_library *sqlite3_api = library;
    int type = sqlite3_value_type(value);
    *seconds = sqlite3_value_double(value);
    return (type == SQLITE_INTEGER || type == SQLITE_FLOAT) &&
           (*seconds == 0 || *seconds >= MIN_SECONDS) && *seconds <= MAX_SECONDS;
}

static bool bytes_of(sqlite_library *library, sqlite3_value *value, uint64_t *bytes)
{
    sqlite_library *sqlite3_api = library;
    sqlite3_int64 number = sqlite3_value_int64(value);
    if (sqlite3_value_type(value) != SQLITE_INTEGER || number < 0)
        return false;
    *bytes = (uint64_t)number;
    return true;
}

/* Parses a list such as 'python,wasm'. Empty text means none. */
static bool languages_of(const char *text, uint32_t *languages)
{
    uint32_t found = 0;
    while (text && *text) {
        size_t length = strcspn(text, ",");
        unsigned language = 0;
        while (language_name(language) && (strlen(language_name(language)) != length ||
                                           strncmp(language_name(language), text, length) != 0))
            language++;
        if (!language_name(language))
            return false;
        found |= 1u << language;
        text += length + (text[length] == ',');
    }
    *languages = found;
    return text != NULL;
}

static bool set_log(const char *text, const struct udfvm_log_sink **sink)
{
    const bool drops = text && strcasecmp(text, "drop") == 0;
    if (!drops && (!text || strcasecmp(text, "stderr") != 0))
        return false;
    *sink = drops ? NULL : &log_standard_error;
    return true;
}

static bool set_number(sqlite_library *library, struct udfvm_sqlite_policy *policy,
                       const char *name, sqlite3_value *value)
{
    uint64_t number;
    if (!bytes_of(library, value, &number))
        return false;
    if (strcasecmp(name, "max_source") == 0)
        policy->max_source = number;
    else if (strcasecmp(name, "max_output") == 0)
        policy->limits.max_output = number;
    else if (number <= 1)
        policy->allow_create = (uint32_t)number;
    else
        return false;
    return true;
}

static bool set_seconds(sqlite_library *library, struct udfvm_sqlite_policy *policy,
                        const char *name, sqlite3_value *value)
{
    double seconds;
    if (!seconds_of(library, value, &seconds))
        return false;
    const uint64_t nanoseconds = (uint64_t)(seconds * SECOND_NS);
    if (strcasecmp(name, "row_timeout") == 0 && seconds > 0)
        policy->limits.timeout_ns = nanoseconds;
    else if (strcasecmp(name, "load_timeout") == 0 && seconds > 0)
        policy->load_timeout_ns = nanoseconds;
    else if (strcasecmp(name, "statement_timeout") == 0)
        policy->statement_timeout_ns = nanoseconds;
    else if (strcasecmp(name, "idle_spin") == 0 && seconds <= 1)
        policy->idle_spin_us = (uint32_t)(seconds * 1e6);
    else
        return false;
    return true;
}

static bool set(sqlite_library *library, struct udfvm_sqlite_policy *policy, const char *name,
                sqlite3_value *value)
{
    sqlite_library *sqlite3_api = library;
    if (strcasecmp(name, "languages") == 0)
        return languages_of((const char *)sqlite3_value_text(value), &policy->languages);
    if (strcasecmp(name, "log") == 0)
        return set_log((const char *)sqlite3_value_text(value), &policy->limits.log_sink);
    if (strcasecmp(name, "allow_create") == 0 || strcasecmp(name, "max_source") == 0 ||
        strcasecmp(name, "max_output") == 0)
        return set_number(library, policy, name, value);
    return set_seconds(library, policy, name, value);
}

static void show_languages(sqlite_library *library, sqlite3_context *context, uint32_t languages)
{
    sqlite_library *sqlite3_api = library;
    char text[64] = "";
    for (unsigned language = 0; language_name(language); language++)
        if (languages >> language & 1)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? "," : "",
                     language_name(language));
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

static bool show(sqlite_library *library, sqlite3_context *context,
                 const struct udfvm_sqlite_policy *policy, const char *name)
{
    sqlite_library *sqlite3_api = library;
    const struct {
        const char *name;
        bool seconds;
        uint64_t number;
    } entries[] = {
        { "allow_create", false, policy->allow_create },
        { "max_source", false, policy->max_source },
        { "max_output", false, policy->limits.max_output },
        { "row_timeout", true, policy->limits.timeout_ns },
        { "load_timeout", true, policy->load_timeout_ns },
        { "statement_timeout", true, policy->statement_timeout_ns },
        { "idle_spin", true, policy->idle_spin_us * 1000ull },
    };
    if (strcasecmp(name, "languages") == 0) {
        show_languages(library, context, policy->languages);
        return true;
    }
    if (strcasecmp(name, "log") == 0) {
        const struct udfvm_log_sink *sink = policy->limits.log_sink;
        const char *where = !sink ? "drop" : sink == &log_standard_error ? "stderr" : "program";
        sqlite3_result_text(context, where, -1, SQLITE_STATIC);
        return true;
    }
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (strcasecmp(name, entries[i].name) == 0) {
            if (entries[i].seconds)
                sqlite3_result_double(context, (double)entries[i].number / SECOND_NS);
            else
                sqlite3_result_int64(context, (sqlite3_int64)entries[i].number);
            return true;
        }
    return false;
}

/* Returns which values a setting takes, for an error. */
static const char *values_of(const char *name)
{
    static const struct {
        const char *name, *values;
    } settings[] = {
        { "languages", "languages among python, wasm and native, such as 'python,wasm'" },
        { "log", "'drop' or 'stderr'" },
        { "allow_create", "0 or 1" },
        { "max_source", "a number of bytes" },
        { "max_output", "a number of bytes" },
        { "row_timeout", "seconds, from 0.000001 to 1,000,000,000" },
        { "load_timeout", "seconds, from 0.000001 to 1,000,000,000" },
        { "statement_timeout", "seconds, from 0.000001 to 1,000,000,000, or 0 for no limit" },
        { "idle_spin", "seconds, from 0.000001 to 1, or 0" },
    };
    size_t i = 0;
    while (strcasecmp(settings[i].name, name) != 0)
        i++;
    return settings[i].values;
}

/* vm_policy(name), vm_policy(name, value): return the value, which the second one sets. */
void sql_policy(sqlite_library *library, sqlite3_context *context, int count,
                sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    struct function_registry *registry = sqlite3_user_data(context);
    struct udfvm_sqlite_policy changed = registry->policy;
    const char *name = count >= 1 ? (const char *)sqlite3_value_text(arguments[0]) : NULL;
    if (!name || count > 2) {
        fail_because(registry, context, UDFVM_SQLITE_TYPE,
                     sqlite3_mprintf("vm_policy takes a name, and a value to set"));
        return;
    }
    if (count == 2 && registry->embedded) {
        fail_because(registry, context, UDFVM_SQLITE_POLICY,
                     sqlite3_mprintf("vm_policy: the program that opened this connection sets its "
                                     "policy: SQL cannot change it"));
        return;
    }
    if (!show(library, context, &registry->policy, name))
        fail_because(
            registry, context, UDFVM_SQLITE_OPTION,
            sqlite3_mprintf(
                "vm_policy: the settings are allow_create, idle_spin, languages, load_timeout, "
                "log, max_output, max_source, row_timeout, statement_timeout"));
    else if (count == 2 && !set(library, &changed, name, arguments[1]))
        fail_because(registry, context, UDFVM_SQLITE_OPTION,
                     sqlite3_mprintf("vm_policy: %s cannot have this value: it takes %s", name,
                                     values_of(name)));
    else if (count == 2) {
        registry->policy = changed;
        show(library, context, &registry->policy, name);
    }
}
