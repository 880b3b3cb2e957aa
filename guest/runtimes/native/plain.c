/* Exported functions of plain C types, without a description: `double score(double, double)`, from
 * any language that has C's calling convention. Numbers and booleans are passed as such, text and
 * bytes as two arguments, pointer and length (size_t); the result is a number or boolean.
 *
 * In the System V ABI for x86-64 (section 3.2.3) the first six integer arguments and the first
 * eight floating-point ones go into registers, each kind counted by itself, whatever their order.
 * So one call with all fourteen registers loaded serves every signature that fits them; a callee
 * does not see those that it has no parameter for. */
#include <stdlib.h>
#include <string.h>

#include "native/crossing.h"
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

struct plain {
    void *address;
    const struct signature *signature;
};

struct registers {
    uint64_t integers[INTEGERS];
    double reals[REALS];
};

static int64_t integer_at(const struct column *column, int64_t row)
{
    switch (column->storage) {
    case STORAGE_BOOL:
        return column->data[row >> 3] >> (row & 7) & 1;
    case STORAGE_INT8:
        return ((const int8_t *)column->data)[row];
    case STORAGE_INT16:
        return ((const int16_t *)column->data)[row];
    case STORAGE_INT32:
        return ((const int32_t *)column->data)[row];
    case STORAGE_UINT8:
        return column->data[row];
    case STORAGE_UINT16:
        return ((const uint16_t *)column->data)[row];
    case STORAGE_UINT32:
        return ((const uint32_t *)column->data)[row];
    default:
        return ((const int64_t *)column->data)[row];
    }
}

static void fill(const struct plain *plain, const struct column *columns, int64_t row,
                 struct registers *registers)
{
    size_t integers = 0, reals = 0;
    for (size_t i = 0; i < plain->signature->count; i++) {
        const struct column *column = &columns[i];
        if (storage_is_variable(column->storage)) {
            const int32_t *offsets = (const int32_t *)column->offsets + row;
            registers->integers[integers++] = (uint64_t)(column->data + offsets[0]);
            registers->integers[integers++] = (uint64_t)(offsets[1] - offsets[0]);
        } else if (column->storage == STORAGE_FLOAT64) {
            registers->reals[reals++] = ((const double *)column->data)[row];
        } else if (column->storage == STORAGE_FLOAT32) { /* it is the low half of its register */
            memcpy(&registers->reals[reals++], (const float *)column->data + row, sizeof(float));
        } else {
            registers->integers[integers++] = (uint64_t)integer_at(column, row);
        }
    }
}

#define CALL(TYPE)                                                                            \
    ((TYPE *)address)(i[0], i[1], i[2], i[3], i[4], i[5], r[0], r[1], r[2], r[3], r[4], r[5], \
                      r[6], r[7])

static struct scalar call(void *address, const struct registers *registers, enum storage storage)
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

struct batch {
    const struct plain *plain;
    const struct column *columns;
    struct block *block;
    int64_t rows;
    bool skips;
};

/* With the function's thread pointer: nothing here uses it. */
static void call_rows(void *argument)
{
    const struct batch *batch = argument;
    struct block *block = batch->block;
    struct registers registers = { 0 };
    const uint8_t *validity = block->output + block->validity;
    for (int64_t row = 0; row < batch->rows; row++) {
        struct scalar scalar = { .integer = 0 };
        if (!batch->skips || validity[row >> 3] >> (row & 7) & 1) {
            fill(batch->plain, batch->columns, row, &registers);
            scalar = call(batch->plain->address, &registers, block->storage);
        }
        block_put(block, row, &scalar); /* cannot fail: it is a number */
    }
}

static int64_t run_plain(void *context, const struct column *columns, struct block *block,
                         int64_t rows, bool skips)
{
    struct batch batch = { context, columns, block, rows, skips };
    crossing_call(call_rows, &batch);
    return rows;
}

bool plain_prepare(struct program *program, void *address)
{
    const struct signature *signature = &program->signature;
    size_t integers = 0, reals = 0;
    bool nullable = signature->result.nullable;
    for (size_t i = 0; i < signature->count; i++) {
        const enum storage storage = signature->parameters[i].storage;
        nullable |= signature->parameters[i].nullable;
        if (storage == STORAGE_FLOAT32 || storage == STORAGE_FLOAT64)
            reals++;
        else
            integers += storage_is_variable(storage) ? 2 : 1;
    }
    if (nullable || storage_is_variable(signature->result.storage) || integers > INTEGERS ||
        reals > REALS) {
        failure_set("TypeError",
                    "a plain C function takes and returns no nulls, returns a number or bool, and "
                    "has at most %d arguments that are "
                    "integers, bools or halves of text and bytes (pointer, length) and %d that are "
                    "floats: use udfvm.h for others",
                    INTEGERS, REALS);
        return false;
    }
    struct plain *plain = malloc(sizeof *plain);
    if (!plain)
        abort();
    *plain = (struct plain){ address, signature };
    program->run = run_plain;
    program->by_row = true;
    program->context = plain;
    return true;
}
