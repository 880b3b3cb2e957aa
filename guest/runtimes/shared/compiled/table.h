/* Replies of table functions, as struct udfvm_columns. */
#ifndef UDFVM_COMPILED_TABLE_H
#define UDFVM_COMPILED_TABLE_H

#include "shared/compiled/program.h"

/* Writes the next rows, at limit so many; fewer where there is no room for more. *length is that of
 * the reply; where it is more than the capacity, there is none. false with a failure, at *row. */
bool table_reply(const struct program *program, uint64_t limit, uint8_t *output, uint64_t capacity,
                 uint64_t *length, int64_t *row);

#endif
