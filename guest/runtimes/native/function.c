/* Functions that udfvm.h describes: see function.h. */
#include "native/function.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native/context_switch.h"
#include "native/group_function.h"
#include "native/nested_value.h"
#include "native/results.h"
#include "native/table_function.h"
#include "native/vector_function.h"
#include "shared/compiled/failure.h"
#include "shared/compiled/rows.h"

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

int64_t function_takes(const struct described_function *described, const struct column *columns,
                       int64_t first, int64_t end, const uint8_t *valid, size_t *parameter)
{
    const struct udfvm_function *function = described->function;
    const char *field = NULL;
    int64_t taken = end;
    for (size_t i = 0; i < function->count; i++) {
        if (!storage_is_nested(columns[i].storage))
            continue;
        const int64_t wrong = nested_wrong_null(function->parameters[i].type, &columns[i], first,
                                                taken, valid, &field);
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

void function_inputs(const struct udfvm_function *function, const struct column *columns,
                     struct nested_input nested[], struct udfvm_input native[])
{
    for (size_t i = 0; i < function->count; i++) {
        nested[i] = (struct nested_input){ function->parameters[i].type, &columns[i],
                                           function->state };
        native[i] = (struct udfvm_input){ columns[i].validity, columns[i].data, columns[i].offsets,
                                          &nested[i] };
    }
}

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
    function_inputs(function, columns, nested, native);
    struct scalar_call call = { function, native, output, rows, -1 };
    if (described->is_nested) {
        call.rows = function_takes(described, columns, 0, rows, output->validity, &wrong);
        if (exchange_call()->flags & UDFVM_CALL_DETERMINISTIC) {
            output->begin_row = row_begin;
            output->skips = true;
        }
    }
    function_begin(function->state);
    context_call(call_scalar, &call);
    if (!function_failed(function->state) && call.done == call.rows && call.rows < rows) {
        function_takes(described, columns, 0, rows, output->validity, &wrong);
        failure_of_argument(wrong + 1);
    }
    return call.done;
}

static int64_t run_scalar(void *context, const struct column *columns, struct block *block,
                          int64_t rows, bool skips)
{
    struct results results = { .described = context, .block = block };
    struct udfvm_output output = results_output(&results);
    output.skips = skips;
    return run_rows(context, columns, &output, rows);
}

static int64_t run_scalar_nested(void *context, const struct column *columns, int64_t rows,
                                 const uint8_t *valid, struct column *result)
{
    struct described_function *described = context;
    struct results results = { .described = described };
    struct udfvm_output output = results_output(&results);
    output.validity = (uint8_t *)(uintptr_t)valid; /* which is only read, for lists and structs */
    output.skips = true;
    const int64_t done = run_rows(described, columns, &output, rows);
    *result = results_column(&results);
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
        !function->state || !function->result ||
        (function->scalar != NULL) + (function->vector != NULL) + (function->groups != NULL) +
                (function->table != NULL) !=
            1)
        return failure_set("ImportError",
                           "the object was built with another version of udfvm.h: build it again");
    if (function->groups && !group_function_fits(function->groups))
        return false;
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
    }
    program->context = described;
    program->by_row = function->scalar != NULL;
    program->whole = function->vector != NULL;
    if (function->groups)
        group_function_prepare(program, function->groups);
    else if (function->table)
        table_function_prepare(program, described);
    else if (found->result.type)
        program->run_nested = function->scalar ? run_scalar_nested : vector_run_nested;
    else
        program->run = function->scalar ? run_scalar : vector_run;
    return true;
}
