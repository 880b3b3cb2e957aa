/* Functions that udfvm.h describes: see function.h. */
#include "native/function.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native/context_switch.h"
#include "native/nested_value.h"
#include "native/services.h"
#include "native/vector_function.h"
#include "shared/compiled/failure.h"
#include "shared/compiled/rows.h"
#include "utf8.h"

/* Keeps the compiler from using the thread pointer before it is the runtime's. */
#define NOT_INLINE __attribute__((noinline))

/* ---- Failures ---- */

bool function_failed(const struct udfvm_state *state)
{
    if (state->marks & UDFVM_FAILED)
        failure_set(state->type[0] ? state->type : "RuntimeError", "%s", state->message);
    return state->marks & UDFVM_FAILED;
}

void function_begin(struct udfvm_state *state)
{
    services_free_all();
    state->marks = 0;
}

static void fail(struct udfvm_state *state, const char *message)
{
    snprintf(state->message, sizeof state->message, "%s", message);
    state->type[0] = 0;
    state->marks |= UDFVM_FAILED;
}

int64_t function_takes(const struct described_function *described, const struct column *columns,
                       int64_t rows, const uint8_t *valid, size_t *parameter)
{
    const struct udfvm_function *function = described->function;
    const char *field = NULL;
    int64_t taken = rows;
    for (size_t i = 0; i < function->count; i++) {
        if (!storage_is_nested(columns[i].storage))
            continue;
        const int64_t wrong = nested_wrong_null(function->parameters[i].type, &columns[i], taken,
                                                valid, &field);
        if (wrong < taken) {
            taken = wrong;
            *parameter = i;
            failure_set("TypeError", "is not valid: %s is null, and its type is not optional",
                        field);
        }
    }
    return taken;
}

/* ---- Scalar functions ---- */

struct rows {
    struct described_function *described;
    struct block *block; /* NULL for lists and structs */
    int64_t next;
};

NOT_INLINE static bool append(void *context, const char *bytes, size_t length)
{
    struct rows *rows = context;
    struct udfvm_state *state = rows->described->function->state;
    const bool text = rows->block->storage == STORAGE_TEXT32;
    if (length > 0 && !bytes) {
        fail(state, "the function returned a text or blob without data");
        return true;
    }
    if (text && !utf8_is_valid(bytes, length)) {
        fail(state, "the function returned text that is not valid UTF-8");
        return true;
    }
    return block_put(rows->block, rows->next++,
                     &(struct scalar){ .bytes = bytes, .length = length });
}

NOT_INLINE static void append_value(void *context, const void *value)
{
    struct described_function *described = ((struct rows *)context)->described;
    if (!value)
        builder_null(&described->builder);
    else if (!(described->function->state->marks & UDFVM_FAILED) &&
             !nested_append(described->function->result, value, &described->builder))
        fail(described->function->state, failure_message());
}

/* ---- The same for programs, which call it with a thread pointer of their own ---- */

static bool append_for_program(void *context, const char *bytes, size_t length)
{
    const uint64_t thread = context_enter();
    const bool taken = append(context, bytes, length);
    context_leave(thread);
    return taken;
}

static void append_value_for_program(void *context, const void *value)
{
    const uint64_t thread = context_enter();
    append_value(context, value);
    context_leave(thread);
}

/* ---- Running them ---- */

struct scalar_call {
    const struct udfvm_function *function;
    const struct udfvm_input *columns;
    const struct udfvm_output *output;
    int64_t rows, done;
};

static void call_scalar(void *argument)
{
    struct scalar_call *call = argument;
    call->done = call->function->scalar(call->columns, call->output, call->rows);
}

