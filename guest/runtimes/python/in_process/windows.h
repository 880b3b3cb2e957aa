/* The windows of the call that this thread is in, in place of those at fixed addresses. Every file
 * of the runtime is compiled with this first. */
#ifndef UDFVM_PYTHON_IN_PROCESS_WINDOWS_H
#define UDFVM_PYTHON_IN_PROCESS_WINDOWS_H

#include <stdint.h>

#include "udfvm_abi.h"

extern _Thread_local uint8_t *in_process_input, *in_process_output;

#undef UDFVM_INPUT_BASE
#undef UDFVM_INPUT_PAYLOAD
#undef UDFVM_OUTPUT_BASE
#define UDFVM_INPUT_BASE    ((uint64_t)(uintptr_t)in_process_input)
#define UDFVM_INPUT_PAYLOAD (UDFVM_INPUT_BASE + UDFVM_PAGE_SIZE)
#define UDFVM_OUTPUT_BASE   ((uint64_t)(uintptr_t)in_process_output)

#endif
