/* vm_attach. */
#ifndef UDFVM_SQLITE_ATTACH_H
#define UDFVM_SQLITE_ATTACH_H

#include "connection/registry.h"

void sql_attach(sqlite_library *library, sqlite3_context *context, int count,
                sqlite3_value **arguments);

#endif
