/* Functions of a loaded shared object. */
#ifndef UDFVM_NATIVE_FUNCTION_H
#define UDFVM_NATIVE_FUNCTION_H

#include "program.h"

/* Loads the object and finds the function: one that udfvm.h described, or any exported one of plain C types, whose signature the host must
 * declare. Fills in run and context; *found: the signature that it says it has, count SIZE_MAX where it says none. false with a failure. */
bool function_load(struct program *program, const struct load *load, struct signature *found);

/* A function without a description: checks that the declared signature can be called. false with a failure. */
bool plain_prepare(struct program *program, void *address);

#endif
