/* Functions that udfvm.h describes: see function.h. */
#include "native/function.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native/context_switch.h"
#include "shared/compiled/failure.h"
#include "shared/host_call.h"
#include "utf8.h"

/* Keeps the compiler from using the thread pointer before it is the runtime's. */
#define NOT_INLINE __attribute__((noinline))

/* ---- Memory for results, until the caller has taken them ---- */

struct allocation {
    struct allocation *next;
    char bytes[];
};

static struct allocation *allocations;

NOT_INLINE static void *allocate(size_t size)
{
    struct allocation *made = size < SIZE_MAX / 2 ? malloc(sizeof *made + size) : NULL;
    if (!made)
        abort();
    made->next = allocations;
    allocations = made;
    return made->bytes;
}

static void free_allocations(void)
{
    while (allocations) {
        struct allocation *next = allocations->next;
        free(allocations);
        allocations = next;
    }
}

/* ---- Host functions ---- */

static size_t row_size(const struct udfvm_any *arguments, size_t count)
{
    size_t size = sizeof(struct udfvm_row) + count * sizeof(struct udfvm_value);
    for (size_t i = 0; i < count; i++)
        size += arguments[i].type == UDFVM_TYPE_TEXT || arguments[i].type == UDFVM_TYPE_BLOB
                    ? arguments[i].bytes.length
                    : 0;
    return size;
}

static void put_row(uint8_t *row, const struct udfvm_any *arguments, size_t count)
{
    struct udfvm_value *values = (struct udfvm_value *)(row + sizeof(struct udfvm_row));
    uint64_t end = sizeof(struct udfvm_row) + count * sizeof *values;
    *(struct udfvm_row *)row = (struct udfvm_row){ .count = (uint32_t)count };
    for (size_t i = 0; i < count; i++) {
        const struct udfvm_any *argument = &arguments[i];
        values[i] = (struct udfvm_value){ .type = argument->type, .integer = argument->integer };
        if (argument->type == UDFVM_TYPE_FLOAT64)
            values[i].real = argument->real;
        if (argument->type != UDFVM_TYPE_TEXT && argument->type != UDFVM_TYPE_BLOB)
            continue;
        values[i].offset = end;
        values[i].length = (uint32_t)argument->bytes.length;
        if (argument->bytes.length)
            memcpy(row + end, argument->bytes.data, argument->bytes.length);
        end += argument->bytes.length;
    }
}

NOT_INLINE static const char *call_host(const char *name, const struct udfvm_any *arguments,
                                        size_t count, struct udfvm_any *result)
{
    const size_t size = row_size(arguments, count);
    uint8_t *row = allocate(size), *reply = allocate(MAX_HOST_REPLY);
    put_row(row, arguments, count);
    const int64_t got = host_call(name, strlen(name), row, size, reply);
    if (got < 0)
        return host_call_error(got);
    const struct udfvm_value *value = (const struct udfvm_value *)reply;
    *result = (struct udfvm_any){ .type = value->type };
    if (value->type == UDFVM_TYPE_TEXT || value->type == UDFVM_TYPE_BLOB)
        result->bytes = (struct udfvm_bytes){ (const char *)reply + value->offset, value->length };
    else if (value->type == UDFVM_TYPE_FLOAT64)
        result->real = value->real;
    else
        result->integer = value->integer;
    return NULL;
}

/* ---- Scalar functions ---- */

struct rows {
    struct block *block;
    int64_t next;
    struct udfvm_state *state;
};

NOT_INLINE static bool append(void *context, const char *bytes, size_t length)
{
    struct rows *rows = context;
    const bool text = rows->block->storage == STORAGE_TEXT32;
    if (text && !utf8_is_valid(bytes, length)) {
        snprintf(rows->state->message, sizeof rows->state->message,
                 "the function returned text that is not valid UTF-8");
        rows->state->failed = 1;
        return true;
    }
    const bool taken = block_put(rows->block, rows->next++,
                                 &(struct scalar){ .bytes = bytes, .length = length });
    free_allocations();
    return taken;
}

/* ---- The same for programs, which call it with a thread pointer of their own ---- */

static void *allocate_for_program(size_t size)
{
    const uint64_t thread = context_enter();
    void *made = allocate(size);
    context_leave(thread);
    return made;
}

static const char *call_host_for_program(const char *name, const struct udfvm_any *arguments,
                                         size_t count, struct udfvm_any *result)
{
    const uint64_t thread = context_enter();
    const char *error = call_host(name, arguments, count, result);
    context_leave(thread);
    return error;
}

