/* A micro-VM's time with a statement: taken at the first row, and given back when the statement's
 * execution ends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "statement/session.h"
#include "wire/batch.h"

/* SQLite keeps auxiliary data with a negative argument number for the whole execution of a
 * statement. Each function in it that uses the same number sees the data, and SQLite destroys it
 * when the execution ends in any way. (Its own JSON functions keep their parse cache so.) Data of
 * an argument (>= 0) would be lost after each row, unless that argument is a constant. */
#define STATEMENT_DATA (-0x7564)

#define WINDOW_UNIT (2ull << 20)
#define MAX_WINDOW \
    (16ull << 30) /* input window; output window and scratch together: see struct udfvm_config */
#define CALL_PAGE          4096u     /* of the input window, before what the caller writes */
#define INTERRUPT_CHECK_NS 50000000u /* how often a wait for a VM checks for sqlite3_interrupt */

static void statement_free(void *data)
{
    struct statement *statement = data;
    statement_clear(statement);
    free(statement);
}

/* If SQLite keeps no data (it evaluates a constant while it plans, or memory is out), the caller's
 * `fallback` serves this one row. */
struct statement *statement_of(sqlite_library *library, sqlite3_context *context,
                               struct statement *fallback)
{
    sqlite_library *sqlite3_api = library;
    struct statement *statement = sqlite3_get_auxdata(context, STATEMENT_DATA);
    if (statement)
        return statement;
    statement = calloc(1, sizeof *statement);
    if (statement) {
        statement->library = library;
        sqlite3_set_auxdata(context, STATEMENT_DATA, statement, statement_free);
        statement = sqlite3_get_auxdata(context, STATEMENT_DATA);
    }
    return statement ? statement : fallback;
}

static void session_close(struct session *session)
{
    *session->link_of_registry = session->next_of_registry;
    if (session->next_of_registry)
        session->next_of_registry->link_of_registry = session->link_of_registry;
    if (session->vm)
        udfvm_pool_give_small(session->pool, session->vm);
    watch_end(session); /* a connection with a statement that is left cannot be closed */
    udfvm_pool_close(session->pool);
    udfvm_image_close(session->image);
    batch_free(session->batch);
    free(session->batch_rows);
    function_release(session->function);
    free(session);
}

void statement_clear(struct statement *statement)
{
    while (statement->sessions) {
        struct session *session = statement->sessions;
        statement->sessions = session->next;
        session_close(session);
    }
}

struct session *statement_find(const struct statement *statement,
                               const struct sql_function *function)
{
    struct session *session = statement->sessions;
    while (session && session->function != function)
        session = session->next;
    return session;
}

struct session *statement_find_name(const struct statement *statement, const char *name,
                                    size_t length)
{
    struct session *session = statement->sessions;
    while (session && (session->function->expression || session->function->name_length != length ||
                       memcmp(session->function->name, name, length) != 0))
        session = session->next;
    return session;
}

static bool is_expression(const struct sql_function *function, const char *text, size_t length,
                          int count)
{
    return function->expression && function->parameter_count == (uint32_t)count &&
           function->source_length == length &&
           memcmp(function->definition + function->definition_length - length, text, length) == 0;
}

struct session *statement_find_expression(const struct statement *statement, const char *text,
                                          size_t length, int count)
{
    struct session *session = statement->sessions;
    while (session && !is_expression(session->function, text, length, count))
        session = session->next;
    return session;
}

bool connection_interrupted(sqlite_library *library, sqlite3 *connection)
{
    sqlite_library *sqlite3_api = library;
    if (sqlite3_libversion_number() < 3041000)
        return false;
#if SQLITE_VERSION_NUMBER >= 3041000
    return sqlite3_is_interrupted(connection) != 0;
#elif SQLITE_VERSION_NUMBER >= 3040000
    /* The table only grows at its end: SQLite 3.41 added this routine behind the last one of
     * 3.40. */
    struct {
        struct sqlite3_api_routines known;
        int (*is_interrupted)(sqlite3 *);
    } const *extended = (const void *)sqlite3_api;
    return extended->is_interrupted(connection) != 0;
#else
    (void)connection;
    return false;
#endif
}

