/* A jailed VM's beginning and end. */
#ifndef UDFVM_JAIL_OPEN_H
#define UDFVM_JAIL_OPEN_H

#include "jail/cell.h"

/* ---- client.c ---- */

extern const struct remote_operations udfvm_cell_operations;

/* ---- images.c ---- */

/* The process opens the VM, on the base image. */
int udfvm_cell_open(struct cell *cell, const struct shared_windows *windows,
                    struct udfvm_error *error);

/* ---- data.c ---- */

/* Gives data to the VM, which is open. */
int udfvm_cell_give_data(struct cell *cell, struct udfvm_data *data, struct udfvm_error *error);

/* ---- open.c ---- */

/* A VM without windows and process; `base` NULL: one that is to be booted. */
struct cell *udfvm_cell_begin(const struct udfvm_config *config, struct udfvm_image *base,
                              const struct udfvm_files *files, struct udfvm_error *error);
/* Gives it both. */
int udfvm_cell_start(struct cell *cell, struct shared_windows *windows, const char *cgroup,
                     struct udfvm_error *error);
/* Of the file of the output window, scratch and the page that streaming calls reply in. */
uint64_t udfvm_cell_output_bytes(const struct udfvm_config *config);
/* The process has its windows now, or never will. */
void udfvm_cell_keep_windows(struct cell *cell, const struct shared_windows *windows);
void udfvm_cell_close(struct udfvm_vm *vm);

#endif
