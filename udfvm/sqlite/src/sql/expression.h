/* Expressions in SQL: vm_expr('a / b * 100', x, y). */
#ifndef UDFVM_SQLITE_EXPRESSION_H
#define UDFVM_SQLITE_EXPRESSION_H

#include "statement/session.h"

enum { MAX_EXPRESSION = 26 }; /* values of an expression: a to z */

/* Returns the function of an expression of `count` values, which the connection keeps loaded; NULL
 * with *wrong. */
struct sql_function *expression_find(struct function_registry *registry,
                                     struct statement *statement, const char *text, size_t length,
                                     int count, char **wrong);
/* Makes the signature of an expression: values of any type, and a result of any. */
struct sql_signature;
void expression_signature(int count, struct sql_signature *signature);

#endif
