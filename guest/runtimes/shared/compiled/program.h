/* A loaded function of compiled code, and the loop that answers its calls. */
#ifndef UDFVM_COMPILED_PROGRAM_H
#define UDFVM_COMPILED_PROGRAM_H

#include <stdnoreturn.h>

#include "arrow/block.h"
#include "arrow/stream_format.h"
#include "shared/compiled/groups.h"
#include "shared/compiled/type.h"
#include "shared/exchange.h"

#define MAX_PARAMETERS    32
#define MAX_TABLE_COLUMNS 100 /* columns of a table function */

struct slot {
    enum storage storage;
    bool nullable;
    char name[UDFVM_MAX_SLOT_NAME];
    /* of a struct or list; in the code's own description also of dates and times; else NULL */
    const struct type *type;
};

struct signature {
    size_t count;
    struct slot result, parameters[MAX_PARAMETERS];
};

/* Computes `rows` rows into the block, which was begun. With `skips`, a row whose bit in the
 * block's validity is clear is null: its value does not matter. Returns the number of rows done;
 * less than `rows` (-1: not known) if the next one failed, after failure_set(). */
typedef int64_t program_run(void *context, const struct column *columns, struct block *block,
                            int64_t rows, bool skips);

/* Does the same for a result that is a struct or list. *result is the column, valid until the next
 * call. A row whose bit in `valid` is clear is null. */
typedef int64_t program_run_nested(void *context, const struct column *columns, int64_t rows,
                                   const uint8_t *valid, struct column *result);

/* Rows that a table function made: a range of rows of its columns. */
struct table_rows {
    /* `index` (INT32) is the row of the arguments; `value` is the function's column, or a struct
     * of its columns */
    struct column index, value;
    int64_t first, count; /* count 0: the end */
};

/* A table function. Its operations return false with a failure, at *row of the arguments; -1 if
 * the row is not known. */
struct table_function {
    /* Begins a run. It discards an earlier one. */
    bool (*begin)(void *context, const struct column *columns, int64_t rows, int64_t *row);
    /* Returns rows that were not taken, and makes some if there are none, not many more than
     * `limit`. They are valid until the next call. */
    bool (*rows)(void *context, int64_t limit, struct table_rows *rows, int64_t *row);
    /* Tells that the first `count` rows were taken. */
    void (*took)(void *context, int64_t count);
};

/* An aggregate. Its groups lie in memory of the language's runtime. The operations return false, or
 * NULL, with a failure. */
struct aggregate {
    /* Begins a group without rows. */
    void *(*begin)(void *context);
    /* Takes the rows from `first` to `end` into the group, or with `inverse` out of it. Returns the
     * number of the row behind the last one that was taken: less than `end` with a failure. */
    int64_t (*take)(void *context, void *group, const struct column *columns, int64_t first,
                    int64_t end, bool inverse);
    /* Computes the group's value: as the only row of the block, which was begun; or of a struct or
     * list as *column, with one row, valid until the next operation. */
    bool (*value)(void *context, void *group, struct block *block, struct column *column);
    /* Of an aggregate with merge. The group's state, valid until the next operation, and a group
     * made of such a state. */
    bool (*state)(void *context, void *group, struct scalar *state);
    void *(*restore)(void *context, const struct scalar *state);
    bool (*merge)(void *context, void *group, void *other);
    /* Ends a group. */
    void (*end)(void *context, void *group);
};

struct program {
    struct signature signature;
    struct stream_format format;
    program_run *run;
    bool by_row;                        /* each row depends only on its arguments: see rows.h */
    bool whole;                         /* a row may depend on the other rows of the batch */
    program_run_nested *run_nested;     /* instead of run, for a result that is a struct or list */
    const struct table_function *table; /* instead of either, for a table function */
    const struct aggregate *aggregate;  /* the same for an aggregate; see aggregate.h */
    bool has_inverse, has_merge;        /* of an aggregate */
    struct groups groups;
    void *context;
    /* of table functions and aggregates, for columns that a host may get as streams: see
     * column_stream.h */
    struct column_stream *streams[MAX_TABLE_COLUMNS];
    /* for parameters that are structs or lists: see nested_argument.h */
    struct nested_argument *nested[MAX_PARAMETERS];
    bool heap_is_closed; /* the C library's heap must not shrink any more */
};

/* The parts of a LOAD or DESCRIBE request; they point into it. */
struct load {
    char name[256];
    bool serves;                /* true for LOAD: calls will follow */
    bool declared;              /* the host declares a signature: always for LOAD */
    struct signature signature; /* as the host declares it */
    const uint8_t *request_schema, *result_schema, *template, *settings, *code;
    size_t request_schema_length, result_schema_length, template_length, settings_length,
        code_length;
};

/* ---- What the runtime of a language defines ---- */

/* Called once, at the start, with the program's arguments. Returns false with a failure. */
bool runtime_prepare(int count, char **arguments);
/* Loads a function. Sets one of run, run_nested, table and aggregate, and context, and *found: the
 * function's signature, which may be the declared one. Returns false with a failure. */
bool runtime_load(struct program *program, const struct load *load, struct signature *found);
/* Compiles code, and writes it in a form that runtime_load() takes if the load's settings mark it.
 * If *length is more than the capacity, nothing was written. Returns false with a failure. */
bool runtime_compile(const struct load *load, uint8_t *output, uint64_t capacity, uint64_t *length);
/* Lists the functions in some code, and its imports: see listing.h. Returns false with a failure.
 */
bool runtime_list(const struct load *load, struct bytes *list);

/* ---- What compiled languages share ---- */

/* Reads the current request. Returns false with a failure if it is not valid. */
bool program_load(struct load *load);
/* Returns true if the load has no format of Arrow streams for batches: the function answers rows
 * and columns only, and slots have the types of rows. */
bool load_is_for_rows(const struct load *load);
/* Sets the format of a program's streams, in memory of its own; none if the request has none.
 * Returns false with a failure. */
bool program_set_format(struct program *program, const struct load *load);
/* Checks that the signature in the code is the declared one. With `by_row_types` types that are the
 * same in rows count as the same, but structs and lists that the host names. Returns false with a
 * failure. */
bool program_agrees(const struct signature *declared, const struct signature *found,
                    bool by_row_types);
/* Writes a description as the reply. Returns false with a failure. */
bool program_describe(const struct program *program, const struct signature *signature,
                      uint64_t *length);

/* Clears the bit of each row with a null in a parameter that is not nullable. Returns true if there
 * may be such rows. */
bool program_skip_nulls(const struct signature *signature, const struct column *columns,
                        int64_t rows, uint8_t *validity);
/* Returns true if the integer is in the range of the slot's type. Returns false with a failure. */
bool slot_holds(const struct slot *slot, int64_t integer);
/* Does the same for a number of a float type. */
bool slot_holds_real(const struct slot *slot, double real);

/* Seals, and answers rows and batches for ever. */
noreturn void program_serve(struct program *program);

/* For a table function in the middle of making rows: answers the request with those that wait.
 * Returns how many more are asked for; 0 if another request came, which is not answered. */
int64_t program_yield(void);
/* Answers the request from the beginning, whatever the program is in the midst of; with
 * `continues`, only by further rows of a table function. */
noreturn void program_answer(bool continues);

#endif
