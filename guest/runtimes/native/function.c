/* Functions that udfvm.h describes: see function.h. */
#include "function.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failure.h"
#include "host_call.h"
#include "udfvm.h"
#include "utf8.h"

#define OBJECT_PATH "/tmp/udf.so"

/* ---- Memory for results, until they were taken ---- */

struct allocation {
    struct allocation *next;
    char bytes[];
};

static struct allocation *allocations;

static void *allocate(size_t size)
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
        size += arguments[i].type == UDFVM_TEXT || arguments[i].type == UDFVM_BLOB ? arguments[i].bytes.length : 0;
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
        if (argument->type == UDFVM_FLOAT64)
            values[i].real = argument->real;
        if (argument->type != UDFVM_TEXT && argument->type != UDFVM_BLOB)
            continue;
        values[i].offset = end;
        values[i].length = (uint32_t)argument->bytes.length;
        if (argument->bytes.length)
            memcpy(row + end, argument->bytes.data, argument->bytes.length);
        end += argument->bytes.length;
    }
}

static const char *call_host(const char *name, const struct udfvm_any *arguments, size_t count, struct udfvm_any *result)
{
    const size_t size = row_size(arguments, count);
    uint8_t *row = allocate(size), *reply = allocate(HOST_REPLY_MOST);
    put_row(row, arguments, count);
    const int64_t got = host_call(name, strlen(name), row, size, reply);
    if (got < 0)
        return host_call_problem(got);
    const struct udfvm_value *value = (const struct udfvm_value *)reply;
    *result = (struct udfvm_any){ .type = value->type };
    if (value->type == UDFVM_TEXT || value->type == UDFVM_BLOB)
        result->bytes = (struct udfvm_bytes){ (const char *)reply + value->offset, value->length };
    else if (value->type == UDFVM_FLOAT64)
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

static bool append(void *context, const char *bytes, size_t length)
{
    struct rows *rows = context;
    const bool text = rows->block->storage == STORAGE_TEXT32;
    if (text && !utf8_is_valid(bytes, length)) {
        snprintf(rows->state->message, sizeof rows->state->message, "the function returned text that is not valid UTF-8");
        rows->state->failed = 1;
        return true;
    }
    const bool taken = block_put(rows->block, rows->next++, &(struct scalar){ .bytes = bytes, .length = length });
    free_allocations();
    return taken;
}

static void to_native(const struct column *columns, struct udfvm_input *native, size_t count)
{
    for (size_t i = 0; i < count; i++)
        native[i] = (struct udfvm_input){ columns[i].validity, columns[i].data, columns[i].offsets };
}

static int64_t run_scalar(void *context, const struct column *columns, struct block *block, int64_t rows, bool skips)
{
    const struct udfvm_function *function = context;
    struct udfvm_input native[UDFVM_MOST_PARAMETERS];
    struct rows appended = { .block = block, .state = function->state };
    const struct udfvm_output output = {
        .validity = block->output + block->validity, .data = block->output + block->data, .skips = skips,
        .append = append, .context = &appended,
    };
    to_native(columns, native, function->count);
    function->state->failed = 0;
    const int64_t done = function->scalar(native, &output, rows);
    if (function->state->failed)
        failure_set("RuntimeError", "%s", function->state->message);
    return done;
}

/* ---- Vector functions ---- */

struct arrays {
    struct ArrowArray arrays[UDFVM_MOST_PARAMETERS];
    const void *buffers[UDFVM_MOST_PARAMETERS][3];
};

static void to_arrays(const struct column *columns, struct arrays *to, size_t count, int64_t rows)
{
    for (size_t i = 0; i < count; i++) {
        const bool variable = storage_is_variable(columns[i].storage);
        to->buffers[i][0] = columns[i].validity;
        to->buffers[i][1] = variable ? columns[i].offsets : columns[i].data;
        to->buffers[i][2] = columns[i].data;
        to->arrays[i] = (struct ArrowArray){
            .length = rows, .null_count = columns[i].nulls, .n_buffers = variable ? 3 : 2, .buffers = to->buffers[i],
        };
    }
}

static bool take_text(const struct ArrowArray *result, struct block *block)
{
    const int32_t *offsets = result->buffers[1];
    const char *data = result->buffers[2];
    for (int64_t row = 0; row < block->rows; row++) {
        const int32_t begin = offsets[row], end = offsets[row + 1];
        const bool valid = udfvm_bit(block->output + block->validity, row);
        const struct scalar scalar = { .bytes = data + begin, .length = valid && end > begin ? (size_t)(end - begin) : 0 };
        if (block->storage == STORAGE_TEXT32 && !utf8_is_valid(scalar.bytes, scalar.length)) {
            failure_set("RuntimeError", "the function returned text that is not valid UTF-8, in row %lld", (long long)row);
            return false;
        }
        if (!block_put(block, row, &scalar)) {
            failure_set("RuntimeError", "the results of this batch are too large for one column");
            return false;
        }
    }
    return true;
}

static bool take_array(const struct ArrowArray *result, const void *const prepared[2], struct block *block)
{
    const bool variable = storage_is_variable(block->storage);
    uint8_t *validity = block->output + block->validity;
    if (result->length != block->rows || result->offset != 0 || result->n_buffers != (variable ? 3 : 2) || !result->buffers
        || !result->buffers[1]) {
        failure_set("RuntimeError", "the function's result has length %lld, offset %lld, %lld buffers where length %lld, offset 0, %d buffers "
                    "are expected", (long long)result->length, (long long)result->offset, (long long)result->n_buffers,
                    (long long)block->rows, variable ? 3 : 2);
        return false;
    }
    if (result->buffers[0] && result->buffers[0] != prepared[0])
        for (int64_t byte = 0; byte < (block->rows + 7) / 8; byte++)
            validity[byte] &= ((const uint8_t *)result->buffers[0])[byte];
    if (variable)
        return take_text(result, block);
    if (result->buffers[1] != prepared[1])
        memcpy(block->output + block->data, result->buffers[1], block->data_bytes);
    return true;
}

static int64_t run_vector(void *context, const struct column *columns, struct block *block, int64_t rows, bool skips)
{
    (void)skips;
    const struct udfvm_function *function = context;
    const bool variable = storage_is_variable(block->storage);
    struct arrays arguments;
    const void *prepared[2] = { block->output + block->validity, block->output + block->data };
    const void *buffers[3] = { prepared[0], variable ? NULL : prepared[1], NULL };
    struct ArrowArray result = { .length = rows, .n_buffers = variable ? 3 : 2, .buffers = buffers };
    to_arrays(columns, &arguments, function->count, rows);
    function->state->failed = 0;
    function->vector(arguments.arrays, &result);
    bool taken = !function->state->failed;
    if (taken)
        taken = take_array(&result, prepared, block);
    else
        failure_set("RuntimeError", "%s", function->state->message);
    if (result.release)
        result.release(&result);
    free_allocations();
    return taken ? rows : -1;
}

/* ---- Loading ---- */

static bool write_object(const struct load *load)
{
    const int descriptor = open(OBJECT_PATH, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    size_t written = 0;
    while (descriptor >= 0 && written < load->code_length) {
        const ssize_t count = write(descriptor, load->code + written, load->code_length - written);
        if (count <= 0)
            break;
        written += (size_t)count;
    }
    if (descriptor >= 0)
        close(descriptor);
    if (descriptor >= 0 && written == load->code_length)
        return true;
    failure_set("MemoryError", "the object, %zu bytes, does not fit the micro-VM's memory: raise memory=", load->code_length);
    return false;
}

static bool take_type(uint32_t type, const char *name, struct slot *slot)
{
    slot->storage = (enum storage)(type & 0xff);
    slot->nullable = type & UDFVM_OPTIONAL;
    snprintf(slot->name, sizeof slot->name, "%s", name);
    return slot->storage < STORAGE_NULL && slot->storage != STORAGE_TEXT64 && slot->storage != STORAGE_BYTES64;
}

static bool take_description(const struct udfvm_function *function, struct signature *found)
{
    if (function->version != UDFVM_NATIVE_VERSION || function->count > UDFVM_MOST_PARAMETERS || !function->state
        || !function->scalar == !function->vector || !take_type(function->result, "result", &found->result)) {
        failure_set("ImportError", "the object was built with another version of udfvm.h: build it again");
        return false;
    }
    found->count = function->count;
    for (size_t i = 0; i < found->count; i++)
        if (!take_type(function->parameters[i].type, function->parameters[i].name, &found->parameters[i])) {
            failure_set("ImportError", "parameter %zu is of a type that does not exist", i);
            return false;
        }
    return true;
}

/* What objects are linked with most. A call that reads no files of the host can load an object only if all of its libraries are there
 * already; and making a file asks the host for its name, so this one is made now. */
bool runtime_prepare(int count, char **arguments)
{
    static const char *const libraries[] = { "libm.so.6", "libgcc_s.so.1" };
    (void)count, (void)arguments;
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
        dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);                 /* where there is none, no object needs it */
    const int descriptor = open(OBJECT_PATH, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    if (descriptor >= 0)
        close(descriptor);
    else
        failure_set("OSError", "no file can be made in /tmp");
    return descriptor >= 0;
}

/* One that udfvm.h described, or any exported one of plain C types, whose signature the host must declare. */
bool runtime_load(struct program *program, const struct load *load, struct signature *found)
{
    char symbol[sizeof load->name + 32];
    if (!write_object(load))
        return false;
    void *object = dlopen(OBJECT_PATH, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        failure_set("ImportError", "%s", dlerror());
        return false;
    }
    snprintf(symbol, sizeof symbol, "udfvm_function_%s", load->name);
    const struct udfvm_function *function = dlsym(object, symbol);
    if (!function) {
        void *address = dlsym(object, load->name);
        *found = load->signature;
        if (!address)
            failure_set("AttributeError", "the object exports no function %s: neither UDFVM_SCALAR(%s, ...) nor UDFVM_VECTOR(%s, ...), nor a plain "
                        "C function of that name", load->name, load->name, load->name);
        else if (!load->declared)
            failure_set("TypeError", "%s does not say what its parameters are: pass signature=, or define it with UDFVM_SCALAR of udfvm.h", load->name);
        return address && load->declared && plain_prepare(program, address);
    }
    if (!take_description(function, found))
        return false;
    function->state->allocate = allocate;
    function->state->call_host = call_host;
    program->run = function->scalar ? run_scalar : run_vector;
    program->context = (void *)function;
    return true;
}
