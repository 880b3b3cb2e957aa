/* Stand-ins for VMs, as pools see them: the embedder answers in this process, and nothing isolates
 * what it runs. See struct udfvm_in_process. */
#ifndef UDFVM_IN_PROCESS_IN_PROCESS_H
#define UDFVM_IN_PROCESS_IN_PROCESS_H

#include "api.h"

/* One for an image of udfvm_image_in_process; `windows` (may be NULL) as for
 * udfvm_vm_open_windows. */
udfvm_vm *udfvm_in_process_open(udfvm_image *image, const struct udfvm_windows *windows,
                                const struct udfvm_files *files, struct udfvm_error *error);

#endif
