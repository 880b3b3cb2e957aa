#include "host/exit.h"
#include "host/hypercall.h"
#include "host/log.h"
#include "lib/string.h"

static noreturn void leave(uint64_t reason, uint64_t code, const struct udfvm_crash *crash)
{
    hypercall(UDFVM_HYPERCALL_EXIT, reason, code, (uint64_t)crash, 0, 0);
    __builtin_unreachable();
}

noreturn void host_exit(uint64_t reason, uint64_t code, const struct udfvm_crash *crash)
{
    log_flush();
    leave(reason, code, crash);
}

noreturn void kernel_panic(const char *text)
{
    struct udfvm_crash crash = { .rip = (uint64_t)__builtin_return_address(0) };
    const size_t length = minimum(strlen(text), sizeof crash.text);
    memcpy(crash.text, text, length);
    crash.text_length = (uint32_t)length;
    leave(UDFVM_EXIT_PANIC, 0, &crash);
}
