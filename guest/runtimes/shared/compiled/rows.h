/* Batches of functions of one row, a row at a time. In deterministic calls each has clocks and
 * random numbers of its own, which are those of any other. */
#ifndef UDFVM_COMPILED_ROWS_H
#define UDFVM_COMPILED_ROWS_H

#include "shared/compiled/program.h"

/* A row begins: in a deterministic call clocks and randomness start anew. */
void row_begin(void);
/* Whether the call at hand is to be made by rows_run(). */
bool rows_apply(const struct program *program);
/* As program->run. */
int64_t rows_run(const struct program *program, const struct column *columns, struct block *block,
                 bool skips);

/* Computes a row of a block. false with a failure. */
typedef bool rows_run_one(void *context, const struct column *columns, struct block *block,
                          int64_t row);
/* Runs it for each row but, where `skips`, those that are null. As program->run. */
int64_t rows_each(rows_run_one *run_one, void *context, const struct column *columns,
                  struct block *block, int64_t rows, bool skips);

#endif
