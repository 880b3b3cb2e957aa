/* Replies of table functions, as struct udfvm_columns. */
#ifndef UDFVM_COMPILED_TABLE_H
#define UDFVM_COMPILED_TABLE_H

#include "shared/compiled/program.h"

/* Writes the next rows, at most fetch->rows; fewer if more do not fit. *length is the reply's
 * length; if it is more than the capacity, nothing was written. Returns false with a failure, at
 * *row. */
bool table_reply(const struct program *program, const struct udfvm_fetch *fetch, uint8_t *output,
                 uint64_t capacity, uint64_t *length, int64_t *row);

#endif
