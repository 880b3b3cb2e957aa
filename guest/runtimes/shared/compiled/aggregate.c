/* See aggregate.h. */
#include "shared/compiled/aggregate.h"

#include <string.h>

#include "shared/compiled/column_batch.h"
#include "shared/compiled/column_stream.h"
#include "shared/compiled/failure.h"
#include "shared/compiled/json.h"
#include "shared/compiled/rows.h"

enum { GROUP, INVERSE, FIRST_ARGUMENT }; /* the columns of a request */

struct window { /* where the reply is written */
    uint8_t *output;
    uint64_t capacity;
};

static bool is_deterministic(void)
{
    return exchange_call()->flags & UDFVM_CALL_DETERMINISTIC;
}

/* In a deterministic call each row, and each value, has its own clocks and random numbers. */
static void begin_step(void)
{
    if (is_deterministic())
        row_begin();
}

/* ---- Groups ---- */

/* Returns the group of a number, which begins if it is new; NULL with a failure. */
static void *group_of(struct program *program, uint64_t number)
{
    void *group = groups_find(&program->groups, number);
    if (group)
        return group;
    begin_step();
    group = program->aggregate->begin(program->context);
    if (group)
        groups_add(&program->groups, number, group);
    return group;
}

static void drop_group(struct program *program, uint64_t number, void *group)
{
    groups_remove(&program->groups, number);
    program->aggregate->end(program->context, group);
}

/* ---- Rows ---- */

struct row_groups { /* the group of each row, and whether the row leaves it */
    const int64_t *numbers;
    struct column inverse;
};

static bool leaves(const struct row_groups *of, int64_t row)
{
    return !column_is_null(&of->inverse, row) && bitmap_get(of->inverse.data, row);
}

static bool find_groups(const struct column_request *request, struct row_groups *of)
{
    struct column numbers;
    if (!column_request_find(request, GROUP, STORAGE_INT64, &numbers) ||
        !column_request_find(request, INVERSE, STORAGE_BOOL, &of->inverse) ||
        (request->rows > 0 && (numbers.all_null || numbers.validity)))
        return failure_set("ValueError", "a row without a group");
    of->numbers = (const int64_t *)numbers.data;
    return true;
}

/* Returns the end of the rows from `row` on that are taken at once. */
static int64_t end_of_run(const struct row_groups *of, int64_t row, int64_t rows)
{
    const bool inverse = leaves(of, row);
    int64_t end = row + 1;
    if (is_deterministic())
        return end;
    while (end < rows && of->numbers[end] == of->numbers[row] && leaves(of, end) == inverse)
        end++;
    return end;
}

/* Takes rows with the same group, up to `end`. Returns false with a failure, at *row. */
static bool take_run(struct program *program, const struct arguments *arguments,
                     const struct row_groups *of, int64_t *row, int64_t end)
{
    const bool inverse = leaves(of, *row);
    if (inverse && !program->has_inverse)
        return failure_set("TypeError", "the aggregate cannot take rows out of a group");
    void *group = group_of(program, (uint64_t)of->numbers[*row]);
    if (!group)
        return false;
    begin_step();
    *row = program->aggregate->take(program->context, group, arguments->columns, *row, end,
                                    inverse);
    return *row == end;
}

static bool take_rows(struct program *program, const uint8_t *payload, uint64_t length,
                      int64_t *row)
{
    struct arguments arguments;
    struct row_groups of;
    bool done = arguments_take(&arguments, program, payload, length, FIRST_ARGUMENT, row) &&
                find_groups(&arguments.request, &of);
    for (*row = done ? 0 : *row; done && *row < arguments.rows;)
        done = take_run(program, &arguments, &of, row, end_of_run(&of, *row, arguments.rows));
    arguments_free(&arguments);
    if (done)
        *row = -1; /* what fails from now on is no row */
    return done;
}

/* ---- States of other groups ---- */

static bool merge_state(struct program *program, uint64_t number, const struct scalar *state)
{
    const struct aggregate *aggregate = program->aggregate;
    void *group = groups_find(&program->groups, number);
    begin_step();
    void *other = aggregate->restore(program->context, state);
    if (!other)
        return false;
    if (!group) {
        groups_add(&program->groups, number, other);
        return true;
    }
    const bool merged = aggregate->merge(program->context, group, other);
    aggregate->end(program->context, other);
    return merged;
}

static bool merge_states(struct program *program, const uint8_t *payload, uint64_t length,
                         int64_t *row)
{
    struct column_request request;
    struct row_groups of;
    struct column states;
    if (!program->has_merge)
        return failure_set("TypeError", "the aggregate cannot merge groups");
    if (!column_request_open(&request, payload, length, FIRST_ARGUMENT + 1) ||
        !column_request_find(&request, FIRST_ARGUMENT, STORAGE_BYTES64, &states) ||
        (request.rows > 0 && (states.all_null || states.validity)))
        return failure_set("ValueError", "the request has no states of groups");
    if (!find_groups(&request, &of))
        return false;
    for (*row = 0; *row < (int64_t)request.rows; ++*row) {
        const struct scalar state = column_bytes(&states, *row);
        if (!merge_state(program, (uint64_t)of.numbers[*row], &state))
            return false;
    }
    *row = -1;
    return true;
}

/* ---- Replies ---- */

static uint64_t reply_nothing(const struct window *window)
{
    const struct udfvm_columns head = { .rows = 0 };
    if (sizeof head <= window->capacity)
        memcpy(window->output, &head, sizeof head);
    return sizeof head;
}

