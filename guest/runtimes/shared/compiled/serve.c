/* The loop that answers rows, columns and batches of compiled code: see program.h. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "shared/compiled/aggregate.h"
#include "shared/compiled/column_batch.h"
#include "shared/compiled/failure.h"
#include "shared/compiled/nested_argument.h"
#include "shared/compiled/nested_result.h"
#include "shared/compiled/program.h"
#include "shared/compiled/rows.h"
#include "shared/compiled/table.h"

static struct answer failed(int64_t row)
{
    return (struct answer){ UDFVM_STATUS_ERROR, failure_reply(row) };
}

bool program_skip_nulls(const struct signature *signature, const struct column *columns,
                        int64_t rows, uint8_t *validity)
{
    bool skips = false;
    for (size_t i = 0; i < signature->count; i++) {
        if (signature->parameters[i].nullable || !columns[i].validity)
            continue;
        bitmap_and(validity, columns[i].validity, rows);
        skips = true;
    }
    return skips;
}

/* Returns false with a failure, at *row; -1 if the row is not known. */
static bool run(const struct program *program, const struct column *columns, struct block *block,
                int64_t *row)
{
    if (program->run_nested)
        return nested_result_texts(program, columns, block, row);
    uint8_t *validity = block->output + block->validity;
    const bool skips = program_skip_nulls(&program->signature, columns, block->rows, validity);
    *row = rows_apply(program) ? rows_run(program, columns, block, skips)
                               : program->run(program->context, columns, block, block->rows, skips);
    if (*row < block->rows)
        return false;
    if (skips || program->signature.result.nullable)
        block->nulls = bitmap_count_clear(validity, block->rows);
    return true;
}

/* How results are stored in rows and in struct udfvm_columns. */
static enum storage row_storage(const struct program *program)
{
    return program->run_nested ? STORAGE_TEXT32 : program->signature.result.storage;
}

static struct answer answer_batch(const struct program *program)
{
    const struct udfvm_call *call = exchange_call();
    const struct signature *signature = &program->signature;
    struct column columns[MAX_PARAMETERS];
    struct reply reply;
    int64_t rows, row;
    if (!program->format.reply_head) {
        failure_set("RuntimeError",
                    "the function was loaded for rows and columns of SQL, not for Arrow's");
        return failed(-1);
    }
    for (size_t i = 0; i < signature->count; i++)
        columns[i] = program->nested[i]
                         ? program->nested[i]->column
                         : (struct column){ .storage = signature->parameters[i].storage };
    if (!stream_read(&program->format, exchange_payload(), call->length, signature->count, columns,
                     &rows)) {
        failure_set("ValueError",
                    "the batch is not of the schema that the function was loaded with");
        return failed(-1);
    }
    if (program->run_nested) {
        uint64_t length;
        return nested_result_batch(program, columns, rows, (uint8_t *)UDFVM_OUTPUT_BASE,
                                   call->output_size, &length, &row)
                   ? (struct answer){ UDFVM_STATUS_OK, length }
                   : failed(row);
    }
    if (reply_begin(&reply, &program->format, signature->result.storage, rows,
                    (uint8_t *)UDFVM_OUTPUT_BASE, call->output_size) &&
        !run(program, columns, &reply.block, &row))
        return failed(row);
    return (struct answer){ UDFVM_STATUS_OK, reply_end(&reply) };
}

static struct answer answer_columns(const struct program *program)
{
    const struct udfvm_call *call = exchange_call();
    struct arguments arguments;
    struct block block;
    int64_t row;
    bool done = arguments_take(&arguments, program, exchange_payload(), call->length, 0, &row);
    if (done && results_begin(&block, row_storage(program), arguments.rows,
                              (uint8_t *)UDFVM_OUTPUT_BASE, call->output_size))
        done = run(program, arguments.columns, &block, &row);
    arguments_free(&arguments);
    return done ? (struct answer){ UDFVM_STATUS_OK, results_end(&block) } : failed(row);
}

/* ---- Rows: columns of one row ---- */

struct argument_cell { /* the values that a column of one row points to */
    int32_t narrow_offsets[2];
    int64_t offsets[2];
    float narrow;
};

static bool wrong_row(void)
{
    return failure_set("TypeError", "the row does not have the declared arguments");
}

bool slot_holds(const struct slot *slot, int64_t integer)
{
    if (storage_holds(slot->storage, integer))
        return true;
    return failure_set("OverflowError", "is %lld, out of range of the function's type",
                       (long long)integer);
}

bool slot_holds_real(const struct slot *slot, double real)
{
    if (storage_holds_real(slot->storage, real))
        return true;
    return failure_set("OverflowError", "is %g, out of range of the function's type", real);
}

