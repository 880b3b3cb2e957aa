/* Aggregates: rows for groups, and replies with values and states of groups. */
#ifndef UDFVM_COMPILED_AGGREGATE_H
#define UDFVM_COMPILED_AGGREGATE_H

#include "shared/compiled/program.h"

/* Answers AGGREGATE. *length is the reply's length; if it is more than the capacity, nothing was
 * written. Returns false with a failure, at *row; -1 if the row is not known. */
bool aggregate_reply(struct program *program, const uint8_t *payload, uint64_t payload_length,
                     uint8_t *output, uint64_t capacity, uint64_t *length, int64_t *row);

#endif
