/* The signatures of stored and sealed functions: `(double, name text?) -> double`. */
#ifndef UDFVM_SQLITE_SIGNATURE_H
#define UDFVM_SQLITE_SIGNATURE_H

#include "connection/function.h"

struct sql_signature {
    uint32_t count, result_type;
    bool result_json;
    struct udfvm_sqlite_parameter parameters[MAX_PARAMETERS];
    bool json[MAX_PARAMETERS];
    char names[MAX_PARAMETERS][64];
};
/* Parses `(double, name text?) -> double`. Returns NULL, or an error, which is valid until the next
 * call of this thread. */
const char *signature_parse(const char *text, size_t length, struct sql_signature *signature);
const char *type_text(uint32_t type, bool json); /* as signatures spell it */

#endif