/* Parses JSON text into a column of one row. */
static bool take_nested(const struct udfvm_value *value, struct nested_argument *argument,
                        const uint8_t *payload, uint64_t length, struct column *column)
{
    if (value->type == UDFVM_TYPE_TEXT
            ? value->offset > length || value->length > length - value->offset
            : value->type != UDFVM_TYPE_NULL)
        return wrong_row();
    nested_argument_begin(argument);
    if (!nested_argument_put(
            argument, value->type == UDFVM_TYPE_NULL ? NULL : (const char *)payload + value->offset,
            value->length))
        return false;
    *column = nested_argument_column(argument);
    return true;
}

static bool take_value(const struct udfvm_value *value, const struct slot *slot,
                       const uint8_t *payload, uint64_t length, struct argument_cell *cell,
                       struct column *column)
{
    static const uint8_t invalid;
    const bool wide = storage_width(slot->storage) == sizeof(int64_t);
    *cell = (struct argument_cell){ .narrow = 0 };
    *column = (struct column){ .storage = slot->storage,
                               .data = (const uint8_t *)&value->integer,
                               .offsets = wide ? (const void *)cell->offsets
                                               : cell->narrow_offsets };
    if (value->type == UDFVM_TYPE_NULL) {
        column->validity = &invalid;
        column->nulls = 1;
        return true;
    }
    if (value->type != storage_row_type(slot->storage))
        return failure_set("TypeError", "is not of the declared type");
    if (storage_is_variable(slot->storage)) {
        if (value->offset > length || value->length > length - value->offset ||
            value->length > INT32_MAX)
            return wrong_row();
        column->data = payload + value->offset;
        cell->narrow_offsets[1] = (int32_t)value->length;
        cell->offsets[1] = value->length;
    } else if (slot->storage == STORAGE_FLOAT32) {
        if (!slot_holds_real(slot, value->real))
            return false;
        cell->narrow = (float)value->real;
        column->data = (const uint8_t *)&cell->narrow;
    }
    return value->type != UDFVM_TYPE_INT64 || slot_holds(slot, value->integer);
}

static bool take_row(const struct program *program, const uint8_t *payload, uint64_t length,
                     struct argument_cell *cells, struct column *columns)
{
    const struct signature *signature = &program->signature;
    const struct udfvm_row *row = (const struct udfvm_row *)payload;
    const struct udfvm_value *values = (const struct udfvm_value *)(row + 1);
    if (length < sizeof *row || row->count != signature->count ||
        length < sizeof *row + row->count * sizeof *values)
        return wrong_row();
    for (size_t i = 0; i < signature->count; i++) {
        const struct slot *slot = &signature->parameters[i];
        if (program->nested[i]
                ? !take_nested(&values[i], program->nested[i], payload, length, &columns[i])
                : !take_value(&values[i], slot, payload, length, &cells[i], &columns[i]))
            return failure_of_argument(i + 1);
    }
    return true;
}

/* Turns a column of one row, at the beginning of the output, into a value. Its bytes are in place
 * already: 16 bytes from the start, behind validity and offsets. */
static uint64_t reply_value(const struct block *block)
{
    _Static_assert(sizeof(struct udfvm_value) == 16,
                   "the bytes of text follow a value of 16 bytes");
    const uint8_t *data = block->output + block->data;
    struct udfvm_value value = { .type = storage_row_type(block->storage) };
    uint64_t length = sizeof value;
    if (!(block->output[block->validity] & 1)) {
        value.type = UDFVM_TYPE_NULL;
    } else if (storage_is_variable(block->storage)) {
        value.length = (uint32_t)block->data_bytes;
        value.offset = block->data;
        length = block->data + block->data_bytes;
    } else if (storage_is_real(block->storage)) {
        value.real = stored_real(block->storage, data, 0);
    } else {
        value.integer = stored_integer(block->storage, data, 0);
    }
    memcpy(block->output, &value, sizeof value);
    return length;
}

static struct answer answer_row(const struct program *program)
{
    const struct udfvm_call *call = exchange_call();
    struct column columns[MAX_PARAMETERS];
    struct argument_cell cells[MAX_PARAMETERS];
    struct block block;
    int64_t row;
    if (!take_row(program, exchange_payload(), call->length, cells, columns))
        return failed(-1);
    if (!block_begin(&block, row_storage(program), 1, (uint8_t *)UDFVM_OUTPUT_BASE,
                     call->output_size, 0, 0))
        return (struct answer){ UDFVM_STATUS_OK, block_end(&block) };
    return run(program, columns, &block, &row)
               ? (struct answer){ UDFVM_STATUS_OK, reply_value(&block) }
               : failed(-1);
}

