/* Programs with functions. A program runs in this process, beside the runtime, until it offers
 * its functions. */
#ifndef UDFVM_NATIVE_EXECUTABLE_H
#define UDFVM_NATIVE_EXECUTABLE_H

#include <stdbool.h>

#include "native/elf_image.h"
#include "native/udfvm.h"

/* Runs the program up to its udfvm_serve(). Returns false with a failure if its addresses are taken
 * or its file is not valid. A program that ends or crashes first ends this call. From now on the
 * runtime's heap neither grows nor shrinks: memory comes from mappings. */
bool executable_start(struct elf_image *image, const char *path);
/* Returns what the program exports by that name; NULL if it exports nothing by it. */
const struct udfvm_export *executable_export(const char *name);
/* Returns the export of a number, from 0; NULL behind the last. */
const struct udfvm_export *executable_nth(size_t number);
/* Writes the names of its exports: "a, b, c". */
void executable_names(char *text, size_t size);

#endif
