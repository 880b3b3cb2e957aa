/* What an exit costs on this machine: no call can cost less. */
#include <string.h>

#include "udfvm_abi.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/pages.h"
#include "machine/machine.h"

static int exit_once(const struct machine *machine, struct udfvm_error *error)
{
    enum hypervisor_exit last;
    do {
        last = udfvm_hypervisor_run(machine->hypervisor);
    } while (last == EXIT_INTERRUPTED);
    return last == EXIT_HYPERCALL ? UDFVM_OK
                                  : udfvm_hypervisor_fail_exit(machine->hypervisor, last, error);
}

int udfvm_measure_exits(double *microseconds, size_t count, struct udfvm_error *error)
{
    static const uint8_t code[] = {
        0x0f, 0x58, 0xc1, 0xe6, UDFVM_PORT, 0xeb, 0xf9
    }; /* addps %xmm1, %xmm0; out; jmp back */
    const struct udfvm_config config = { .memory = 8 * HUGE_PAGE,
                                         .input_window = HUGE_PAGE,
                                         .output_window = HUGE_PAGE };
    struct machine machine;
    udfvm_error_clear(error);
    int result = udfvm_machine_create(&machine, &config, NULL, error);
    if (result != UDFVM_OK)
        return result;
    udfvm_machine_load(&machine, code, sizeof code);
    *machine.registers = (struct registers){ .rip = UDFVM_KERNEL_BASE,
                                             .rsp = UDFVM_BOOT_STACK,
                                             .rflags = machine.rflags };
    udfvm_hypervisor_load_registers(machine.hypervisor);
    result = exit_once(&machine, error); /* not counted: it touches everything for the first time */
    for (size_t i = 0; result == UDFVM_OK && i < count; i++) {
        const uint64_t start = udfvm_monotonic_ns();
        result = exit_once(&machine, error);
        microseconds[i] = (double)(udfvm_monotonic_ns() - start) / 1e3;
    }
    udfvm_machine_destroy(&machine);
    return result;
}
