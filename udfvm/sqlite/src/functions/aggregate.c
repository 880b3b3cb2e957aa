/* Aggregates and window functions: vm_agg, which finds a UDF by name, and a UDF's own function.
 *
 * All groups of one execution of a statement live in one micro-VM, each under a number. Rows of all
 * groups wait in the session's batch until there are many, or until SQLite wants the value of a
 * group. SQLite keeps a group in its aggregate context.
 */
#include "functions/aggregate.h"

#include "connection/try.h"
#include "sql/resolve.h"
#include "statement/exchange.h"
#include "statement/report.h"
#include "statement/row.h"
#include "wire/view.h"

#include <stdlib.h>

#define BATCH_ROWS     16384u
#define BATCH_BYTES    (4u << 20)
#define FIRST_ARGUMENT 2    /* the columns group and inverse precede it */
#define MAX_KEPT_VALUE 256u /* bytes of a reply */

/* SQLite frees it without a word, so it owns nothing. */
struct aggregate_group {
    struct session *session; /* NULL until the first row */
    uint64_t number;
    size_t kept;                   /* bytes of `value`; 0: none, or rows came since */
    uint8_t value[MAX_KEPT_VALUE]; /* the last reply: it serves every row of a whole partition */
};

static int fail(sqlite_library *library, sqlite3_context *context, int code, char *text)
{
    sqlite_library *sqlite3_api = library;
    if (code == SQLITE_INTERRUPT)
        sqlite3_result_error_code(context, SQLITE_INTERRUPT); /* SQLite sets the text */
    else
        fail_with(library, context, text);
    return code;
}

static struct batch *batch_of(struct session *session)
{
    if (session->batch)
        return session->batch;
    const struct sql_function *function = session->function;
    session->batch_rows = calloc(BATCH_ROWS, sizeof *session->batch_rows);
    session->batch = session->batch_rows ? batch_create(FIRST_ARGUMENT + function->parameter_count)
                                         : NULL;
    if (!session->batch) {
        free(session->batch_rows);
        session->batch_rows = NULL;
        return NULL;
    }
    session->batch->columns[0].type = UDFVM_TYPE_INT64;
    session->batch->columns[1].type = UDFVM_TYPE_BOOL;
    for (uint32_t i = 0; i < function->parameter_count; i++)
        session->batch->columns[FIRST_ARGUMENT + i].type = function->parameters[i].type;
    return session->batch;
}

/* Sends the waiting rows, and asks for an answer about a group. */
static int send(struct session *session, uint64_t group, uint32_t answer, struct udfvm_reply *reply,
                char **error)
{
    const struct udfvm_aggregate head = { .group = group, .answer = answer };
    struct batch_exchange exchange = { .request = UDFVM_REQUEST_AGGREGATE,
                                       .batch = batch_of(session),
                                       .streaming = true };
    _Static_assert(sizeof head == sizeof exchange.head, "the head of the request");
    if (!exchange.batch)
        return SQLITE_NOMEM;
    exchange.rows = exchange.batch->rows;
    exchange.rows_of = session->batch_rows;
    __builtin_memcpy(exchange.head, &head, sizeof head);
    int code = session_exchange(session, &exchange, reply, error);
    batch_clear(session->batch);
    return code;
}

/* ---- Rows ---- */

static struct sql_function *function_of(sqlite_library *library, sqlite3_context *context,
                                        int count, sqlite3_value **arguments)
{
    sqlite_library *sqlite3_api = library;
    struct function_registry *registry = sqlite3_user_data(context);
    if (count == 0 || sqlite3_value_type(arguments[0]) != SQLITE_TEXT) {
        sqlite3_result_error(
            context, "vm_agg: the first argument must be the name of an aggregate, as TEXT", -1);
        return NULL;
    }
    const char *name = (const char *)sqlite3_value_text(arguments[0]);
    if (!name) {
        sqlite3_result_error_nomem(context);
        return NULL;
    }
    char *wrong;
    struct sql_function *function = resolve(
        registry, statement_of(library, context, NULL), "vm_agg", name,
        (size_t)sqlite3_value_bytes(arguments[0]), FORM(UDFVM_SQLITE_AGGREGATE), &wrong);
    if (!function)
        fail_to_resolve(registry, context, wrong);
    else if (!takes_count(function, count - 1))
        fail_with(library, context, describe_count(function, count - 1));
    else
        return function;
    return NULL;
}

static struct session *session_of(sqlite_library *library, sqlite3_context *context,
                                  struct sql_function *function)
{
    struct statement *statement = statement_of(library, context, NULL);
    struct session *session = statement ? statement_find(statement, function) : NULL;
    return session || !statement ? session : session_create(statement, function);
}

static int put_row(struct session *session, uint64_t group, bool inverse, sqlite3_value **arguments,
                   char **error)
{
    struct batch *batch = batch_of(session);
    SQL_TRY_MEMORY(batch && batch_put_integer(batch, 0, (int64_t)group));
    SQL_TRY_MEMORY(inverse ? batch_put_integer(batch, 1, 1) : batch_put_null(batch, 1));
    SQL_TRY(batch_put_row(session, batch, FIRST_ARGUMENT, arguments, error));
    session->batch_rows[batch->rows] = session->row;
    batch_end_row(batch);
    return SQLITE_OK;
}

