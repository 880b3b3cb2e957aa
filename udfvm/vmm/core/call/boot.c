/* Booting a VM for a build: it begins without an image, and runs a program until that asks to be
 * sealed. */
#include "base/error.h"
#include "call/exchange.h"
#include "call/hypercall.h"

int udfvm_boot_check(const struct udfvm_config *config, size_t kernel_length,
                     struct udfvm_error *error)
{
    UDFVM_TRY(udfvm_config_check(config, error));
    return kernel_length > UDFVM_PROGRAM_BASE - UDFVM_KERNEL_BASE
               ? udfvm_fail(error, UDFVM_E_ARGUMENT, "the guest kernel is larger than 1 MiB")
               : UDFVM_OK;
}

udfvm_vm *udfvm_boot_create(const struct udfvm_config *config, const void *kernel,
                            size_t kernel_length, const struct shared_windows *shared,
                            const struct udfvm_files *files, struct udfvm_error *error)
{
    if (udfvm_boot_check(config, kernel_length, error) != UDFVM_OK)
        return NULL;
    struct udfvm_vm *vm = udfvm_vm_open_shared(NULL, config, shared, files, error);
    if (vm)
        udfvm_machine_load(&vm->machine, kernel, kernel_length);
    return vm;
}

static void start_registers(struct udfvm_vm *vm)
{
    *vm->machine.registers = (struct registers){ .rip = UDFVM_VECTOR_BOOT,
                                                 .rsp = UDFVM_BOOT_STACK,
                                                 .rflags = vm->machine.rflags };
    udfvm_hypervisor_load_registers(vm->machine.hypervisor);
}

int udfvm_boot_fail_unsealed(struct udfvm_error *error)
{
    return udfvm_fail(error, UDFVM_E_PROTOCOL, "the guest completed a call before it was sealed");
}

int udfvm_boot_run(struct udfvm_vm *vm, const void *payload, size_t length,
                   const struct udfvm_limits *limits, struct udfvm_error *error)
{
    struct udfvm_reply reply;
    UDFVM_TRY(udfvm_vm_request(vm, UDFVM_REQUEST_BOOT, payload, length, limits, error));
    start_registers(vm);
    UDFVM_TRY(udfvm_vm_run(vm, &reply, error));
    return reply.sealed ? UDFVM_OK : udfvm_boot_fail_unsealed(error);
}

udfvm_vm *udfvm_boot_end(struct udfvm_vm *vm, int code, char **report)
{
    udfvm_files_close_all(vm);
    if (report)
        *report = udfvm_log_copy(&vm->log);
    if (code == UDFVM_OK)
        return vm;
    udfvm_vm_close(vm);
    return NULL;
}

udfvm_vm *udfvm_vm_boot(const struct udfvm_config *config, const void *kernel, size_t kernel_length,
                        const void *boot_payload, size_t boot_length,
                        const struct udfvm_files *files, const struct udfvm_limits *limits,
                        char **report, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    if (report)
        *report = NULL;
    struct udfvm_vm *vm = udfvm_boot_create(config, kernel, kernel_length, NULL, files, error);
    if (!vm)
        return NULL;
    const int code = udfvm_boot_run(vm, boot_payload, boot_length, limits, error);
    return udfvm_boot_end(vm, code, report);
}
