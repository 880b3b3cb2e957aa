/* Loading stored functions: they are compiled and loaded inside a micro-VM, and sealed into a layer
 * in memory. The host reads names, signature and options. It passes the source on unread. */
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sql/load.h"
#include "sql/expression.h"
#include "sql/sealed.h"
#include "statement/report.h"

#define LOAD_LOG 65536u
#define WAIT_NS  60000000000u

static load_request *const requests[LANGUAGES] = { python_request, compiled_request,
                                                   compiled_request };
/* ---- Options: words, separated by blanks ---- */

/* Parses a decimal number of seconds, in any locale. Returns nanoseconds; 0 if it is not valid, or
 * too large. */
static uint64_t take_seconds(const char *text)
{
    const size_t whole = strspn(text, "0123456789"), point = text[whole] == '.',
                 fraction = strspn(text + whole + point, "0123456789");
    uint64_t nanoseconds = 0;
    if (whole + fraction == 0 || whole > 9 || text[whole + point + fraction])
        return 0;
    for (size_t i = 0; i < whole; i++)
        nanoseconds = nanoseconds * 10 + (uint64_t)(text[i] - '0');
    for (size_t i = 0; i < 9; i++)
        nanoseconds = nanoseconds * 10 +
                      (i < fraction ? (uint64_t)(text[whole + point + i] - '0') : 0);
    return nanoseconds;
}

static const char *take_option(const char *word, size_t length, struct stored_options *options)
{
    char text[96];
    if (length >= sizeof text)
        return "an option is too long";
    memcpy(text, word, length);
    text[length] = 0;
    if (strcmp(text, "deterministic") == 0) {
        options->deterministic = true;
    } else if (strcmp(text, "isolation=row") == 0) {
        options->isolation = UDFVM_SQLITE_ROW;
    } else if (strcmp(text, "isolation=statement") == 0) {
        options->isolation = UDFVM_SQLITE_STATEMENT;
    } else if (strncmp(text, "row_timeout=", 12) == 0) {
        options->row_timeout_ns = take_seconds(text + 12);
        if (options->row_timeout_ns == 0)
            return "row_timeout= takes a positive number of seconds, such as 1.5";
    } else if (strncmp(text, "entry=", 6) == 0 && name_valid(text + 6, length - 6) &&
               length - 6 < sizeof options->entry) {
        memcpy(options->entry, text + 6, length - 6 + 1);
    } else {
        static _Thread_local char unknown[288];
        snprintf(unknown, sizeof unknown,
                 "'%s' is not an option: they are replace, deterministic, isolation=row, "
                 "isolation=statement, row_timeout=SECONDS, entry=NAME",
                 text);
        return unknown;
    }
    return NULL;
}

static const char *parse_options(const char *text, struct stored_options *options)
{
    *options = (struct stored_options){ .isolation = UDFVM_SQLITE_STATEMENT };
    const char *error = NULL;
    while (*text && !error) {
        size_t length = strcspn(text, " ");
        error = length ? take_option(text, length, options) : NULL;
        text += length + (text[length] == ' ');
    }
    return error;
}

/* ---- Loading ---- */

static udfvm_image *seal(udfvm_vm *vm, udfvm_image *base, struct udfvm_error *error)
{
    int fd = memfd_create("udfvm-layer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        *error = (struct udfvm_error){ .code = UDFVM_E_SYSTEM,
                                       .message = "creating memory for a layer failed" };
        return NULL;
    }
    udfvm_image *image = NULL;
    if (udfvm_vm_seal(vm, fd, "{}", 2, error) == UDFVM_OK) {
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
            image = udfvm_image_open(fd, base, error);
        else
            *error = (struct udfvm_error){ .code = UDFVM_E_SYSTEM,
                                           .message = "sealing the memory of a layer failed" };
    }
    close(fd);
    return image;
}

/* Reports a failure to the program. The caller, who wanted the function, adds its context to
 * *message. */
static void fail(struct function_registry *registry, const struct stored_definition *definition,
                 const char *message, struct udfvm_sqlite_failure failure)
{
    sqlite_library *sqlite3_api = registry->library;
    if (message)
        sqlite3_free(describe_definition(registry, definition->caller, definition->name,
                                         definition->name_length, sqlite3_mprintf("%s", message),
                                         failure));
}

