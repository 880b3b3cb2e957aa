/* What functions call in this runtime: memory, host functions, and reading lists and structs. */
#ifndef UDFVM_NATIVE_SERVICES_H
#define UDFVM_NATIVE_SERVICES_H

#include "arrow/storage.h"
#include "native/udfvm.h"

/* What `nested` of struct udfvm_input points to. */
struct nested_input {
    const struct udfvm_type *type;
    const struct column *column;
    struct udfvm_state *state;
};

/* Sets the functions in the state of an object or program. */
void services_offer(struct udfvm_state *state);

/* Memory for a row, or for a batch of a function of whole columns. Aborts when it is out. */
void *services_allocate(size_t size);
void services_free_all(void);

#endif
