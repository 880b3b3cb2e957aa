/* Batches of functions of one row, run row by row. In deterministic calls each row has its own
 * clocks and random numbers, the same as every other row. */
#ifndef UDFVM_COMPILED_ROWS_H
#define UDFVM_COMPILED_ROWS_H

#include "shared/compiled/program.h"

/* Begins a row. In a deterministic call it restarts the clocks and the random numbers. */
void row_begin(void);
/* Returns true if rows_run() must run the current call. */
bool rows_apply(const struct program *program);
/* Does what program->run does. */
int64_t rows_run(const struct program *program, const struct column *columns, struct block *block,
                 bool skips);

/* Computes a row of a block. Returns false with a failure. */
typedef bool rows_run_one(void *context, const struct column *columns, struct block *block,
                          int64_t row);
/* Calls run_one for each row; with `skips`, not for null rows. Returns what program->run
 * returns. */
int64_t rows_each(rows_run_one *run_one, void *context, const struct column *columns,
                  struct block *block, int64_t rows, bool skips);

#endif
