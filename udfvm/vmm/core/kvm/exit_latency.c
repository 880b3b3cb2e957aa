/* What an exit costs on this machine: the least that any call can cost. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "internal.h"

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int exit_once(const struct machine *machine, struct udfvm_error *error)
{
    while (ioctl(machine->vcpu, KVM_RUN, 0) < 0)
        if (errno != EINTR)
            return udfvm_fail_errno(error, "KVM_RUN");
    if (machine->run->exit_reason != KVM_EXIT_IO || machine->run->io.port != UDFVM_PORT)
        return udfvm_fail(error, UDFVM_E_PROTOCOL,
                          "KVM exit %u where the hypercall port was expected",
                          machine->run->exit_reason);
    return UDFVM_OK;
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
    int result = udfvm_machine_create(&machine, &config, -1, 0, error);
    if (result != UDFVM_OK)
        return result;
    udfvm_span_load(&machine, code, sizeof code);
    machine.run->s.regs.regs = (struct kvm_regs){ .rip = UDFVM_KERNEL_BASE,
                                                  .rsp = UDFVM_BOOT_STACK,
                                                  .rflags = machine.rflags };
    machine.run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
    result = exit_once(&machine, error); /* not counted: it touches everything for the first time */
    for (size_t i = 0; result == UDFVM_OK && i < count; i++) {
        double start = now_us();
        result = exit_once(&machine, error);
        microseconds[i] = now_us() - start;
    }
    udfvm_machine_destroy(&machine);
    return result;
}
