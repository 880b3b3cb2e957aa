/* See table_function.h.
 *
 * A body passes its rows to emit(). When there are as many as the host asked for, emit() itself
 * answers the host's request, and returns when the host asks for more. So the body runs only as far
 * as rows are asked for, on the stack that all functions have. A body that answered a request never
 * returns to what called it: that was the answer to an earlier request. It jumps to the loop that
 * answers requests (program_answer()).
 */
#include "native/table_function.h"

#include <stdlib.h>
#include <string.h>

#include "native/context_switch.h"
#include "native/nested_value.h"
#include "native/services.h"
#include "shared/compiled/failure.h"
#include "shared/compiled/made_rows.h"
#include "shared/compiled/rows.h"

/* Keeps the compiler from using the thread pointer before it is the runtime's. */
#define NOT_INLINE __attribute__((noinline))

struct table_run {
    struct made_rows rows;
    const struct described_function *described;
    struct nested_input nested[UDFVM_MAX_PARAMETERS];
    struct udfvm_input native[UDFVM_MAX_PARAMETERS];
    size_t wrong_argument; /* the failure is that of an argument, counted from 1; 0: the body's */
};

static struct table_run *current; /* the only one: a micro-VM has one function */

/* ---- What the body calls ---- */

/* Leaves the body: at once, or, where that unwinds, by returning false to it. */
static bool leave(struct table_run *run, bool continues)
{
    if (run->described->function->table->unwinds)
        return false;
    run->rows.yielded = false;
    program_answer(continues);
}

NOT_INLINE static bool emit(const void *row)
{
    struct table_run *run = current;
    struct made_rows *rows = &run->rows;
    struct udfvm_state *state = run->described->function->state;
    if (rows->left)
        return false;
    if (!(state->marks & UDFVM_FAILED) &&
        !nested_append(run->described->function->result, row, &rows->made)) {
        snprintf(state->message, sizeof state->message, "%s", failure_message());
        state->type[0] = 0;
        state->marks |= UDFVM_FAILED;
    }
    if (state->marks & UDFVM_FAILED) {
        rows->failed = rows->continues = true;
        return leave(run, true);
    }
    return made_rows_add(rows) || leave(run, false);
}

static bool emit_for_program(const void *row)
{
    const uint64_t thread = context_enter();
    const bool wanted = emit(row);
    context_leave(thread);
    return wanted;
}

/* ---- Running bodies ---- */

static void call_rows(void *argument)
{
    const struct table_run *run = argument;
    run->described->function->table->rows(run->native, run->rows.source);
}

static bool fails_by_argument(const struct table_run *run, size_t *wrong)
{
    struct column columns[UDFVM_MAX_PARAMETERS];
    for (size_t i = 0; i < run->rows.count; i++)
        columns[i] = run->rows.arguments[i].column;
    return function_takes(run->described, columns, run->rows.source, run->rows.source + 1, NULL,
                          wrong) == run->rows.source;
}

static bool run_body(void *context, const struct column *columns, int64_t source)
{
    struct table_run *run = context;
    struct udfvm_state *state = run->described->function->state;
    size_t wrong;
    (void)columns, (void)source; /* the body reads its inputs, for the source of the rows */
    if (fails_by_argument(run, &wrong)) {
        run->wrong_argument = wrong + 1;
        return false;
    }
    if (exchange_call()->flags & UDFVM_CALL_DETERMINISTIC)
        row_begin();
    function_begin(state);
    context_call(call_rows, run);
    services_free_all();
    return !(state->marks & UDFVM_FAILED);
}

/* ---- What answers requests ---- */

static bool begin(void *context, const struct column *columns, int64_t rows, int64_t *row)
{
    struct made_rows *made = context;
    struct table_run *run = made->context;
    struct column copied[UDFVM_MAX_PARAMETERS];
    if (!made_rows_operations.begin(made, columns, rows, row))
        return false;
    run->wrong_argument = 0;
    for (size_t i = 0; i < made->count; i++)
        copied[i] = made->arguments[i].column;
    function_inputs(run->described->function, copied, run->nested, run->native);
    for (size_t i = 0; i < made->count; i++)
        run->nested[i].column = &made->arguments[i].column;
    return true;
}

/* Tells why the row has failed: it may have been an earlier request that it failed in. */
static bool fail(struct table_run *run)
{
    size_t wrong;
    if (run->wrong_argument) {
        fails_by_argument(run, &wrong);
        return failure_of_argument(run->wrong_argument);
    }
    return !function_failed(run->described->function->state);
}

static bool rows(void *context, int64_t limit, struct table_rows *rows, int64_t *row)
{
    struct made_rows *made = context;
    return made_rows_operations.rows(made, limit, rows, row) || fail(made->context);
}

static void took(void *context, int64_t count)
{
    made_rows_operations.took(context, count);
}

/* ---- Preparation ---- */

void table_function_prepare(struct program *program, const struct described_function *described)
{
    static const struct table_function operations = { begin, rows, took };
    const struct udfvm_function *function = described->function;
    struct table_run *run = calloc(1, sizeof *run);
    if (!run)
        abort();
    run->described = described;
    run->rows.call = run_body;
    run->rows.context = run;
    for (size_t i = 0; i < function->count; i++) {
        const struct udfvm_type *type = function->parameters[i].type;
        made_rows_prepare_argument(&run->rows, nested_type(type, "a parameter"),
                                   type->storage & UDFVM_OPTIONAL);
    }
    made_rows_prepare_result(&run->rows, nested_type(function->result, "the row"));
    function->state->emit = context_has_program() ? emit_for_program : emit;
    program->table = &operations;
    program->context = &run->rows;
    current = run;
}
