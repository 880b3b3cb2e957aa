/* Arguments that are structs or lists: columns in batches, JSON text in rows and in struct
 * udfvm_columns. */
#ifndef UDFVM_COMPILED_NESTED_ARGUMENT_H
#define UDFVM_COMPILED_NESTED_ARGUMENT_H

#include "shared/compiled/builder.h"
#include "shared/compiled/program.h"

struct nested_argument {
    struct column column;   /* with what is in it, to be read into */
    struct builder builder; /* of texts */
};

/* Makes those of a program, once its signature is known. */
void nested_arguments_prepare(struct program *program);
/* Begins a column of texts. */
void nested_argument_begin(struct nested_argument *argument);
/* The next row; `text` NULL: null. false with a failure. */
bool nested_argument_put(struct nested_argument *argument, const char *name, const char *text,
                         size_t length);
/* The column, until the next begins. */
struct column nested_argument_column(struct nested_argument *argument);

#endif
