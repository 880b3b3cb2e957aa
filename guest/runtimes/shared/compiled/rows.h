/* Deterministic calls of functions of one row: a row at a time, each with clocks and random
 * numbers of its own, which are those of any other. */
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

#endif
