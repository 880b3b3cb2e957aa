/* What this folder asks of KVM: all the requests of ioctl(2) that it makes. */
#include "kvm/kvm.h"

/* The first are the most frequent. */
static const uint32_t requests[] = {
    KVM_RUN,
    KVM_GET_DIRTY_LOG,
    KVM_CLEAR_DIRTY_LOG,
    KVM_SET_SREGS,
    KVM_SET_VCPU_EVENTS,
    KVM_SET_MSRS,
    KVM_SET_DEBUGREGS,
    KVM_SET_MP_STATE,
    KVM_SET_SIGNAL_MASK,
    KVM_GET_API_VERSION,
    KVM_CHECK_EXTENSION,
    KVM_GET_SUPPORTED_CPUID,
    KVM_CREATE_VM,
    KVM_ENABLE_CAP,
    KVM_SET_USER_MEMORY_REGION,
    KVM_GET_VCPU_MMAP_SIZE,
    KVM_CREATE_VCPU,
    KVM_SET_CPUID2,
    KVM_GET_SREGS,
    KVM_SET_XCRS,
    KVM_SET_DEVICE_ATTR,
    KVM_GET_TSC_KHZ,
};

const uint32_t *udfvm_hypervisor_requests(size_t *count)
{
    *count = sizeof requests / sizeof *requests;
    return requests;
}

const uint32_t *udfvm_hypervisor_entry_requests(size_t *count)
{
    static const uint32_t entering[] = { KVM_RUN, KVM_SET_SIGNAL_MASK };
    *count = sizeof entering / sizeof *entering;
    return entering;
}
