/* The program's standard output and error, on their way to the host's log. */
#ifndef UDFVM_LOG_H
#define UDFVM_LOG_H

#include "kernel.h"

enum log_stream { LOG_OUTPUT = 1, LOG_ERROR = 2 };

/* Returns the number of bytes taken, or a negative errno. */
int64_t log_write(enum log_stream stream, const char *text, uint64_t length);
/* Sends what is pending. */
void log_flush(void);

#endif