static bool append_for_program(void *context, const char *bytes, size_t length)
{
    const uint64_t thread = context_enter();
    const bool taken = append(context, bytes, length);
    context_leave(thread);
    return taken;
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

static void to_native(const struct column *columns, struct udfvm_input *native, size_t count)
{
    for (size_t i = 0; i < count; i++)
        native[i] = (struct udfvm_input){ columns[i].validity, columns[i].data,
                                          columns[i].offsets };
}

static int64_t run_scalar(void *context, const struct column *columns, struct block *block,
                          int64_t rows, bool skips)
{
    const struct udfvm_function *function = context;
    struct udfvm_input native[UDFVM_MAX_PARAMETERS];
    struct rows appended = { .block = block, .state = function->state };
    const struct udfvm_output output = {
        .validity = block->output + block->validity,
        .data = block->output + block->data,
        .skips = skips,
        .append = context_has_program() ? append_for_program : append,
        .context = &appended,
    };
    struct scalar_call call = { function, native, &output, rows, -1 };
    to_native(columns, native, function->count);
    function->state->failed = 0;
    context_call(call_scalar, &call);
    if (function->state->failed)
        failure_set("RuntimeError", "%s", function->state->message);
    return call.done;
}

/* ---- Vector functions ---- */

struct arrays {
    struct ArrowArray arrays[UDFVM_MAX_PARAMETERS];
    const void *buffers[UDFVM_MAX_PARAMETERS][3];
};

static void to_arrays(const struct column *columns, struct arrays *to, size_t count, int64_t rows)
{
    for (size_t i = 0; i < count; i++) {
        const bool variable = storage_is_variable(columns[i].storage);
        to->buffers[i][0] = columns[i].validity;
        to->buffers[i][1] = variable ? columns[i].offsets : columns[i].data;
        to->buffers[i][2] = columns[i].data;
        to->arrays[i] = (struct ArrowArray){
            .length = rows,
            .null_count = columns[i].nulls,
            .n_buffers = variable ? 3 : 2,
            .buffers = to->buffers[i],
        };
    }
}

static bool take_text(const struct ArrowArray *result, struct block *block)
{
    const int32_t *offsets = result->buffers[1];
    const char *data = result->buffers[2];
    for (int64_t row = 0; row < block->rows; row++) {
        const int32_t begin = offsets[row], end = offsets[row + 1];
        const bool valid = block_is_valid(block, row);
        const struct scalar scalar = { .bytes = data + begin,
                                       .length = valid && end > begin ? (size_t)(end - begin) : 0 };
        if (block->storage == STORAGE_TEXT32 && !utf8_is_valid(scalar.bytes, scalar.length))
            return failure_set("RuntimeError",
                               "the function returned text that is not valid UTF-8, in row %lld",
                               (long long)row);
        if (!block_put(block, row, &scalar))
            return failure_set("RuntimeError",
                               "the results of this batch are too large for one column");
    }
    return true;
}

static bool take_array(const struct ArrowArray *result, const void *const prepared[2],
                       struct block *block)
{
    const bool variable = storage_is_variable(block->storage);
    if (result->length != block->rows || result->offset != 0 ||
        result->n_buffers != (variable ? 3 : 2) || !result->buffers || !result->buffers[1])
        return failure_set(
            "RuntimeError",
            "the function's result has length %lld, offset %lld, %lld buffers where length "
            "%lld, offset 0, %d buffers "
            "are expected",
            (long long)result->length, (long long)result->offset, (long long)result->n_buffers,
            (long long)block->rows, variable ? 3 : 2);
    if (result->buffers[0] && result->buffers[0] != prepared[0])
        bitmap_and(block->output + block->validity, result->buffers[0], block->rows);
    if (variable)
        return take_text(result, block);
    if (result->buffers[1] != prepared[1])
        memcpy(block->output + block->data, result->buffers[1], block->data_bytes);
    return true;
}

struct vector_call {
    const struct udfvm_function *function;
    const struct ArrowArray *arguments;
    struct ArrowArray *result;
};

static void call_vector(void *argument)
{
    const struct vector_call *call = argument;
    call->function->vector(call->arguments, call->result);
}

static void call_release(void *argument)
{
    struct ArrowArray *result = argument;
    result->release(result);
}

static int64_t run_vector(void *context, const struct column *columns, struct block *block,
                          int64_t rows, bool skips)
{
    (void)skips;
    const struct udfvm_function *function = context;
    const bool variable = storage_is_variable(block->storage);
    struct arrays arguments;
    const void *prepared[2] = { block->output + block->validity, block->output + block->data };
    const void *buffers[3] = { prepared[0], variable ? NULL : prepared[1], NULL };
    struct ArrowArray result = { .length = rows,
                                 .n_buffers = variable ? 3 : 2,
                                 .buffers = buffers };
    struct vector_call call = { function, arguments.arrays, &result };
    to_arrays(columns, &arguments, function->count, rows);
    function->state->failed = 0;
    context_call(call_vector, &call);
    bool taken = !function->state->failed;
    if (taken)
        taken = take_array(&result, prepared, block);
    else
        failure_set("RuntimeError", "%s", function->state->message);
    if (result.release)
        context_call(call_release, &result);
    free_allocations();
    return taken ? rows : -1;
}

/* ---- Descriptions ---- */

static bool take_type(uint32_t type, const char *name, struct slot *slot)
{
    slot->storage = (enum storage)(type & 0xff);
    slot->nullable = type & UDFVM_OPTIONAL;
    snprintf(slot->name, sizeof slot->name, "%s", name);
    return slot->storage < STORAGE_NULL && slot->storage != STORAGE_TEXT64 &&
           slot->storage != STORAGE_BYTES64;
}

bool function_signature(const struct udfvm_function *function, struct signature *found)
{
    if (function->version != UDFVM_NATIVE_VERSION || function->count > UDFVM_MAX_PARAMETERS ||
        !function->state || !function->scalar == !function->vector ||
        !take_type(function->result, "result", &found->result))
        return failure_set("ImportError",
                           "the object was built with another version of udfvm.h: build it again");
    found->count = function->count;
    for (size_t i = 0; i < found->count; i++)
        if (!take_type(function->parameters[i].type, function->parameters[i].name,
                       &found->parameters[i]))
            return failure_set("ImportError", "parameter %zu is of a type that does not exist", i);
    return true;
}

bool function_prepare(struct program *program, const struct udfvm_function *function,
                      struct signature *found)
{
    if (!function_signature(function, found))
        return false;
    function->state->allocate = context_has_program() ? allocate_for_program : allocate;
    function->state->call_host = context_has_program() ? call_host_for_program : call_host;
    program->run = function->scalar ? run_scalar : run_vector;
    program->by_row = function->scalar != NULL;
    program->whole = function->vector != NULL;
    program->context = (void *)function;
    return true;
}