static int take_row(struct session *session, uint64_t group, bool inverse,
                    sqlite3_value **arguments, char **error)
{
    struct udfvm_reply reply;
    int64_t integers[MAX_PARAMETERS];
    session->row = inverse ? -1 : session->rows_seen++;
    enum row_check check = row_check(session, arguments, integers, error);
    if (check == ROW_NULL)
        return SQLITE_OK; /* as SQLite's own aggregates do */
    if (check == ROW_BAD)
        return SQLITE_ERROR;
    SQL_TRY(put_row(session, group, inverse, arguments, error));
    return session->batch->rows >= BATCH_ROWS || session->batch->bytes >= BATCH_BYTES
               ? send(session, group, UDFVM_ANSWER_NONE, &reply, error)
               : SQLITE_OK;
}

void aggregate_step(sqlite_library *library, sqlite3_context *context, int count,
                    sqlite3_value **arguments, bool by_name, bool inverse)
{
    sqlite_library *sqlite3_api = library;
    struct aggregate_group *group = sqlite3_aggregate_context(context, sizeof *group);
    if (!group) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (!group->session) {
        struct sql_function *function = by_name ? function_of(library, context, count, arguments)
                                                : sqlite3_user_data(context);
        if (!function)
            return;
        group->session = session_of(library, context, function);
        if (!group->session) {
            sqlite3_result_error_nomem(context);
            return;
        }
        group->number = group->session->groups++;
    }
    struct session *session = group->session;
    group->kept = 0;
    if (session->failed) {
        sqlite3_result_error(context, "the aggregate has failed already in this statement", -1);
        return;
    }
    if (inverse && !(session->function->flags & UDFVM_SQLITE_INVERSE)) {
        session->row = -1;
        fail(library, context, SQLITE_ERROR,
             describe(session, UDFVM_SQLITE_SIGNATURE,
                      "has no inverse(), so it cannot serve a window that moves: define inverse(), "
                      "or let "
                      "the window begin at UNBOUNDED PRECEDING"));
        session->failed = true;
        return;
    }
    char *error = NULL;
    sqlite3_value *completed[MAX_PARAMETERS],
        **whole = with_defaults(session->function, count - by_name, arguments + by_name, completed);
    int code = take_row(session, group->number, inverse, whole, &error);
    if (code != SQLITE_OK) {
        session->failed = true;
        fail(library, context, code, error);
    }
}

/* ---- Values ---- */

static void give_reply(struct session *session, sqlite3_context *context,
                       const struct udfvm_reply *reply)
{
    const struct sql_function *function = session->function;
    sqlite_library *library = function->registry->library, *sqlite3_api = library;
    struct column_view view;
    session->row = -1;
    const char *wrong = view_open(&view, reply, &function->result_type, 1, 1);
    if (!wrong && view.rows != 1)
        wrong = "no value";
    if (!wrong)
        wrong = view_result(&view, 0, 0, &function->result_times, library, context);
    if (!wrong && function->flags & UDFVM_SQLITE_JSON_RESULT)
        sqlite3_result_subtype(context, JSON_SUBTYPE);
    view_close(&view);
    if (wrong) {
        session->failed = true;
        fail(library, context, SQLITE_ERROR, describe_bad_reply(session, wrong));
    }
}

static bool ask_value(struct session *session, sqlite3_context *context, uint64_t group,
                      uint32_t answer, struct udfvm_reply *reply)
{
    char *error = NULL;
    const int code = send(session, group, answer, reply, &error);
    if (code != SQLITE_OK)
        fail(session->function->registry->library, context, code, error);
    return code == SQLITE_OK;
}

static void keep_value(struct aggregate_group *group, const struct udfvm_reply *reply)
{
    group->kept = reply->length <= sizeof group->value ? (size_t)reply->length : 0;
    if (group->kept)
        __builtin_memcpy(group->value, reply->data, group->kept);
}

/* The value of a group whose statement goes on. */
static void give_value(struct aggregate_group *group, sqlite3_context *context)
{
    struct udfvm_reply reply = { .data = group->value, .length = group->kept };
    if (!group->kept) {
        if (!ask_value(group->session, context, group->number, UDFVM_ANSWER_VALUE, &reply))
            return;
        keep_value(group, &reply);
    }
    give_reply(group->session, context, &reply);
}

static void give_last_value(struct session *session, sqlite3_context *context, uint64_t group)
{
    struct udfvm_reply reply;
    if (ask_value(session, context, group, UDFVM_ANSWER_FINISH, &reply))
        give_reply(session, context, &reply);
}

/* A group without rows has no statement data that could hold its micro-VM. */
static void give_value_of_nothing(sqlite_library *library, sqlite3_context *context,
                                  struct sql_function *function)
{
    sqlite_library *sqlite3_api = library;
    struct statement alone = { .library = library };
    struct session *session = session_create(&alone, function);
    if (session)
        give_last_value(session, context, 0);
    else
        sqlite3_result_error_nomem(context);
    statement_clear(&alone);
}

void aggregate_value(sqlite_library *library, sqlite3_context *context, bool by_name, bool final)
{
    sqlite_library *sqlite3_api = library;
    struct aggregate_group *group = sqlite3_aggregate_context(context, 0);
    if (group && group->session) {
        if (group->session->failed)
            return;
        if (final)
            give_last_value(group->session, context, group->number);
        else
            give_value(group, context);
    } else if (by_name) {
        sqlite3_result_null(context); /* no row has named the UDF */
    } else {
        give_value_of_nothing(library, context, sqlite3_user_data(context));
    }
}