/* Runs rows up to one that the function does not take. */
static int64_t run_rows(struct described_function *described, const struct column *columns,
                        struct udfvm_output *output, int64_t rows)
{
    const struct udfvm_function *function = described->function;
    struct nested_input nested[UDFVM_MAX_PARAMETERS];
    struct udfvm_input native[UDFVM_MAX_PARAMETERS];
    size_t wrong = 0;
    for (size_t i = 0; i < function->count; i++) {
        nested[i] = (struct nested_input){ function->parameters[i].type, &columns[i],
                                           function->state };
        native[i] = (struct udfvm_input){ columns[i].validity, columns[i].data, columns[i].offsets,
                                          &nested[i] };
    }
    struct scalar_call call = { function, native, output, 0, -1 };
    call.rows = function_takes(described, columns, rows, output->validity, &wrong);
    if (described->is_nested && (exchange_call()->flags & UDFVM_CALL_DETERMINISTIC)) {
        output->begin_row = row_begin;
        output->skips = true;
    }
    function_begin(function->state);
    context_call(call_scalar, &call);
    if (!function_failed(function->state) && call.done == call.rows && call.rows < rows) {
        function_takes(described, columns, rows, output->validity, &wrong);
        failure_of_argument(wrong + 1);
    }
    return call.done;
}

static int64_t run_scalar(void *context, const struct column *columns, struct block *block,
                          int64_t rows, bool skips)
{
    struct rows appended = { .described = context, .block = block };
    struct udfvm_output output = {
        .validity = block->output + block->validity,
        .data = block->output + block->data,
        .skips = skips,
        .append = context_has_program() ? append_for_program : append,
        .context = &appended,
    };
    return run_rows(context, columns, &output, rows);
}

static int64_t run_scalar_nested(void *context, const struct column *columns, int64_t rows,
                                 const uint8_t *valid, struct column *result)
{
    struct described_function *described = context;
    struct rows appended = { .described = described };
    struct udfvm_output output = {
        .validity = (uint8_t *)(uintptr_t)valid, /* which is only read, for lists and structs */
        .skips = true,
        .append_value = context_has_program() ? append_value_for_program : append_value,
        .context = &appended,
    };
    builder_clear(&described->builder);
    const int64_t done = run_rows(described, columns, &output, rows);
    builder_column(&described->builder, &described->column);
    *result = described->column;
    return done;
}

/* ---- Descriptions ---- */

static bool take_type(const struct udfvm_type *type, const char *name, struct slot *slot)
{
    snprintf(slot->name, sizeof slot->name, "%s", name);
    slot->storage = (enum storage)(type->storage & 0xff);
    slot->nullable = type->storage & UDFVM_OPTIONAL;
    slot->type = nested_type(type, name);
    if (slot->type && !storage_is_nested(slot->storage)) {
        type_delete((struct type *)slot->type);
        slot->type = NULL;
        return true;
    }
    return slot->type != NULL;
}

bool function_signature(const struct udfvm_function *function, struct signature *found)
{
    memset(found, 0, sizeof *found);
    if (function->version != UDFVM_NATIVE_VERSION || function->count > UDFVM_MAX_PARAMETERS ||
        !function->state || !function->scalar == !function->vector || !function->result)
        return failure_set("ImportError",
                           "the object was built with another version of udfvm.h: build it again");
    found->count = function->count;
    if (!take_type(function->result, "result", &found->result))
        return false;
    for (size_t i = 0; i < found->count; i++)
        if (!take_type(function->parameters[i].type, function->parameters[i].name,
                       &found->parameters[i]))
            return false;
    return true;
}

static bool has_nested(const struct signature *signature)
{
    bool nested = signature->result.type != NULL;
    for (size_t i = 0; i < signature->count; i++)
        nested |= signature->parameters[i].type != NULL;
    return nested;
}

bool function_prepare(struct program *program, const struct udfvm_function *function,
                      struct signature *found)
{
    if (!function_signature(function, found))
        return false;
    struct described_function *described = calloc(1, sizeof *described);
    if (!described)
        abort();
    described->function = function;
    described->is_nested = has_nested(found);
    services_offer(function->state);
    if (found->result.type) {
        described->builder = builder_new(found->result.type);
        described->column = type_column(found->result.type);
        program->run_nested = function->scalar ? run_scalar_nested : vector_run_nested;
    } else {
        program->run = function->scalar ? run_scalar : vector_run;
    }
    program->by_row = function->scalar != NULL;
    program->whole = function->vector != NULL;
    program->context = described;
    return true;
}