static char *describe_load(const struct function_registry *registry,
                           const struct udfvm_error *error)
{
    sqlite_library *sqlite3_api = registry->library;
    const int length = (int)sizeof error->message;
    if (error->code == UDFVM_E_TIMEOUT)
        return sqlite3_mprintf("the function was not ready within %.3g s (load_timeout)",
                               (double)registry->policy.load_timeout_ns / 1e9);
    if (error->code == UDFVM_E_EXIT)
        return sqlite3_mprintf("%.*s; the function was not ready by then", length, error->message);
    return sqlite3_mprintf("%.*s%s", length, error->message,
                           error->code == UDFVM_E_BUSY ? ": finish or close statements" : "");
}

static uint32_t cause_of(const struct udfvm_error *error, const struct session *session)
{
    if (session->watched == WATCH_STATEMENT_TIMEOUT)
        return UDFVM_SQLITE_TIMEOUT;
    return error->code == UDFVM_E_TIMEOUT || error->code == UDFVM_E_EXIT ? UDFVM_SQLITE_BUILD
                                                                         : UDFVM_SQLITE_REPORTED;
}

/* Returns true if SQLite interrupted the call, or the program, which has its own exception then. */
static bool interrupted(const struct session *session, const struct udfvm_error *error)
{
    const struct function_registry *registry = session->function->registry;
    if (session->watched == WATCH_STATEMENT_TIMEOUT)
        return false;
    if (error->code == UDFVM_E_INTERRUPTED)
        raise_interrupt(session, error);
    return error->code == UDFVM_E_INTERRUPTED ||
           (error->code == UDFVM_E_BUSY &&
            connection_interrupted(registry->library, registry->connection));
}

static udfvm_image *load_layer(struct function_registry *registry,
                               const struct language_runtime *runtime,
                               const struct stored_definition *definition, const void *payload,
                               size_t length, bool deterministic, char **message)
{
    const struct udfvm_limits limits = { .timeout_ns = registry->policy.load_timeout_ns,
                                         .max_log = LOAD_LOG,
                                         .files = registry->policy.limits.files,
                                         .deterministic = deterministic };
    struct udfvm_error error = { .code = UDFVM_OK };
    struct udfvm_reply reply;
    udfvm_image *image = NULL;
    char name[] = "";
    struct sql_function loading = {
        .registry = registry, .name = name, .wait_ns = WAIT_NS, .pool_limit = runtime->pool_limit
    };
    struct statement statement = { .end_ns = registry->load_end_ns };
    statement_begin(&statement, registry);
    registry->load_end_ns = statement.end_ns;
    struct session session = { .function = &loading,
                               .pool = runtime->pool,
                               .image = runtime->base,
                               .row = -1,
                               .end_ns = statement.end_ns };
    udfvm_vm *vm = session_take_vm(&session, 0, &error);
    if (vm)
        udfvm_vm_set_watch(vm, watch, &session);
    if (vm && udfvm_vm_call(vm, UDFVM_REQUEST_LOAD, payload, length, &limits, &reply, &error) ==
                  UDFVM_OK) {
        if (reply.sealed)
            image = seal(vm, runtime->base, &error);
        else {
            *message = guest_error_text(registry->library, &reply);
            fail(registry, definition, *message,
                 (struct udfvm_sqlite_failure){ .report = reply.data,
                                                .report_length = reply.length });
        }
    }
    watch_end(&session);
    if (vm)
        udfvm_pool_give(runtime->pool, vm);
    registry->interrupted = !image && interrupted(&session, &error);
    if (!image && !*message) {
        const uint32_t cause = cause_of(&error, &session);
        *message = cause == UDFVM_SQLITE_TIMEOUT ? timeout_text(registry)
                                                 : describe_load(registry, &error);
        fail(registry, definition, *message,
             (struct udfvm_sqlite_failure){
                 .cause = cause, .error = cause == UDFVM_SQLITE_REPORTED ? &error : NULL });
    }
    return image;
}

static char *copy_definition(const struct function_registry *registry,
                             const struct stored_definition *definition, size_t *length)
{
    const size_t parts[] = { strlen(definition->language) + 1, strlen(definition->signature) + 1,
                             strlen(definition->options) + 1 };
    const struct udfvm_limits *limits = &registry->policy.limits;
    *length = parts[0] + parts[1] + parts[2] + sizeof *limits + definition->source_length;
    char *copy = malloc(*length), *at = copy;
    if (!copy)
        return NULL;
    const char *const texts[] = { definition->language, definition->signature,
                                  definition->options };
    for (int i = 0; i < 3; i++, at += parts[i - 1])
        memcpy(at, texts[i], parts[i]);
    memcpy(at, limits, sizeof *limits);
    memcpy(at + sizeof *limits, definition->source, definition->source_length);
    return copy;
}

