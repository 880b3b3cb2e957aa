/* Types of the component model, and the storage of their values. */
#ifndef UDFVM_WASM_COMPONENT_TYPE_H
#define UDFVM_WASM_COMPONENT_TYPE_H

#include "shared/compiled/program.h"
#include "wasm/wasmtime.h"

enum component_form {
    FORM_SIMPLE, /* bool, number, string */
    FORM_BYTES,  /* list<u8> */
    FORM_CHARACTER,
    FORM_ENUM,  /* stored as text */
    FORM_JSON,  /* variant or result: stored as text, only for results */
    FORM_FLAGS, /* stored as a list of names */
    FORM_LIST,
    FORM_RECORD,
    FORM_TUPLE,
};

struct component_type {
    enum component_form form;
    enum storage storage;
    uint8_t value;    /* enum wasmtime_component_value of a simple type */
    unsigned options; /* number of option<...> around it; null is `none` of the outermost */
    bool fallible;    /* result<...>, only of a whole result: an err is the row's error */
    char *name;       /* of a record's field; of a tuple's field its number; else NULL */
    size_t count;
    struct component_type *children; /* fields; the single child of a list */
};

/* Reads the type of a parameter or result. Returns NULL, or the part of it that is not
 * supported. The caller calls component_type_clear() in either case. */
const char *component_type_take(const wasmtime_component_valtype *from, bool result,
                                struct component_type *type);
void component_type_clear(struct component_type *type);
/* Returns the Arrow type of a type that is stored as a struct or list. */
struct type *component_type_describe(const struct component_type *type);

#endif
