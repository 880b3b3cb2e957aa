/* How the parameters and the result of an export are those of a UDF. */
#ifndef UDFVM_WASM_EXPORT_TYPE_H
#define UDFVM_WASM_EXPORT_TYPE_H

#include "shared/compiled/program.h"
#include "wasm/module_memory.h"

#define MAX_EXPORT_VALUES (2 * MAX_PARAMETERS + 1) /* parameters, or results, of an export */
#define VECTOR_BYTES      16                       /* of a v128 */

/* The type of an export in the module. */
struct export_type {
    size_t parameter_count, result_count;
    enum wasm_kind parameters[MAX_EXPORT_VALUES], results[MAX_EXPORT_VALUES];
};

enum export_form {
    EXPORT_NUMBER,
    EXPORT_VECTOR, /* v128: 16 bytes */
    EXPORT_BYTES,  /* a parameter: text or bytes, as the module's memory has them */
    /* of a result: */
    EXPORT_NOTHING,
    EXPORT_FIELDS,     /* several results: a struct */
    EXPORT_OBJECT,     /* text or bytes: an object of AssemblyScript */
    EXPORT_PAIR,       /* address and length, as two results */
    EXPORT_PACKED,     /* the same in an i64: the address in its upper half */
    EXPORT_STORED,     /* the same, stored where the first parameter points to */
    EXPORT_TERMINATED, /* text that ends with a NUL, by its address */
};

/* The forms of a UDF's parameters and result. */
struct export_plan {
    enum export_form parameters[MAX_PARAMETERS], result;
    bool allocates; /* the module must make room for arguments or the result */
    size_t words;   /* i32 for each EXPORT_BYTES parameter: 1 or 2 */
};

/* Reads an export's type. Returns false with a failure if it has references, or too many
 * parameters. For interface.h. */
bool export_type_take(const wasm_functype *from, const char *name, void *into);
/* Returns true if all are numbers, and there is one result. */
bool export_type_is_of_numbers(const struct export_type *type);
/* Makes the signature of an export that is not declared. */
void export_type_describe(const struct export_type *type, struct signature *signature);
/* Returns the signature of a function without a result, which has such parameters. */
struct signature export_type_of_nothing(const struct signature *signature);
/* Appends a type as the text format has it, with a NUL that does not count. */
void export_type_write(const struct export_type *type, struct bytes *to);
/* Finds out how an export has the types of a signature. Returns false with a failure if it does
 * not. */
bool export_plan_make(struct export_plan *plan, const struct export_type *type,
                      const struct signature *signature, const struct module_memory *memory);

#endif
