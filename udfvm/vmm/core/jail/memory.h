/* Memory that a program and the process of a jailed VM share. */
#ifndef UDFVM_JAIL_MEMORY_H
#define UDFVM_JAIL_MEMORY_H

#include <stdint.h>

struct udfvm_error;

/* A file of memory of just so many bytes: the other process can make it neither longer, which would
 * cost memory, nor shorter, which would end this process with SIGBUS. */
int udfvm_jail_file(const char *name, uint64_t bytes, int *file, struct udfvm_error *error);
/* The same, with a copy of these bytes. */
int udfvm_jail_copy(const char *name, const void *content, uint64_t bytes, int *file,
                    struct udfvm_error *error);
/* Maps such a file at a multiple of 2 MiB. A forked child has no such mapping. */
int udfvm_jail_map(int file, uint64_t bytes, void **mapped, struct udfvm_error *error);

#endif
