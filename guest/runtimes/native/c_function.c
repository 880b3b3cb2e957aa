/* Exported functions of C types without a description: `double score(double, double)`, from any
 * language that has C's calling convention. Numbers and booleans are passed as themselves, text and
 * bytes as two arguments, pointer and length (size_t). The result is a number or boolean.
 *
 * In the System V ABI for x86-64 (section 3.2.3) the first six integer arguments and the first
 * eight floating-point ones go into registers. Each kind is counted by itself, whatever their
 * order. So one call with all fourteen registers loaded serves every signature that fits them: a
 * function does not read registers that it has no parameter for.
 */
#include <stdlib.h>
#include <string.h>

#include "native/context_switch.h"
#include "shared/compiled/failure.h"
#include "native/function.h"

#define INTEGERS 6
#define REALS    8

#define ARGUMENTS                                                                               \
    uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, double, double, double, double, \
        double, double, double, double
typedef uint64_t integer_function(ARGUMENTS);
typedef double real_function(ARGUMENTS);
typedef float narrow_function(ARGUMENTS);

struct c_function {
    void *address;
    const struct signature *signature;
};

struct argument_registers {
    uint64_t integers[INTEGERS];
    double reals[REALS];
};

static void fill(const struct c_function *function, const struct column *columns, int64_t row,
                 struct argument_registers *registers)
{
    size_t integers = 0, reals = 0;
    for (size_t i = 0; i < function->signature->count; i++) {
        const struct column *column = &columns[i];
        if (storage_is_variable(column->storage)) {
            const struct scalar bytes = column_bytes(column, row);
            registers->integers[integers++] = (uint64_t)bytes.bytes;
            registers->integers[integers++] = bytes.length;
        } else if (column->storage == STORAGE_FLOAT64) {
            registers->reals[reals++] = ((const double *)column->data)[row];
        } else if (column->storage ==
                   STORAGE_FLOAT32) { /* a float is the low half of its register */
            memcpy(&registers->reals[reals++], (const float *)column->data + row, sizeof(float));
        } else {
            registers->integers[integers++] = (uint64_t)stored_integer(column->storage,
                                                                       column->data, row);
        }
    }
}

#define CALL(TYPE)                                                                            \
    ((TYPE *)address)(i[0], i[1], i[2], i[3], i[4], i[5], r[0], r[1], r[2], r[3], r[4], r[5], \
                      r[6], r[7])

static struct scalar call(void *address, const struct argument_registers *registers,
                          enum storage storage)
{
    const uint64_t *i = registers->integers;
    const double *r = registers->reals;
    if (storage == STORAGE_FLOAT64)
        return (struct scalar){ .real = CALL(real_function) };
    if (storage == STORAGE_FLOAT32)
        return (struct scalar){ .real = (double)CALL(narrow_function) };
    const uint64_t natural = CALL(integer_function);
    return (struct scalar){ .natural = storage == STORAGE_BOOL ? (natural & 0xff) != 0 : natural };
}

struct function_rows {
    const struct c_function *function;
    const struct column *columns;
    struct block *block;
    int64_t rows;
    bool skips;
};

/* This runs with the function's thread pointer, so it uses no data of the thread. */
static void call_rows(void *argument)
{
    const struct function_rows *batch = argument;
    struct block *block = batch->block;
    struct argument_registers registers = { 0 };
    for (int64_t row = 0; row < batch->rows; row++) {
        struct scalar scalar = { .integer = 0 };
        if (!batch->skips || block_is_valid(block, row)) {
            fill(batch->function, batch->columns, row, &registers);
            scalar = call(batch->function->address, &registers, block->storage);
        }
        block_put(block, row, &scalar); /* cannot fail, because numbers have a fixed size */
    }
}

static int64_t run_c_function(void *context, const struct column *columns, struct block *block,
                              int64_t rows, bool skips)
{
    struct function_rows batch = { context, columns, block, rows, skips };
    context_call(call_rows, &batch);
    return rows;
}

bool c_function_prepare(struct program *program, void *address)
{
    const struct signature *signature = &program->signature;
    size_t integers = 0, reals = 0;
    bool others = signature->result.nullable || signature->result.type;
    for (size_t i = 0; i < signature->count; i++) {
        const enum storage storage = signature->parameters[i].storage;
        others |= signature->parameters[i].nullable || signature->parameters[i].type;
        if (storage_is_real(storage))
            reals++;
        else
            integers += storage_is_variable(storage) ? 2 : 1;
    }
    if (others || storage_is_variable(signature->result.storage) || integers > INTEGERS ||
        reals > REALS)
        return failure_set(
            "TypeError",
            "a plain C function takes and returns no nulls, lists and structs, returns a number or "
            "bool, and "
            "has at most %d arguments that are "
            "integers, bools or halves of text and bytes (pointer, length) and %d that are "
            "floats: use udfvm.h for others",
            INTEGERS, REALS);
    struct c_function *function = malloc(sizeof *function);
    if (!function)
        abort();
    *function = (struct c_function){ address, signature };
    program->run = run_c_function;
    program->by_row = true;
    program->context = function;
    return true;
}
