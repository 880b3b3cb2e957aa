/* Arguments that are structs or lists: columns in batches, JSON text in rows and in struct
 * udfvm_columns. */
#ifndef UDFVM_COMPILED_NESTED_ARGUMENT_H
#define UDFVM_COMPILED_NESTED_ARGUMENT_H

#include "shared/compiled/builder.h"
#include "shared/compiled/program.h"

struct nested_argument {
    struct column column;   /* the column and its nested columns, which a batch is read into */
    struct builder builder; /* parses JSON texts */
};

/* Creates those of a program, after its signature is known. */
void nested_arguments_prepare(struct program *program);
/* Begins a column of JSON texts. */
void nested_argument_begin(struct nested_argument *argument);
/* Appends a row; `text` NULL means null. Returns false with a failure. */
bool nested_argument_put(struct nested_argument *argument, const char *text, size_t length);
/* Returns the column. It is valid until the next begins. */
struct column nested_argument_column(struct nested_argument *argument);

#endif
