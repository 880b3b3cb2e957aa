/* vm_udf, vm_expr, and scalar functions under their own names. */
#ifndef UDFVM_SQLITE_SCALAR_H
#define UDFVM_SQLITE_SCALAR_H

#include "connection/registry.h"

void call_by_name(sqlite_library *library, sqlite3_context *context, int count,
                  sqlite3_value **arguments); /* vm_udf */
void call_expression(sqlite_library *library, sqlite3_context *context, int count,
                     sqlite3_value **arguments); /* vm_expr */
void call_own(sqlite_library *library, sqlite3_context *context, int count,
              sqlite3_value **arguments);

#endif
