/* A VM of KVM: memory slots, the dirty log, its life. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "kvm/kvm.h"

static int add_slot(const struct hypervisor *hypervisor, const struct memory_slot *slot,
                    struct udfvm_error *error)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot->number,
        .flags = (slot->read_only ? KVM_MEM_READONLY : 0) |
                 (slot->logged ? KVM_MEM_LOG_DIRTY_PAGES : 0),
        .guest_phys_addr = slot->physical,
        .memory_size = slot->bytes,
        .userspace_addr = (uint64_t)slot->host,
    };
    if (ioctl(hypervisor->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return udfvm_fail_errno(error, "KVM_SET_USER_MEMORY_REGION (slot %u)", slot->number);
    return UDFVM_OK;
}

/* Manual protection: reading the log does not write-protect the pages again, so a page faults once
 * and then is hot. */
static int log_manually(const struct hypervisor *hypervisor, struct udfvm_error *error)
{
    struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
                                  .args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE } };
    if (ioctl(hypervisor->fd, KVM_ENABLE_CAP, &cap) < 0)
        return udfvm_fail_errno(error, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
    return UDFVM_OK;
}

static int add_slots(const struct hypervisor *hypervisor, struct udfvm_error *error)
{
    bool logged = false;
    for (size_t i = 0; i < hypervisor->slot_count; i++)
        logged = logged || hypervisor->slots[i].logged;
    if (logged)
        UDFVM_TRY(log_manually(hypervisor, error));
    for (size_t i = 0; i < hypervisor->slot_count; i++)
        UDFVM_TRY(add_slot(hypervisor, &hypervisor->slots[i], error));
    return UDFVM_OK;
}

static int create_vm(struct hypervisor *hypervisor, struct udfvm_error *error)
{
    int kvm;
    UDFVM_TRY(udfvm_kvm_open(&kvm, error));
    int code = UDFVM_OK;
    do {
        hypervisor->fd = ioctl(kvm, KVM_CREATE_VM, 0);
    } while (hypervisor->fd < 0 &&
             errno == EINTR); /* a signal interrupts the creation of KVM's worker threads */
    if (hypervisor->fd < 0) {
        code = udfvm_fail_errno(error, "KVM_CREATE_VM");
        goto out;
    }
    UDFVM_TRY_GOTO(code, out, add_slots(hypervisor, error));
    code = udfvm_vcpu_create(hypervisor, kvm, error);
out:
    close(kvm);
    return code;
}

static void close_vm(struct hypervisor *hypervisor)
{
    if (hypervisor->run)
        munmap(hypervisor->run, hypervisor->run_size);
    if (hypervisor->vcpu >= 0)
        close(hypervisor->vcpu);
    if (hypervisor->fd >= 0)
        close(hypervisor->fd);
    hypervisor->run = NULL;
    hypervisor->fd = hypervisor->vcpu = -1;
}

int udfvm_hypervisor_create(struct hypervisor **created, const struct memory_slot *slots,
                            size_t count, const struct processor_setup *setup,
                            struct udfvm_error *error)
{
    struct hypervisor *hypervisor = calloc(1, sizeof *hypervisor);
    if (!hypervisor)
        return udfvm_fail_errno(error, "allocating a VM");
    hypervisor->fd = hypervisor->vcpu = -1;
    hypervisor->setup = *setup;
    hypervisor->slot_count = count;
    memcpy(hypervisor->slots, slots, count * sizeof *slots);
    const int code = create_vm(hypervisor, error);
    if (code != UDFVM_OK) {
        udfvm_hypervisor_destroy(hypervisor);
        return code;
    }
    *created = hypervisor;
    return UDFVM_OK;
}

int udfvm_hypervisor_renew(struct hypervisor *hypervisor, struct udfvm_error *error)
{
    close_vm(hypervisor);
    return create_vm(hypervisor, error);
}

void udfvm_hypervisor_destroy(struct hypervisor *hypervisor)
{
    if (!hypervisor)
        return;
    close_vm(hypervisor);
    free(hypervisor);
}

int udfvm_hypervisor_add_slot(struct hypervisor *hypervisor, const struct memory_slot *slot,
                              struct udfvm_error *error)
{
    UDFVM_TRY(add_slot(hypervisor, slot, error));
    hypervisor->slots[hypervisor->slot_count++] = *slot;
    return UDFVM_OK;
}

void udfvm_hypervisor_forget_memory(struct hypervisor *hypervisor)
{
    hypervisor->run = NULL;
}

int udfvm_hypervisor_dirty_pages(const struct hypervisor *hypervisor, uint32_t slot,
                                 uint64_t *bitmap, struct udfvm_error *error)
{
    struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };
    if (ioctl(hypervisor->fd, KVM_GET_DIRTY_LOG, &log) < 0)
        return udfvm_fail_errno(error, "KVM_GET_DIRTY_LOG");
    return UDFVM_OK;
}

int udfvm_hypervisor_clear_dirty(const struct hypervisor *hypervisor, uint32_t slot, uint64_t pages,
                                 uint64_t *bitmap, struct udfvm_error *error)
{
    struct kvm_clear_dirty_log clear = { .slot = slot,
                                         .num_pages = (uint32_t)pages,
                                         .dirty_bitmap = bitmap };
    if (ioctl(hypervisor->fd, KVM_CLEAR_DIRTY_LOG, &clear) < 0)
        return udfvm_fail_errno(error, "KVM_CLEAR_DIRTY_LOG");
    return UDFVM_OK;
}
