/* What the hypervisor of fuzzers has nothing to do for: see guest.h. */
#include "base/error.h"
#include "hypervisor.h"
#include "udfvm_abi.h"

#define TSC_KHZ 2000000u

void udfvm_hypervisor_ask(void)
{
}

void udfvm_hypervisor_lead_calls(struct hypervisor *hypervisor, uint64_t system_call_entry)
{
    (void)hypervisor, (void)system_call_entry;
}

void udfvm_hypervisor_forget_memory(struct hypervisor *hypervisor)
{
    (void)hypervisor;
}

void udfvm_hypervisor_load_registers(struct hypervisor *hypervisor)
{
    (void)hypervisor;
}

int udfvm_hypervisor_fail_exit(const struct hypervisor *hypervisor, enum hypervisor_exit last,
                               struct udfvm_error *error)
{
    (void)hypervisor;
    return udfvm_fail(error, last == EXIT_FAILED ? UDFVM_E_SYSTEM : UDFVM_E_PROTOCOL,
                      "the guest left otherwise");
}

bool udfvm_hypervisor_refused_entry(const struct hypervisor *hypervisor)
{
    (void)hypervisor;
    return false;
}

int udfvm_hypervisor_block_signals(const struct hypervisor *hypervisor, const sigset_t *blocked,
                                   struct udfvm_error *error)
{
    (void)hypervisor, (void)blocked, (void)error;
    return UDFVM_OK;
}

bool udfvm_hypervisor_events_left(const struct hypervisor *hypervisor)
{
    (void)hypervisor;
    return false;
}

int udfvm_hypervisor_reset(struct hypervisor *hypervisor, struct udfvm_error *error)
{
    (void)hypervisor, (void)error;
    return UDFVM_OK;
}

const uint32_t *udfvm_hypervisor_entry_requests(size_t *count)
{
    *count = 0;
    return NULL;
}

uint32_t udfvm_hypervisor_tsc_khz(const struct hypervisor *hypervisor, struct udfvm_error *error)
{
    (void)hypervisor, (void)error;
    return TSC_KHZ;
}
