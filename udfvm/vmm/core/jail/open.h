/* A jailed VM's beginning and end. */
#ifndef UDFVM_JAIL_OPEN_H
#define UDFVM_JAIL_OPEN_H

#include "jail/cell.h"

/* ---- client.c ---- */

extern const struct remote_operations udfvm_cell_operations;
/* The process opens the VM, on the base image. */
int udfvm_cell_open(struct cell *cell, const struct shared_windows *windows,
                    struct udfvm_error *error);

/* ---- open.c ---- */

void udfvm_cell_close(struct udfvm_vm *vm);

#endif
