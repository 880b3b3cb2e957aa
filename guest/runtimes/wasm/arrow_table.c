/* See arrow_table.h. Batches are read in the module's memory, and deallocated after their rows
 * were taken. */
#include "wasm/arrow_table.h"

#include <stdlib.h>

#include "shared/compiled/failure.h"
#include "size_text.h"

struct arrow_table {
    struct arrow_module arrow;
    wasmtime_func next, drop;
    bool running; /* true while there is an iterator, and a request whose slice it uses */
    struct arrow_request request;
    uint32_t iterator;
    struct arrow_slice batch; /* address 0: no batch */
    struct table_rows rows;   /* the batch's rows that were not taken, up to one that fails */
    bool fails;               /* a row that fails follows the rows */
    struct column errors;     /* the errors of the batch */
    int64_t arguments;
};

static bool give_back_batch(struct arrow_table *table)
{
    const struct arrow_slice batch = table->batch;
    table->batch.address = 0;
    table->rows.count = 0;
    table->fails = false;
    return batch.address == 0 || arrow_give_back(&table->arrow, &batch);
}

static bool end(struct arrow_table *table)
{
    if (!give_back_batch(table))
        return false;
    if (!table->running)
        return true;
    table->running = false;
    return arrow_call(&table->arrow, &table->drop, &table->iterator, 1, NULL) &&
           arrow_end(&table->arrow, &table->request);
}

/* Returns true if a parameter that is not nullable is null: then the row has no result rows. A
 * request for rows has one row of arguments. */
static bool is_passed_over(const struct arrow_table *table, const struct column *columns,
                           int64_t rows)
{
    uint8_t valid = 1;
    return rows == 0 ||
           (rows == 1 && program_skip_nulls(table->arrow.signature, columns, rows, &valid) &&
            !(valid & 1));
}

static bool begin(void *context, const struct column *columns, int64_t rows, int64_t *row)
{
    struct arrow_table *table = context;
    struct arrow_slice slice;
    uint32_t status;
    *row = -1;
    table->arguments = rows;
    if (!end(table))
        return false;
    if (is_passed_over(table, columns, rows))
        return true;
    if (!arrow_ask(&table->arrow, columns, rows, &table->request, &status) ||
        !arrow_take(&table->arrow, &table->request, status == 0, &slice))
        return false;
    if (status != 0) {
        arrow_refused(&slice);
        return false;
    }
    table->running = true;
    table->iterator = slice.address;
    return true;
}

/* Returns the first row of [first, end) that has an error, or is null and may not be, and sets
 * the failure; `end` if there is none. */
static int64_t good_rows(const struct arrow_table *table, const struct column *values,
                         int64_t first, int64_t end)
{
    const int64_t good = arrow_failed_row(&table->errors, first, end);
    return table->arrow.signature->result.nullable || good == first
               ? good
               : arrow_null_row(values, NULL, first, good);
}

static bool read_batch(struct arrow_table *table)
{
    struct column columns[3] = { { .storage = STORAGE_INT32 },
                                 table->arrow.result,
                                 { .storage = STORAGE_TEXT32 } };
    size_t count;
    int64_t rows;
    if (!file_read(table->batch.bytes, table->batch.length, columns, 3, &count, &rows) ||
        count < 2 || columns[0].validity)
        return failure_set("RuntimeError",
                           "the module returned %s, which are not an Arrow IPC file of a table "
                           "function's rows with the declared result",
                           size_text(table->batch.length).text);
    if (!arrow_texts_valid(&columns[1], rows))
        return false;
    table->errors = count == 3 ? columns[2] : (struct column){ .validity = NULL, .all_null = true };
    table->rows = (struct table_rows){ .index = columns[0],
                                       .value = columns[1],
                                       .count = good_rows(table, &columns[1], 0, rows) };
    table->fails = table->rows.count < rows;
    return true;
}

/* Sets the failure of the row after those that were taken. */
static void fail(const struct arrow_table *table, int64_t *row)
{
    const int64_t failed = table->rows.first;
    const int32_t argument = ((const int32_t *)table->rows.index.data)[failed];
    good_rows(table, &table->rows.value, failed, failed + 1);
    *row = argument >= 0 && argument < table->arguments ? argument : -1;
}

/* Takes the next batch that has rows. At the end there is none. */
static bool next_batch(struct arrow_table *table, int64_t *row)
{
    while (table->running && table->rows.count == 0) {
        if (table->fails) {
            fail(table, row);
            return false;
        }
        const uint32_t numbers[] = { table->iterator, table->request.address };
        if (!give_back_batch(table) || !arrow_call(&table->arrow, &table->next, numbers, 2, NULL) ||
            !arrow_take(&table->arrow, &table->request, false, &table->batch))
            return false;
        if (table->batch.address == 0 ? !end(table) : !read_batch(table))
            return false;
    }
    return true;
}

static bool rows(void *context, int64_t limit, struct table_rows *rows, int64_t *row)
{
    (void)limit; /* the module makes batches as large as it likes */
    struct arrow_table *table = context;
    *row = -1;
    if (!next_batch(table, row))
        return false;
    *rows = table->rows;
    if (rows->count == 0)
        rows->value = table->arrow.result;
    return true;
}

static void took(void *context, int64_t count)
{
    struct arrow_table *table = context;
    table->rows.first += count;
    table->rows.count -= count;
}

bool arrow_table_prepare(struct program *program, const struct arrow_module *arrow,
                         const struct signature *found)
{
    static const struct table_function functions = { begin, rows, took };
    wasmtime_extern next, drop;
    struct arrow_table *table = calloc(1, sizeof *table);
    if (!table)
        abort();
    table->arrow = *arrow;
    if (found->result.storage == STORAGE_STRUCT && found->result.type->count > MAX_TABLE_COLUMNS) {
        failure_set("TypeError", "the function has more than %d columns", MAX_TABLE_COLUMNS);
        free(table);
        return false;
    }
    if (!module_export(&arrow->module, "record_batch_iterator_next", WASMTIME_FUNC, &next) ||
        !module_export(&arrow->module, "record_batch_iterator_drop", WASMTIME_FUNC, &drop)) {
        failure_set("ImportError", "the module does not export record_batch_iterator_next and "
                                   "record_batch_iterator_drop, as the ABI of "
                                   "arrow-udf has them");
        free(table);
        return false;
    }
    table->next = next.of.func;
    table->drop = drop.of.func;
    program->table = &functions;
    program->context = table;
    return true;
}
