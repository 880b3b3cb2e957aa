/* Functions of whole columns (UDFVM_VECTOR): what the program of one runs. */
#ifndef UDFVM_NATIVE_VECTOR_FUNCTION_H
#define UDFVM_NATIVE_VECTOR_FUNCTION_H

#include "native/function.h"

program_run vector_run;
program_run_nested vector_run_nested;

#endif
