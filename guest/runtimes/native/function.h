/* Functions of a loaded shared object. */
#ifndef UDFVM_NATIVE_FUNCTION_H
#define UDFVM_NATIVE_FUNCTION_H

#include "program.h"

/* A function without a description: checks that the declared signature can be called. false with a failure. */
bool plain_prepare(struct program *program, void *address);

#endif
