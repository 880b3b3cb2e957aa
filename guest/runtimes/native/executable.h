/* Programs that have functions: started in this process, beside the runtime, up to where they say
 * what functions those are. */
#ifndef UDFVM_NATIVE_EXECUTABLE_H
#define UDFVM_NATIVE_EXECUTABLE_H

#include <stdbool.h>

#include "native/elf_image.h"
#include "native/udfvm.h"

/* Runs the program up to its udfvm_serve(). false with a failure: it has no place, or it lies about
 * itself. A program that ends or crashes before ends this call. From here on the runtime's heap
 * neither grows nor shrinks: its memory is mapped. */
bool executable_start(struct elf_image *image, const char *path);
/* What the program exports by that name; NULL: nothing. */
const struct udfvm_export *executable_export(const char *name);
/* The names of what it exports, "a, b, c". */
void executable_names(char *text, size_t size);

#endif
