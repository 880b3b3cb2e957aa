/* Column batches (struct udfvm_columns of udfvm_abi.h). Requests are read as Python lists, as
 * addresses for Arrow, or as rows of a function. Replies are written from lists and from Arrow's
 * buffers. */
#ifndef UDFVM_PYTHON_COLUMN_BATCH_H
#define UDFVM_PYTHON_COLUMN_BATCH_H

#include "python/scalar_function.h"

extern PyType_Spec column_batch_type_spec;

#endif