static unsigned vms_held(const struct function_registry *registry, const udfvm_pool *pool)
{
    unsigned held = 0;
    for (const struct session *session = registry->sessions; session;
         session = session->next_of_registry)
        held += session->vm && session->pool == pool;
    return held;
}

static void describe_busy(const struct sql_function *function, unsigned held,
                          struct udfvm_error *error)
{
    char vms[48] = "no VM of the pool became free";
    if (function->pool_limit == 1)
        snprintf(vms, sizeof vms, "the only VM of the pool is busy");
    else if (function->pool_limit)
        snprintf(vms, sizeof vms, "all %u VMs of the pool are busy", function->pool_limit);
    const int used = snprintf(error->message, sizeof error->message, "%s", vms);
    if (held > 0)
        snprintf(error->message + used, sizeof error->message - (size_t)used,
                 "; running statements of this connection hold %u, one for each function in them",
                 held);
}

static uint64_t between(uint64_t smallest, uint64_t bytes, uint64_t largest)
{
    bytes = (bytes + WINDOW_UNIT - 1) / WINDOW_UNIT * WINDOW_UNIT;
    return bytes < smallest ? smallest : bytes > largest ? largest : bytes;
}

/* Sets windows for a request and its result, as large as needed, up to the function's memory.
 * Returns false if those that VMs have are enough. */
static bool larger_windows(const struct session *session, uint64_t length,
                           struct udfvm_windows *windows)
{
    const struct sql_function *function = session->function;
    struct udfvm_image_statistics image;
    udfvm_image_statistics(session->image, &image);
    const uint64_t asked = function->limits.max_output + function->limits.reply_frame;
    const uint64_t output = function->limits.max_output && asked > length ? asked : length;
    const uint64_t memory = image.memory > image.input_window ? image.memory : image.input_window;
    const uint64_t largest = memory < MAX_WINDOW / 2 ? memory : MAX_WINDOW / 2;
    if (length <= image.input_window - CALL_PAGE && output <= image.output_window)
        return false;
    windows->input = between(image.input_window, length + CALL_PAGE, largest);
    windows->output = between(image.output_window, output, largest);
    windows->scratch = between(0, image.memory, MAX_WINDOW - windows->output);
    return true;
}

/* Returns the end of a wait that the statement's timeout allows. */
static uint64_t wait_end(const struct session *session, uint64_t now, uint64_t wait_ns)
{
    const uint64_t end = wait_ns > UINT64_MAX - now ? UINT64_MAX : now + wait_ns;
    return end < session->end_ns ? end : session->end_ns;
}

/* Tries once to take a VM. With `windows` NULL it has the usual ones. */
static udfvm_vm *take_once(const struct session *session, const struct udfvm_windows *windows,
                           uint64_t wait, struct udfvm_error *error)
{
    return windows ? udfvm_pool_take_windows(session->pool, session->image, windows, wait, 0, error)
                   : udfvm_pool_take(session->pool, session->image, wait, error);
}

/* Returns true if the wait for a VM ends without one, and sets the reason. */
static bool wait_is_over(struct session *session, uint64_t left, uint64_t deadline, unsigned held,
                         struct udfvm_error *error)
{
    const struct function_registry *registry = session->function->registry;
    if (left == 0 && deadline == session->end_ns) {
        session->watched = WATCH_STATEMENT_TIMEOUT; /* as if it had passed during a call */
        error->code = UDFVM_E_INTERRUPTED;
        return true;
    }
    if (left > 0 && !connection_interrupted(registry->library, registry->connection))
        return false;
    describe_busy(session->function, held, error);
    return true;
}

/* Gives back the VM of the expression that has had one for longest, since expressions hardly have a
 * state. Returns false if none has one. */
static bool spare_expression(const struct function_registry *registry, const udfvm_pool *pool)
{
    struct session *spared = NULL;
    for (struct session *session = registry->sessions; session; session = session->next_of_registry)
        if (session->vm && session->pool == pool && session->function->expression &&
            !session->streams)
            spared = session;
    if (!spared)
        return false;
    udfvm_pool_give_small(spared->pool, spared->vm);
    spared->vm = NULL;
    return true;
}

/* Returns how many VMs of the pool the connection holds, so that the session can take one where an
 * expression gives its own back. */
