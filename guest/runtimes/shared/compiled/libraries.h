/* What belongs to the libraries of languages, and not to a function's author. */
#ifndef UDFVM_COMPILED_LIBRARIES_H
#define UDFVM_COMPILED_LIBRARIES_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a file is one of those that compilers bring: the C library, or that of C++ or Rust. */
bool is_library_file(const char *path);
/* Whether a name, demangled, is that of a function of the libraries of C++ and Rust, or one by
 * which the C library ends a program. They may be linked into any object. */
bool is_library_function(const char *name, size_t length);

#endif
