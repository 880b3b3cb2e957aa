/* /dev/kvm: opening it, and what it can do. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "kvm/kvm.h"

/* State components that VMs enable: x87, SSE, AVX and the three of AVX-512. AMX needs a permission
 * that processes must ask for, and PKRU is of no use while CR4.PKE is clear. */
#define XCR0_WANTED 0xe7ull

static int fail_open(struct udfvm_error *error)
{
    if (errno == EACCES || errno == EPERM)
        return udfvm_fail(error, UDFVM_E_PERMISSION,
                          "/dev/kvm may not be opened for reading and writing by this user");
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
        return udfvm_fail(error, UDFVM_E_NO_KVM,
                          "/dev/kvm is absent: no KVM is offered by this kernel or container");
    return udfvm_fail_errno(error, "opening /dev/kvm");
}

static int kept = -1; /* a descriptor of the device; -1: it is opened by its name */

int udfvm_kvm_open(int *kvm, struct udfvm_error *error)
{
    const int fd = kept < 0 ? open("/dev/kvm", O_RDWR | O_CLOEXEC)
                            : fcntl(kept, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return fail_open(error);
    const int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION) {
        close(fd);
        return udfvm_fail(error, UDFVM_E_NO_KVM, "/dev/kvm speaks API version %d, not %d", version,
                          KVM_API_VERSION);
    }
    *kvm = fd;
    return UDFVM_OK;
}

int udfvm_hypervisor_keep_device(struct udfvm_error *error)
{
    return kept < 0 ? udfvm_kvm_open(&kept, error) : UDFVM_OK;
}

/* KVM's own leaves (and those of the hypervisors that it imitates) promise hypercalls and shared
 * pages that the guest must not use. */
static bool is_paravirtual(uint32_t function)
{
    return function >= 0x40000000 && function < 0x50000000;
}

/* KVM fills in the number of the processor that asked. The guest's is 0. */
static void number_processor(struct kvm_cpuid_entry2 *entry)
{
    if (entry->function == 1)
        entry->ebx &= 0xffffff; /* initial APIC ID */
    if (entry->function == 0xb || entry->function == 0x1f)
        entry->edx = 0; /* x2APIC ID */
    if (entry->function == 0x8000001e)
        entry->eax = 0; /* extended APIC ID */
}

static void note_features(struct processor_features *features, const struct kvm_cpuid_entry2 *entry)
{
    if (entry->function == 0xd && entry->index == 0)
        features->xcr0 = (entry->eax | (uint64_t)entry->edx << 32) & XCR0_WANTED;
    if (entry->function == 7 && entry->index == 0) {
        features->smep = entry->ebx >> 7 & 1;
        features->umip = entry->ecx >> 2 & 1;
    }
}

static int read_features(int kvm, struct processor_features *features, struct udfvm_error *error)
{
    memset(features, 0, sizeof *features);
    features->cpuid.head.nent = sizeof features->cpuid.entries / sizeof features->cpuid.entries[0];
    if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &features->cpuid) < 0)
        return udfvm_fail_errno(error, "KVM_GET_SUPPORTED_CPUID");
    uint32_t kept = 0;
    for (uint32_t i = 0; i < features->cpuid.head.nent; i++) {
        struct kvm_cpuid_entry2 entry = features->cpuid.entries[i];
        note_features(features, &entry);
        number_processor(&entry);
        if (!is_paravirtual(entry.function))
            features->cpuid.entries[kept++] = entry;
    }
    features->cpuid.head.nent = kept;
    if ((features->xcr0 & 3) != 3)
        return udfvm_fail(error, UDFVM_E_NO_KVM, "KVM offers guests no SSE state (XCR0 %#llx)",
                          (unsigned long long)features->xcr0);
    return UDFVM_OK;
}

/* Asking KVM takes as long as some 30 calls. */
enum { UNKNOWN, BEING_WRITTEN, KNOWN };
static atomic_int state;
static struct processor_features known;

int udfvm_processor_features(int kvm, struct processor_features *features,
                             struct udfvm_error *error)
{
    if (atomic_load(&state) == KNOWN) {
        *features = known;
        return UDFVM_OK;
    }
    UDFVM_TRY(read_features(kvm, features, error));
    int unknown = UNKNOWN;
    if (atomic_compare_exchange_strong(&state, &unknown, BEING_WRITTEN)) {
        known = *features;
        atomic_store(&state, KNOWN);
    }
    return UDFVM_OK;
}

void udfvm_hypervisor_ask(void)
{
    struct processor_features features;
    int kvm;
    if (atomic_load(&state) == KNOWN || udfvm_kvm_open(&kvm, NULL) != UDFVM_OK)
        return; /* where there is none the creation fails, and says so */
    (void)udfvm_processor_features(kvm, &features, NULL);
    close(kvm);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

int udfvm_system_probe(struct udfvm_system *system, struct udfvm_error *error)
{
    udfvm_error_clear(error);
    *system = (struct udfvm_system){ .kvm_api_version = 0 };
    int kvm;
    UDFVM_TRY(udfvm_kvm_open(&kvm, error));
    system->kvm_api_version = ioctl(kvm, KVM_GET_API_VERSION, 0);
    system->is_pvm = exists("/sys/module/kvm_pvm");
    strcpy(system->vendor, system->is_pvm                    ? "pvm"
                           : exists("/sys/module/kvm_intel") ? "vmx"
                           : exists("/sys/module/kvm_amd")   ? "svm"
                                                             : "unknown");
    system->sync_regs = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS) & KVM_SYNC_X86_REGS ? 1
                                                                                               : 0;
    system->manual_dirty_log = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) &
                                       1
                                   ? 1
                                   : 0;
    system->xcrs = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_XCRS) > 0;
    struct processor_features features;
    int code = udfvm_processor_features(kvm, &features, error);
    system->xcr0 = code == UDFVM_OK ? features.xcr0 : 0;
    close(kvm);
    return code;
}
