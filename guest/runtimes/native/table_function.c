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
#include "shared/compiled/rows.h"

#define MAX_CHUNK_BYTES                                                      \
    (4u << 20) /* of the rows gathered for a reply, without the last of them \
                */

/* Keeps the compiler from using the thread pointer before it is the runtime's. */
#define NOT_INLINE __attribute__((noinline))

struct parameter { /* the arguments of all rows, copied: bodies outlive requests */
    struct builder builder;
    struct column column;
};

struct table_run {
    const struct described_function *described;
    struct parameter parameters[UDFVM_MAX_PARAMETERS];
    struct nested_input nested[UDFVM_MAX_PARAMETERS];
    struct udfvm_input native[UDFVM_MAX_PARAMETERS];
    int64_t sources, source; /* rows of arguments; the one that the body runs for */
    struct builder made;     /* the rows, and in `index` the source of each */
    struct builder index;    /* a row that failed has none */
    struct column value;     /* those of `made` */
    bool has_variable;       /* rows have no fixed size */
    int64_t taken, limit;    /* rows that the host has; rows that it asked for */
    bool yielded;            /* the body has answered a request */
    bool continues;          /* more rows may join those that wait */
    bool left;               /* no rows are wanted from the body, which is being left */
    bool failed;             /* the failure follows the rows */
    size_t wrong_argument;   /* it is that of an argument, counted from 1; 0: the body's */
};

static struct table_run *current; /* the only one: a micro-VM has one function */

static const struct type index_type = { .storage = STORAGE_INT32 };

static int64_t waiting(const struct table_run *run)
{
    return run->index.rows - run->taken;
}

static size_t bytes_of(const struct builder *builder)
{
    size_t bytes = builder->data.length + builder->offsets.length;
    for (size_t i = 0; i < builder->type->count; i++)
        bytes += bytes_of(&builder->children[i]);
    return bytes;
}

static bool is_full(const struct table_run *run)
{
    return waiting(run) >= run->limit ||
           (run->has_variable && bytes_of(&run->made) >= MAX_CHUNK_BYTES);
}

static void forget_rows(struct table_run *run)
{
    builder_clear(&run->made);
    builder_clear(&run->index);
    run->taken = 0;
}

/* ---- What the body calls ---- */

/* Leaves the body: at once, or, where that unwinds, by returning false to it. */
static bool leave(struct table_run *run, bool continues)
{
    run->left = true;
    if (run->described->function->table->unwinds)
        return false;
    run->yielded = false;
    program_answer(continues);
}

/* Answers with the rows that wait, until more are wanted. */
static bool yield(struct table_run *run)
{
    while (waiting(run) > 0) {
        run->yielded = true;
        run->limit = program_yield();
        if (run->limit <= 0)
            return false;
    }
    forget_rows(run);
    return true;
}

NOT_INLINE static bool emit(const void *row)
{
    struct table_run *run = current;
    struct udfvm_state *state = run->described->function->state;
    if (run->left)
        return false;
    if (!(state->marks & UDFVM_FAILED) &&
        !nested_append(run->described->function->result, row, &run->made)) {
        snprintf(state->message, sizeof state->message, "%s", failure_message());
        state->type[0] = 0;
        state->marks |= UDFVM_FAILED;
    }
    if (state->marks & UDFVM_FAILED) {
        run->failed = run->continues = true;
        return leave(run, true);
    }
    builder_number(&run->index, &(int32_t){ (int32_t)run->source });
    if (is_full(run) && !yield(run))
        return leave(run, false);
    return true;
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
    run->described->function->table->rows(run->native, run->source);
}

static bool takes_source(struct table_run *run)
{
    const struct udfvm_function *function = run->described->function;
    for (size_t i = 0; i < function->count; i++)
        if (!(function->parameters[i].type->storage & UDFVM_OPTIONAL) &&
            column_is_null(&run->parameters[i].column, run->source))
            return false;
    return true;
}

static bool fails_by_argument(struct table_run *run, size_t *wrong)
{
    struct column columns[UDFVM_MAX_PARAMETERS];
    for (size_t i = 0; i < run->described->function->count; i++)
        columns[i] = run->parameters[i].column;
    return function_takes(run->described, columns, run->source, run->source + 1, NULL, wrong) ==
           run->source;
}

