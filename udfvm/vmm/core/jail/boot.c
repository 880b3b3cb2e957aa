/* Booting a VM in a jail. What becomes a base image imports packages, and runs code of theirs. */
#include <unistd.h>

#include "base/error.h"
#include "call/exchange.h"
#include "jail/memory.h"
#include "jail/open.h"

struct program {
    const void *kernel, *payload;
    size_t kernel_length, payload_length;
};

static int run(struct cell *cell, const struct program *program, int kernel,
               const struct shared_windows *windows, struct udfvm_error *error)
{
    struct jail_message message = udfvm_cell_message(&cell->vm, JAIL_BOOT, UDFVM_REQUEST_BOOT,
                                                     program->payload_length);
    struct udfvm_reply reply = { .sealed = 0 };
    int files[MAX_JAIL_FILES] = { kernel, windows->input, windows->output };
    message.config = cell->vm.config;
    message.bytes = program->kernel_length;
    message.files = 3;
    UDFVM_TRY(udfvm_cell_call(cell, &message, files, &reply, error));
    return reply.sealed ? UDFVM_OK : udfvm_boot_fail_unsealed(error);
}

static int copy_and_run(struct cell *cell, const struct program *program,
                        const struct shared_windows *windows, struct udfvm_error *error)
{
    int kernel = -1;
    UDFVM_TRY(
        udfvm_jail_copy("udfvm-kernel", program->kernel, program->kernel_length, &kernel, error));
    const int code = run(cell, program, kernel, windows, error);
    close(kernel);
    return code;
}

static int boot(struct cell *cell, const struct program *program, const struct udfvm_limits *limits,
                const char *cgroup, struct udfvm_error *error)
{
    struct shared_windows windows = { -1, -1 };
    int code = udfvm_cell_start(cell, &windows, cgroup, error);
    if (code == UDFVM_OK)
        code = udfvm_vm_place(&cell->vm, UDFVM_REQUEST_BOOT, program->payload,
                              program->payload_length, limits, error);
    if (code == UDFVM_OK)
        code = copy_and_run(cell, program, &windows, error);
    udfvm_cell_keep_windows(cell, &windows);
    return code;
}

udfvm_vm *udfvm_vm_boot_jailed(const struct udfvm_config *config, const void *kernel,
                               size_t kernel_length, const void *boot_payload, size_t boot_length,
                               const struct udfvm_files *files, const struct udfvm_limits *limits,
                               const char *cgroup, char **report, struct udfvm_error *error)
{
    const struct program program = { kernel, boot_payload, kernel_length, boot_length };
    udfvm_error_clear(error);
    if (report)
        *report = NULL;
    if (udfvm_boot_check(config, kernel_length, error) != UDFVM_OK)
        return NULL;
    struct cell *cell = udfvm_cell_begin(config, NULL, files, error);
    if (!cell)
        return NULL;
    const int code = boot(cell, &program, limits, cgroup, error);
    return udfvm_boot_end(&cell->vm, code, report);
}
