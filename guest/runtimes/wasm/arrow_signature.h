/* Names of the exports of modules for arrow-udf: signatures and descriptions of structs in base 64.
 */
#ifndef UDFVM_WASM_ARROW_SIGNATURE_H
#define UDFVM_WASM_ARROW_SIGNATURE_H

#include "shared/compiled/program.h"
#include "wasm/wasmtime.h"

#define MAX_ARROW_TEXT 4096 /* bytes of a signature or description as text, with its NUL */

struct arrow_signature {
    char text[MAX_ARROW_TEXT]; /* "gcd(int32,int32)->int32" */
    size_t name_length;
    bool table; /* true for a table function: "->>" */
};

/* Parses an export's name. Returns false if it is not the name of a function. */
bool arrow_signature_take(struct arrow_signature *signature, const char *name, size_t length);
/* Finds the signature's types. Structs, lists, dates and times have names; other exports
 * describe the structs. `version` is the ABI's, of which the first number counts. Returns false
 * with a failure. */
bool arrow_signature_types(const struct arrow_signature *signature, const wasm_exporttypes *exports,
                           unsigned version, struct signature *types);

#endif