static void run_body(struct table_run *run)
{
    struct udfvm_state *state = run->described->function->state;
    size_t wrong;
    if (fails_by_argument(run, &wrong)) {
        run->failed = true;
        run->wrong_argument = wrong + 1;
        return;
    }
    if (exchange_call()->flags & UDFVM_CALL_DETERMINISTIC)
        row_begin();
    function_begin(state);
    run->left = run->yielded = false;
    context_call(call_rows, run);
    const bool yielded = run->yielded, other = run->left && !run->failed;
    run->yielded = false;
    run->failed = state->marks & UDFVM_FAILED;
    services_free_all();
    if (yielded) {
        run->source += !run->failed;
        run->continues = !other;
        program_answer(!other);
    }
}

/* Makes rows until there are enough, or the end. */
static void gather(struct table_run *run)
{
    run->continues = false;
    if (waiting(run) == 0)
        forget_rows(run);
    while (!run->failed && run->source < run->sources && !is_full(run)) {
        if (takes_source(run))
            run_body(run);
        run->source += !run->failed;
    }
}

/* ---- What answers requests ---- */

static bool begin(void *context, const struct column *columns, int64_t rows, int64_t *row)
{
    struct table_run *run = context;
    const struct udfvm_function *function = run->described->function;
    struct column copied[UDFVM_MAX_PARAMETERS];
    *row = -1;
    for (size_t i = 0; i < function->count; i++) {
        struct parameter *parameter = &run->parameters[i];
        builder_clear(&parameter->builder);
        for (int64_t each = 0; each < rows; each++)
            if (!builder_append(&parameter->builder, &columns[i], each))
                return failure_set("OverflowError", "the arguments are too large for a column");
        builder_column(&parameter->builder, &parameter->column);
        copied[i] = parameter->column;
    }
    forget_rows(run);
    run->sources = rows;
    run->source = 0;
    run->failed = run->continues = false;
    run->wrong_argument = 0;
    function_inputs(function, copied, run->nested, run->native);
    for (size_t i = 0; i < function->count; i++)
        run->nested[i].column = &run->parameters[i].column;
    return true;
}

static bool fail(struct table_run *run, int64_t *row)
{
    size_t wrong;
    *row = run->source;
    if (run->wrong_argument) {
        fails_by_argument(run, &wrong);
        return failure_of_argument(run->wrong_argument);
    }
    return !function_failed(run->described->function->state);
}

static bool rows(void *context, int64_t limit, struct table_rows *rows, int64_t *row)
{
    struct table_run *run = context;
    run->limit = limit;
    if (waiting(run) == 0 || run->continues)
        gather(run);
    if (waiting(run) == 0 && run->failed)
        return fail(run, row);
    struct column index = { .storage = STORAGE_INT32 };
    builder_column(&run->index, &index);
    builder_column(&run->made, &run->value);
    *rows = (struct table_rows){ index, run->value, run->taken, waiting(run) };
    return true;
}

static void took(void *context, int64_t count)
{
    ((struct table_run *)context)->taken += count;
}

/* ---- Preparation ---- */

static bool has_variable_size(const struct type *type)
{
    bool variable = storage_is_variable(type->storage) || type->storage == STORAGE_LIST;
    for (size_t i = 0; i < type->count; i++)
        variable |= has_variable_size(&type->children[i]);
    return variable;
}

void table_function_prepare(struct program *program, const struct described_function *described)
{
    static const struct table_function operations = { begin, rows, took };
    const struct udfvm_function *function = described->function;
    struct table_run *run = calloc(1, sizeof *run);
    if (!run)
        abort();
    run->described = described;
    for (size_t i = 0; i < function->count; i++) {
        const struct type *type = nested_type(function->parameters[i].type, "a parameter");
        run->parameters[i] = (struct parameter){ builder_new(type), type_column(type) };
    }
    const struct type *type = nested_type(function->result, "the row");
    run->made = builder_new(type);
    run->value = type_column(type);
    run->has_variable = has_variable_size(type);
    run->index = builder_new(&index_type);
    function->state->emit = context_has_program() ? emit_for_program : emit;
    program->table = &operations;
    program->context = run;
    current = run;
}
