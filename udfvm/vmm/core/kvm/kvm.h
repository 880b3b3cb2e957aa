/* Shared by the files of this folder: hypervisor.h on Linux's KVM. */
#ifndef UDFVM_KVM_KVM_H
#define UDFVM_KVM_KVM_H

#include <linux/kvm.h>

#include "hypervisor.h"

struct hypervisor {
    int fd, vcpu;
    struct kvm_run *run;
    size_t run_size;
    struct kvm_sregs sregs; /* as set at creation */
    struct processor_setup setup;
    struct memory_slot slots[MAX_MEMORY_SLOTS];
    size_t slot_count;
};

/* ---- system.c ---- */
struct processor_features {
    struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entries[256];
    } cpuid;
    uint64_t xcr0;
    bool smep, umip;
};
int udfvm_kvm_open(int *kvm, struct udfvm_error *error); /* a descriptor of /dev/kvm */
int udfvm_processor_features(int kvm, struct processor_features *features,
                             struct udfvm_error *error);

/* ---- vcpu.c ---- */
int udfvm_vcpu_create(struct hypervisor *hypervisor, int kvm, struct udfvm_error *error);

#endif
