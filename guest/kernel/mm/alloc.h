/* Memory of the kernel. */
#ifndef UDFVM_ALLOC_H
#define UDFVM_ALLOC_H

#include "kernel.h"

void *kernel_alloc(size_t bytes); /* zeroed, aligned to 16 bytes; NULL when memory is out */
void kernel_free(void *p);        /* NULL is allowed */

void *page_alloc(size_t pages); /* zeroed, contiguous, page-aligned; NULL when memory is out */
/* Does the same, at a distance of less than `distance` from an address in program memory. */
void *page_alloc_near(size_t pages, uint64_t address, uint64_t distance);
void page_free(void *p, size_t pages);

#endif