static struct sql_function *make_function(struct function_registry *registry,
                                          const struct language_runtime *runtime,
                                          udfvm_image *image,
                                          const struct stored_definition *definition,
                                          const struct sql_signature *signature,
                                          const struct stored_options *options)
{
    char name[MAX_NAME + 1];
    memcpy(name, definition->name, definition->name_length);
    name[definition->name_length] = 0;
    struct udfvm_sqlite_function made = {
        .name = name,
        .pool = runtime->pool,
        .image = image,
        .parameters = signature->parameters,
        .parameter_count = signature->count,
        .language = 1u << language_of(definition->language),
        .result_type = signature->result_type,
        .isolation = options->isolation,
        .limits = registry->policy.limits,
        .wait_ns = WAIT_NS,
        .pool_limit = runtime->pool_limit,
        .flags = signature->result_json ? UDFVM_SQLITE_JSON_RESULT : 0,
    };
    made.limits.deterministic = options->deterministic;
    if (options->row_timeout_ns &&
        (made.limits.timeout_ns == 0 || options->row_timeout_ns < made.limits.timeout_ns))
        made.limits.timeout_ns = options->row_timeout_ns;
    struct sql_function *function = function_create(registry, runtime->embedder, &made);
    if (!function)
        return NULL;
    function->definition = copy_definition(registry, definition, &function->definition_length);
    function->source_length = definition->source_length;
    function->expression = definition->expression;
    if (function->definition)
        return function;
    function_release(function);
    return NULL;
}

static bool find_language(struct function_registry *registry, const char *name, unsigned *language,
                          char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    *language = language_of(name);
    if (*language == LANGUAGES)
        *message = sqlite3_mprintf(
            "unknown language '%.32s': the languages are python, wasm and native", name);
    else if (!(registry->policy.languages >> *language & 1))
        *message = sqlite3_mprintf(
            "the policy of this connection does not allow functions of language '%s' (languages)",
            name);
    return !*message;
}

static const char *take_signature(const struct stored_definition *definition,
                                  struct sql_signature *signature)
{
    if (!definition->expression)
        return signature_parse(definition->signature, strlen(definition->signature), signature);
    expression_signature(definition->values, signature);
    return NULL;
}

struct sql_function *load_function(struct function_registry *registry,
                                   const struct stored_definition *definition, char **message)
{
    sqlite_library *sqlite3_api = registry->library;
    struct stored_options options;
    unsigned language;
    *message = NULL;
    if (!find_language(registry, definition->language, &language, message)) {
        fail(registry, definition, *message,
             (struct udfvm_sqlite_failure){ .cause = language == LANGUAGES ? UDFVM_SQLITE_OPTION
                                                                           : UDFVM_SQLITE_POLICY });
        return NULL;
    }
    if (definition->source_length > registry->policy.max_source) {
        *message = sqlite3_mprintf(
            "its source has %s, and the policy of this connection allows %s (max_source)",
            udfvm_format_size((uint64_t)definition->source_length).text,
            udfvm_format_size((uint64_t)registry->policy.max_source).text);
        fail(registry, definition, *message,
             (struct udfvm_sqlite_failure){ .cause = UDFVM_SQLITE_POLICY });
        return NULL;
    }
    struct sql_signature *signature = malloc(sizeof *signature);
    const char *error = signature ? take_signature(definition, signature) : "out of memory";
    const char *what = "signature";
    if (!error) {
        what = "options";
        error = parse_options(definition->options, &options);
    }
    if (error) {
        *message = sqlite3_mprintf("its %s: %s", what, error);
        fail(registry, definition, *message,
             (struct udfvm_sqlite_failure){ .cause = *what == 'o' ? UDFVM_SQLITE_OPTION
                                                                  : UDFVM_SQLITE_SIGNATURE });
    }
    struct language_runtime *runtime = error ? NULL : runtime_of(registry, language, message);
    size_t length;
    uint8_t *payload = runtime ? requests[language](sqlite3_api, definition, signature, &options,
                                                    &length, message)
                               : NULL;
    udfvm_image *image = payload ? load_layer(registry, runtime, definition, payload, length,
                                              options.deterministic, message)
                                 : NULL;
    struct sql_function *function = image ? make_function(registry, runtime, image, definition,
                                                          signature, &options)
                                          : NULL;
    udfvm_image_close(image);
    sqlite3_free(payload);
    free(signature);
    return function;
}
