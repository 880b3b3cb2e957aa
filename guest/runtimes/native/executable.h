/* Programs with functions: they run in this process, beside the runtime, until they offer their
 * functions. */
#ifndef UDFVM_NATIVE_EXECUTABLE_H
#define UDFVM_NATIVE_EXECUTABLE_H

#include <stdbool.h>

#include "native/elf_image.h"
#include "native/udfvm.h"

/* Runs the program up to its udfvm_serve(). Returns false with a failure if its addresses are taken
 * or its file is not valid. A program that ends or crashes first ends this call. From now on the
 * runtime's heap neither grows nor shrinks: memory comes from mappings. */
bool executable_start(struct elf_image *image, const char *path);
/* What the program exports by that name; NULL: nothing. */
const struct udfvm_export *executable_export(const char *name);
/* The names of what it exports, "a, b, c". */
void executable_names(char *text, size_t size);

#endif
