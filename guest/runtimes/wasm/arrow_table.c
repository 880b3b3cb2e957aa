/* See arrow_table.h. Batches are read where the module put them, and given back once their rows were taken. */
#include "arrow_table.h"

#include <stdlib.h>

#include "failure.h"

struct arrow_table {
    struct arrow_module arrow;
    wasmtime_func next, drop;
    bool running;                                /* there is an iterator, and a request whose slice it uses */
    struct arrow_request request;
    uint32_t iterator;
    struct arrow_slice batch;                    /* address 0: none */
    struct table_rows rows;                      /* of the batch, those that were not taken */
    int64_t arguments;
};

static bool give_back_batch(struct arrow_table *table)
{
    const struct arrow_slice batch = table->batch;
    table->batch.address = 0;
    table->rows.count = 0;
    return batch.address == 0 || arrow_give_back(&table->arrow, &batch);
}

static bool end(struct arrow_table *table)
{
    if (!give_back_batch(table))
        return false;
    if (!table->running)
        return true;
    table->running = false;
    return arrow_call(&table->arrow, &table->drop, &table->iterator, 1, NULL) && arrow_end(&table->arrow, &table->request);
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
    if (rows == 0)
        return true;
    if (!arrow_ask(&table->arrow, columns, rows, &table->request, &status) || !arrow_take(&table->arrow, &table->request, status == 0, &slice))
        return false;
    if (status != 0) {
        arrow_refused(&slice);
        return false;
    }
    table->running = true;
    table->iterator = slice.address;
    return true;
}

static bool read_batch(struct arrow_table *table, int64_t *row)
{
    struct column columns[3] = { { .storage = STORAGE_INT32 }, table->arrow.result, { .storage = STORAGE_TEXT32 } };
    size_t count;
    int64_t rows;
    if (!file_read(table->batch.bytes, table->batch.length, columns, 3, &count, &rows) || count < 2 || columns[0].validity) {
        failure_set("RuntimeError", "the module returned %u bytes, which are no Arrow IPC file of a table function's rows with the declared result",
                    table->batch.length);
        return false;
    }
    const int64_t failed = count == 3 ? arrow_failed_row(&columns[2], 0, rows) : rows;
    if (failed < rows) {
        *row = ((const int32_t *)columns[0].data)[failed];
        *row = *row < table->arguments ? *row : -1;
        return false;
    }
    if (!arrow_texts_valid(&columns[1], rows))
        return false;
    table->rows = (struct table_rows){ .index = columns[0], .value = columns[1], .count = rows };
    return true;
}

/* The next batch that has rows; none at the end. */
static bool next_batch(struct arrow_table *table, int64_t *row)
{
    while (table->running && table->rows.count == 0) {
        const uint32_t numbers[] = { table->iterator, table->request.address };
        if (!give_back_batch(table) || !arrow_call(&table->arrow, &table->next, numbers, 2, NULL)
            || !arrow_take(&table->arrow, &table->request, false, &table->batch))
            return false;
        if (table->batch.address == 0 ? !end(table) : !read_batch(table, row))
            return false;
    }
    return true;
}

static bool rows(void *context, struct table_rows *rows, int64_t *row)
{
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

bool arrow_table_prepare(struct program *program, const struct arrow_module *arrow, const struct signature *found)
{
    static const struct table functions = { begin, rows, took };
    wasmtime_extern next, drop;
    struct arrow_table *table = calloc(1, sizeof *table);
    if (!table)
        abort();
    table->arrow = *arrow;
    if (found->result.storage == STORAGE_STRUCT && found->result.type->count > TABLE_COLUMNS) {
        failure_set("TypeError", "the function has more than %d columns", TABLE_COLUMNS);
        free(table);
        return false;
    }
    if (!module_export(&arrow->module, "record_batch_iterator_next", WASMTIME_FUNC, &next)
        || !module_export(&arrow->module, "record_batch_iterator_drop", WASMTIME_FUNC, &drop)) {
        failure_set("ImportError", "the module does not export record_batch_iterator_next and record_batch_iterator_drop, as the ABI of "
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
