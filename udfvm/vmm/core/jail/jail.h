/* Jailed VMs, as pools see them: VMs that run in processes of their own. */
#ifndef UDFVM_JAIL_JAIL_H
#define UDFVM_JAIL_JAIL_H

#include "api.h"

/* A VM at the sealed state of the image, with data (may be NULL), in a new process; `windows` (may
 * be NULL) as for udfvm_vm_open_windows, `cgroup` (may be NULL) as for udfvm_pool_jail. */
udfvm_vm *udfvm_jail_open(udfvm_image *image, const struct udfvm_windows *windows,
                          const struct udfvm_files *files, struct udfvm_data *data,
                          const char *cgroup, struct udfvm_error *error);
/* Forked children have a copy of what is borrowed of replies. Between the two nothing is borrowed
 * or given back. */
void udfvm_jail_before_fork(void);
void udfvm_jail_in_parent(void);
/* In a forked child, which has no such processes. */
void udfvm_jail_forget(void);

#endif
