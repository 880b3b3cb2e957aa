/* Functions that are tables in SQL: vm_map, vm_table, table functions under their own names, and
 * vm_functions, the table of all functions. */
#ifndef UDFVM_SQLITE_TABLES_H
#define UDFVM_SQLITE_TABLES_H

#include "connection/registry.h"

extern const sqlite3_module functions_module; /* vm_functions; its client data is the registry */

int map_define(struct function_registry *registry);
int table_define(struct function_registry *registry);
int table_define_own(struct sql_function *function);
uint32_t widest_table(const struct function_registry *registry);

#endif
