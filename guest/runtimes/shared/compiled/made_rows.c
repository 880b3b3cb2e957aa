/* See made_rows.h.
 *
 * A function in the midst of which the host's request was answered never returns to what called it:
 * that was the answer to an earlier request. It ends with a jump to the loop that answers requests
 * (program_answer()).
 */
#include "shared/compiled/made_rows.h"

#include "shared/compiled/failure.h"

#define MAX_CHUNK_BYTES (4u << 20) /* of the rows for a reply, without the last of them */

static const struct type index_type = { .storage = STORAGE_INT32 };

static int64_t waiting(const struct made_rows *rows)
{
    return rows->index.rows - rows->taken;
}

static size_t bytes_of(const struct builder *builder)
{
    size_t bytes = builder->data.length + builder->offsets.length;
    for (size_t i = 0; i < builder->type->count; i++)
        bytes += bytes_of(&builder->children[i]);
    return bytes;
}

static bool is_full(const struct made_rows *rows)
{
    return waiting(rows) >= rows->limit ||
           (rows->is_variable && bytes_of(&rows->made) >= MAX_CHUNK_BYTES);
}

static void forget(struct made_rows *rows)
{
    builder_clear(&rows->made);
    builder_clear(&rows->index);
    rows->taken = 0;
}

/* ---- In the function ---- */

void made_rows_gather(struct made_rows *rows)
{
    builder_number(&rows->index, &(int32_t){ (int32_t)rows->source });
}

bool made_rows_add(struct made_rows *rows)
{
    made_rows_gather(rows);
    if (!is_full(rows))
        return true;
    while (waiting(rows) > 0) {
        rows->yielded = true;
        rows->limit = program_yield();
        if (rows->limit <= 0) {
            rows->left = true;
            return false;
        }
    }
    forget(rows);
    return true;
}

/* ---- Running it ---- */

static void run(struct made_rows *rows)
{
    struct column columns[MAX_PARAMETERS];
    for (size_t i = 0; i < rows->count; i++)
        columns[i] = rows->arguments[i].column;
    rows->left = rows->yielded = false;
    const bool done = rows->call(rows->context, columns, rows->source);
    rows->failed = !done && !rows->left;
    if (!rows->yielded)
        return;
    rows->yielded = false;
    rows->continues = !rows->left;
    rows->source += !rows->failed;
    program_answer(!rows->left);
}

static bool takes_source(const struct made_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        if (!rows->arguments[i].nullable &&
            column_is_null(&rows->arguments[i].column, rows->source))
            return false;
    return true;
}

/* Makes rows until there are enough, or the end. */
static void gather(struct made_rows *rows)
{
    rows->continues = false;
    if (waiting(rows) == 0)
        forget(rows);
    while (!rows->failed && rows->source < rows->sources && !is_full(rows)) {
        if (takes_source(rows))
            run(rows);
        rows->source += !rows->failed;
    }
}

/* ---- What answers requests ---- */

static bool begin(void *context, const struct column *columns, int64_t count, int64_t *row)
{
    struct made_rows *rows = context;
    *row = -1;
    for (size_t i = 0; i < rows->count; i++) {
        struct made_argument *argument = &rows->arguments[i];
        builder_clear(&argument->builder);
        for (int64_t each = 0; each < count; each++)
            if (!builder_append(&argument->builder, &columns[i], each))
                return failure_set("OverflowError", "the arguments are too large for a column");
        builder_column(&argument->builder, &argument->column);
    }
    forget(rows);
    rows->sources = count;
    rows->source = 0;
    rows->failed = rows->continues = false;
    return true;
}

static bool next(void *context, int64_t limit, struct table_rows *found, int64_t *row)
{
    struct made_rows *rows = context;
    rows->limit = limit;
    if (waiting(rows) == 0 || rows->continues)
        gather(rows);
    *row = rows->source;
    if (waiting(rows) == 0 && rows->failed)
        return false; /* with the failure of then */
    struct column index = { .storage = STORAGE_INT32 };
    builder_column(&rows->index, &index);
    builder_column(&rows->made, &rows->value);
    *found = (struct table_rows){ index, rows->value, rows->taken, waiting(rows) };
    return true;
}

static void took(void *context, int64_t count)
{
    ((struct made_rows *)context)->taken += count;
}

const struct table_function made_rows_operations = { begin, next, took };

/* ---- Preparation ---- */

static bool is_variable(const struct type *type)
{
    bool variable = storage_is_variable(type->storage) || type->storage == STORAGE_LIST;
    for (size_t i = 0; i < type->count; i++)
        variable |= is_variable(&type->children[i]);
    return variable;
}

void made_rows_prepare_argument(struct made_rows *rows, const struct type *type, bool nullable)
{
    rows->arguments[rows->count++] = (struct made_argument){ builder_new(type), type_column(type),
                                                             nullable };
}

void made_rows_prepare_result(struct made_rows *rows, const struct type *type)
{
    rows->made = builder_new(type);
    rows->value = type_column(type);
    rows->is_variable = is_variable(type);
    rows->index = builder_new(&index_type);
}

void made_rows_prepare(struct made_rows *rows, const struct signature *signature)
{
    static struct type leaves[STORAGE_COUNT];
    for (size_t i = 0; i < signature->count; i++) {
        const struct slot *slot = &signature->parameters[i];
        leaves[slot->storage].storage = slot->storage;
        made_rows_prepare_argument(rows, slot->type ? slot->type : &leaves[slot->storage],
                                   slot->nullable);
    }
    rows->leaf.storage = signature->result.storage;
    made_rows_prepare_result(rows, signature->result.type ? signature->result.type : &rows->leaf);
}
