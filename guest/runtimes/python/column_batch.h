/* Batches of fixed layout (struct udfvm_columns of udfvm_abi.h): requests as Python lists, as
 * places for Arrow, or as rows of a function; replies from lists and from Arrow's buffers. */
#ifndef UDFVM_PYTHON_COLUMN_BATCH_H
#define UDFVM_PYTHON_COLUMN_BATCH_H

#include "python/scalar_function.h"

extern PyType_Spec column_batch_type_spec;

#endif