static unsigned vms_left(const struct session *session)
{
    const struct function_registry *registry = session->function->registry;
    const unsigned held = vms_held(registry, session->pool), limit = session->function->pool_limit;
    const bool spares = limit && held >= limit && spare_expression(registry, session->pool);
    return spares ? held - 1 : held;
}

udfvm_vm *session_take_vm(struct session *session, uint64_t length, struct udfvm_error *error)
{
    const struct sql_function *function = session->function;
    struct udfvm_windows windows;
    const bool larger = larger_windows(session, length, &windows);
    const unsigned held = vms_left(session);
    /* Statements of one connection run on one thread at a time: waiting for its own VMs would never
     * end. */
    const bool hopeless = function->pool_limit && held >= function->pool_limit;
    const uint64_t began = udfvm_monotonic_ns(),
                   deadline = wait_end(session, began, hopeless ? 0 : function->wait_ns);
    for (uint64_t now = began;; now = udfvm_monotonic_ns()) {
        const uint64_t left = now < deadline ? deadline - now : 0,
                       wait = left < INTERRUPT_CHECK_NS ? left : INTERRUPT_CHECK_NS;
        udfvm_vm *vm = take_once(session, larger ? &windows : NULL, wait, error);
        if (vm)
            udfvm_vm_add_wait(vm, now - began);
        if (vm || error->code != UDFVM_E_BUSY || error->os_errno == EDEADLK)
            return vm;
        if (wait_is_over(session, left, deadline, held, error))
            return NULL;
    }
}

void statement_begin(struct statement *statement, const struct function_registry *registry)
{
    const uint64_t timeout = registry->policy.statement_timeout_ns;
    if (statement->end_ns == 0)
        statement->end_ns = timeout ? udfvm_monotonic_ns() + timeout : UINT64_MAX;
}

struct session *session_create(struct statement *statement, struct sql_function *function)
{
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session->function = function;
    session->row = -1;
    statement_begin(statement, function->registry);
    session->end_ns = statement->end_ns;
    function->references++;
    session->next = statement->sessions;
    statement->sessions = session;
    session->link_of_registry = &function->registry->sessions;
    session->next_of_registry = function->registry->sessions;
    if (session->next_of_registry)
        session->next_of_registry->link_of_registry = &session->next_of_registry;
    function->registry->sessions = session;
    return session;
}

/* Returns the session of a function of the family that takes so many arguments. */
static struct session *find_taking(const struct statement *statement,
                                   const struct sql_function *family, int count)
{
    const uint32_t parameters = parameters_taking(family, count);
    struct session *session = statement->sessions;
    while (session && (session->function->family != family ||
                       session->function->parameter_count != parameters))
        session = session->next;
    return session;
}

struct session *statement_session(struct statement *statement, struct sql_function *function,
                                  int count)
{
    struct session *session = is_variadic(function) ? find_taking(statement, function, count)
                                                    : statement_find(statement, function);
    if (session || !is_variadic(function))
        return session ? session : session_create(statement, function);
    struct sql_function *taking = function_taking(function, count);
    if (!taking)
        return NULL;
    session = session_create(statement, taking);
    function_release(taking);
    return session;
}

bool session_ready(struct session *session, uint64_t length, struct udfvm_error *error)
{
    if (session->vm) {
        const int code = udfvm_vm_check(session->vm, error);
        if (code != UDFVM_OK || !(session->function->flags & UDFVM_SQLITE_WHOLE) ||
            length <= udfvm_vm_input_capacity(session->vm))
            return code == UDFVM_OK;
        udfvm_pool_give(session->pool, session->vm);
        session->vm = NULL;
    }
    *error = (struct udfvm_error){ 0 };
    if (!session->pool) {
        if (!function_renew(session->function, error))
            return false;
        session->pool = udfvm_pool_retain(session->function->pool);
        session->image = udfvm_image_retain(session->function->image);
    }
    session->watched = WATCH_NOTHING;
    session->vm = session_take_vm(session, length, error);
    if (session->vm) {
        udfvm_vm_set_watch(session->vm, watch, session);
        udfvm_vm_set_end(session->vm, session->end_ns == UINT64_MAX ? 0 : session->end_ns);
        udfvm_vm_set_idle_spin(session->vm, session->function->registry->policy.idle_spin_us);
    }
    return session->vm != NULL;
}
