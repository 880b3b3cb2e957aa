/* Names of functions as people wrote them, from the names that compilers of Rust and C++ make of
 * them. */
#ifndef UDFVM_COMPILED_DEMANGLE_H
#define UDFVM_COMPILED_DEMANGLE_H

#include <stddef.h>

/* Writes the readable form of a name, NUL-terminated: of Rust's names with their types, of C++'s
 * without those of parameters, and with <...> for arguments of templates. What it does not know,
 * it writes as it is. */
void demangle(const char *name, size_t length, char *text, size_t size);

#endif
