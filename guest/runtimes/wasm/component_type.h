/* Types of the component model, and how their values are stored. */
#ifndef UDFVM_WASM_COMPONENT_TYPE_H
#define UDFVM_WASM_COMPONENT_TYPE_H

#include "shared/compiled/program.h"
#include "wasm/wasmtime.h"

enum component_form {
    FORM_SIMPLE, /* bool, number, string */
    FORM_BYTES,  /* list<u8> */
    FORM_CHARACTER,
    FORM_ENUM,  /* text */
    FORM_JSON,  /* variant, result: text. Of results only */
    FORM_FLAGS, /* a list of names */
    FORM_LIST,
    FORM_RECORD,
    FORM_TUPLE,
};

struct component_kind {
    enum component_form form;
    enum storage storage;
    uint8_t value;    /* enum wasmtime_component_value, of a simple type */
    unsigned options; /* number of option<...> around it: null is none of the outermost */
    bool fallible;    /* result<...>: an err is the row's error. Of a whole result only */
    char *name;       /* of a record's field, or a tuple's: its number; else NULL */
    size_t count;
    struct component_kind *children; /* fields; a list's items, the only one */
};

/* A parameter's type, or a result's; component_kind_clear() in any case. Returns NULL, or what is
 * in it that does not cross. */
const char *component_kind_take(const wasmtime_component_valtype *type, bool result,
                                struct component_kind *kind);
void component_kind_clear(struct component_kind *kind);
/* The Arrow type of a kind that is stored as a struct or list. */
struct type *component_kind_type(const struct component_kind *kind);

#endif