/* Answers with the next rows of a table function. */
static struct answer answer_rows(const struct program *program)
{
    const struct udfvm_call *call = exchange_call();
    struct udfvm_fetch fetch;
    struct answer answer = { UDFVM_STATUS_OK, 0 };
    int64_t row = -1;
    memcpy(&fetch, exchange_payload(), sizeof fetch);
    return table_reply(program, &fetch, (uint8_t *)UDFVM_OUTPUT_BASE, call->output_size,
                       &answer.length, &row)
               ? answer
               : failed(row);
}

static struct answer answer_table(const struct program *program)
{
    const struct udfvm_call *call = exchange_call();
    struct arguments arguments;
    int64_t row = -1;
    if (call->length < sizeof(struct udfvm_fetch)) {
        failure_set("ValueError", "the request for rows is malformed");
        return failed(-1);
    }
    if (call->request == UDFVM_REQUEST_TABLE) {
        const bool done = arguments_take(&arguments, program,
                                         exchange_payload() + sizeof(struct udfvm_fetch),
                                         call->length - sizeof(struct udfvm_fetch), 0, &row) &&
                          program->table->begin(program->context, arguments.columns, arguments.rows,
                                                &row);
        arguments_free(&arguments);
        if (!done)
            return failed(row);
    }
    return answer_rows(program);
}

static struct answer answer_aggregate(struct program *program)
{
    const struct udfvm_call *call = exchange_call();
    struct answer answer = { UDFVM_STATUS_OK, 0 };
    int64_t row;
    return aggregate_reply(program, exchange_payload(), call->length, (uint8_t *)UDFVM_OUTPUT_BASE,
                           call->output_size, &answer.length, &row)
               ? answer
               : failed(row);
}

/* Returns false with a failure if the function's form has no such request. */
static bool has_request(const struct program *program, uint32_t request)
{
    const bool fetches = request == UDFVM_REQUEST_TABLE || request == UDFVM_REQUEST_FETCH;
    const bool groups = request == UDFVM_REQUEST_AGGREGATE;
    if (fetches == (program->table != NULL) && groups == (program->aggregate != NULL))
        return true;
    const char *form = program->table       ? "a table function"
                       : program->aggregate ? "an aggregate"
                                            : "a function";
    return failure_set("RuntimeError", "%s does not answer request %u", form, request);
}

static struct answer answer_request(struct program *program)
{
    const uint32_t request = exchange_call()->request;
    if (!has_request(program, request))
        return failed(-1);
    if (request != UDFVM_REQUEST_FETCH && /* FETCH continues with a row */
        exchange_call()->flags & UDFVM_CALL_DETERMINISTIC)
        row_begin();
    switch (request) {
    case UDFVM_REQUEST_TABLE:
    case UDFVM_REQUEST_FETCH:
        return answer_table(program);
    case UDFVM_REQUEST_AGGREGATE:
        return answer_aggregate(program);
    case UDFVM_REQUEST_ROW:
        return answer_row(program);
    case UDFVM_REQUEST_BATCH:
        return answer_batch(program);
    case UDFVM_REQUEST_COLUMNS:
        return answer_columns(program);
    default:
        failure_set("RuntimeError", "a loaded function does not answer request %u",
                    exchange_call()->request);
        return failed(-1);
    }
}

/* Makes the program its own forked child. Libraries then do before the seal what they do in a
 * child, such as dropping kept random numbers. */
static void become_child(void)
{
    if (prctl(UDFVM_PR_BECOME_CHILD, 0, 0, 0, 0) == 0)
        (void)!fork();
}

/* Table functions answer requests from the midst of their bodies, and leave them by a jump here. It
 * is set before the seal, so no call sets it. */
static struct {
    struct program *program;
    jmp_buf loop;
} serving;

enum { ANSWER_REQUEST = 1, ANSWER_ROWS };

int64_t program_yield(void)
{
    struct udfvm_fetch fetch;
    exchange_complete(answer_rows(serving.program));
    if (exchange_call()->request != UDFVM_REQUEST_FETCH || exchange_call()->length < sizeof fetch)
        return 0;
    memcpy(&fetch, exchange_payload(), sizeof fetch);
    return (int64_t)fetch.rows;
}

noreturn void program_answer(bool continues)
{
    longjmp(serving.loop, continues ? ANSWER_ROWS : ANSWER_REQUEST);
}

noreturn void program_serve(struct program *program)
{
    nested_arguments_prepare(program);
    serving.program = program;
    become_child();
    switch (setjmp(serving.loop)) {
    case 0:
        exchange_seal();
        break;
    case ANSWER_ROWS:
        exchange_complete(answer_rows(serving.program));
        break;
    default:
        break;
    }
    for (;;) {
        const struct answer answer = answer_request(serving.program);
        exchange_complete(answer);
    }
}