/* Writes a column of one row as a stream. */
static bool reply_stream(struct column_stream *stream, const struct column *column,
                         const struct window *window, uint64_t *length)
{
    const uint64_t start = sizeof(struct udfvm_columns) + sizeof(struct udfvm_column);
    const struct udfvm_columns head = { .rows = 1, .count = 1 };
    column_stream_begin(stream);
    if (column_is_null(column, 0))
        column_stream_null(stream);
    else if (!column_stream_append(stream, column, 0))
        return failure_set("OverflowError", "the value is too large for a column");
    const uint64_t room = window->capacity > start ? window->capacity - start : 0;
    const uint64_t bytes = column_stream_end(stream, window->output + start, room);
    *length = start + bytes;
    if (bytes > room)
        return true;
    memcpy(window->output, &head, sizeof head);
    memcpy(window->output + sizeof head,
           &(struct udfvm_column){ UDFVM_TYPE_ARROW, .data = start, .data_length = bytes },
           sizeof(struct udfvm_column));
    return true;
}

/* Writes one value of a type that rows have. */
static bool reply_scalar(enum storage storage, const struct scalar *scalar,
                         const struct window *window, uint64_t *length)
{
    struct block block;
    if (results_begin(&block, storage, 1, window->output, window->capacity) &&
        !block_put(&block, 0, scalar))
        return failure_set("OverflowError", "the value is too large for a column");
    block.nulls = scalar->null;
    *length = results_end(&block);
    return true;
}

static bool reply_json(const struct program *program, const struct column *column,
                       const struct window *window, uint64_t *length)
{
    struct bytes text = { 0 };
    struct scalar scalar = { .null = column_is_null(column, 0) };
    bool done = scalar.null || json_write(program->signature.result.type, column, 0, &text);
    scalar.bytes = (const char *)text.at;
    scalar.length = text.length;
    done = done && reply_scalar(STORAGE_TEXT32, &scalar, window, length);
    bytes_free(&text);
    return done;
}

/* Computes a value of a type that rows have, or a uint64, where the reply has it. */
static bool reply_block(const struct program *program, void *group, const struct window *window,
                        uint64_t *length)
{
    struct block block;
    if (results_begin(&block, program->signature.result.storage, 1, window->output,
                      window->capacity)) {
        if (!program->aggregate->value(program->context, group, &block, NULL))
            return false;
        block.nulls = !block_is_valid(&block, 0);
    }
    *length = results_end(&block);
    return true;
}

/* Computes a value of a fixed width, and writes it as a stream. */
static bool reply_fixed(const struct program *program, void *group, const struct window *window,
                        uint64_t *length)
{
    uint64_t small[8];
    struct block block;
    const enum storage storage = program->signature.result.storage;
    if (!block_begin(&block, storage, 1, (uint8_t *)small, sizeof small, 0, 0) ||
        !program->aggregate->value(program->context, group, &block, NULL))
        return false;
    const struct column column = { .storage = storage,
                                   .validity = block.output + block.validity,
                                   .data = block.output + block.data };
    return reply_stream(program->streams[0], &column, window, length);
}

static bool reply_value(const struct program *program, void *group, bool streams,
                        const struct window *window, uint64_t *length)
{
    struct column column;
    streams = streams && program->streams[0];
    begin_step();
    if (!storage_is_nested(program->signature.result.storage))
        return streams ? reply_fixed(program, group, window, length)
                       : reply_block(program, group, window, length);
    if (!program->aggregate->value(program->context, group, NULL, &column))
        return false;
    return streams ? reply_stream(program->streams[0], &column, window, length)
                   : reply_json(program, &column, window, length);
}

static bool reply_state(const struct program *program, void *group, const struct window *window,
                        uint64_t *length)
{
    struct scalar state = { 0 };
    if (!program->has_merge)
        return failure_set("TypeError", "the aggregate cannot merge groups");
    begin_step();
    return program->aggregate->state(program->context, group, &state) &&
           reply_scalar(STORAGE_BYTES32, &state, window, length);
}

/* Writes what the request asks for. */
static bool reply(struct program *program, const struct udfvm_aggregate *head,
                  const struct window *window, uint64_t *length)
{
    if (head->answer == UDFVM_ANSWER_NONE || head->answer == UDFVM_ANSWER_MERGE) {
        *length = reply_nothing(window);
        return true;
    }
    void *group = group_of(program, head->group);
    if (!group)
        return false;
    const bool state = head->answer == UDFVM_ANSWER_STATE;
    const bool done = state ? reply_state(program, group, window, length)
                            : reply_value(program, group, head->flags & UDFVM_REPLY_ARROW, window,
                                          length);
    if (done && head->answer != UDFVM_ANSWER_VALUE)
        drop_group(program, head->group, group);
    return done;
}

bool aggregate_reply(struct program *program, const uint8_t *payload, uint64_t payload_length,
                     uint8_t *output, uint64_t capacity, uint64_t *length, int64_t *row)
{
    const struct window window = { output, capacity };
    struct udfvm_aggregate head;
    *row = -1;
    if (payload_length < sizeof head)
        return failure_set("ValueError", "the request about groups is malformed");
    memcpy(&head, payload, sizeof head);
    const bool merges = head.answer == UDFVM_ANSWER_MERGE;
    return (merges ? merge_states : take_rows)(program, payload + sizeof head,
                                               payload_length - sizeof head, row) &&
           reply(program, &head, &window, length);
}
