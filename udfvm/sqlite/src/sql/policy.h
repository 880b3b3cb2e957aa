/* The policy of a connection. */
#ifndef UDFVM_SQLITE_POLICY_H
#define UDFVM_SQLITE_POLICY_H

#include "connection/registry.h"

/* For a connection that no program made an offer to, such as the sqlite3 shell's: the user types
 * its SQL. */
void policy_default(struct udfvm_sqlite_policy *policy);
void sql_policy(sqlite_library *library, sqlite3_context *context, int count,
                sqlite3_value **arguments);

#endif
