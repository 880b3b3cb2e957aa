/* Results of functions that udfvm.h describes: where its macros put them, row by row. */
#ifndef UDFVM_NATIVE_RESULTS_H
#define UDFVM_NATIVE_RESULTS_H

#include "native/function.h"

struct results {
    struct described_function *described;
    struct block *block; /* NULL for lists and structs, which the builder of `described` gets */
    int64_t next;
};

/* Begins results, which `results` says where to put. A builder is empty then. */
struct udfvm_output results_output(struct results *results);
/* Returns the lists or structs, valid until the next results begin. */
struct column results_column(const struct results *results);

#endif
