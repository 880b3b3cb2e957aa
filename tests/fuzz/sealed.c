/* Images for fuzzers, which an honest guest sealed: see guest.h. */
#include <sys/mman.h>
#include <sys/prctl.h>

#include "udfvm_abi.h"

#include "guest.h"

static int seal_to_file(udfvm_vm *vm)
{
    struct udfvm_error error = { .message = "" };
    const int fd = memfd_create("udfvm-fuzz", MFD_CLOEXEC);
    if (!vm || fd < 0 || udfvm_vm_seal(vm, fd, "{}", 2, &error) != UDFVM_OK)
        defect(error.message);
    udfvm_vm_close(vm);
    return fd;
}

int guest_seal_base(void)
{
    const struct udfvm_config config = { .memory = GUEST_MEMORY,
                                         .input_window = GUEST_WINDOW,
                                         .output_window = 2 * GUEST_WINDOW };
    const struct udfvm_boot boot = { .memory_end = GUEST_MEMORY };
    guest.kind = GUEST_SEALS;
    /* A huge page takes long to zero, for a call's few bytes. */
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    return seal_to_file(
        udfvm_vm_boot(&config, "kernel", 6, &boot, sizeof boot, NULL, NULL, NULL, NULL));
}

int guest_seal_layer(udfvm_image *base)
{
    struct udfvm_reply reply;
    guest.kind = GUEST_SEALS;
    udfvm_vm *vm = udfvm_vm_open(base, NULL, NULL);
    if (!vm || udfvm_vm_call(vm, UDFVM_REQUEST_LOAD, "layer", 5, NULL, &reply, NULL) != UDFVM_OK)
        defect("no layer");
    return seal_to_file(vm);
}
