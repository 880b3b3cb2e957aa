/* What tests of the processor share: an image of the raw guest, calls of it, and KVM, which is made
 * to answer what it seldom does where a program is linked with -Wl,--wrap=ioctl. */
#ifndef PROCESSOR_H
#define PROCESSOR_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/pages.h"
#include "call/vm.h"
#include "kvm/kvm.h"
#include "check.h"
#include "raw_guest.h"

#ifndef MEMORY
#define MEMORY (32ull << 20)
#endif
#define WINDOW (4ull << 20)
#define MARK   0x6d61726bull

#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, 96)
#endif

static udfvm_image *image;

/* What KVM answers. */
static int vms_made;
static bool scan_refused;
static struct {
    bool armed;
    int skip;
    struct kvm_run *run;
    uint32_t reason;
} forged; /* the answer to a KVM_RUN, which is not made */

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    vms_made += request == KVM_CREATE_VM;
    if (request == PAGEMAP_SCAN && scan_refused) {
        errno = ENOTTY;
        return -1;
    }
    if (request == KVM_RUN && forged.armed && forged.skip-- == 0) {
        forged.armed = false;
        forged.run->exit_reason = forged.reason;
        return 0;
    }
    return __real_ioctl(fd, request, argument);
}

static const struct udfvm_limits usual = { .timeout_ns = 20000000000 },
                                 soon __attribute__((unused)) = { .timeout_ns = 20000000 };

static inline int call(udfvm_vm *vm, const struct udfvm_limits *limits, struct udfvm_reply *reply,
                       uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const uint64_t request[] = { a, b, c, d };
    struct udfvm_error error;
    return udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, limits, reply, &error);
}

static inline udfvm_vm *open_vm(void)
{
    struct udfvm_error error;
    udfvm_vm *vm = udfvm_vm_open(image, NULL, &error);
    if (!vm) {
        printf("cannot open a VM: %s\n", error.message);
        exit(1);
    }
    return vm;
}

static inline void build(const char *path)
{
    static char kernel[1 << 20];
    const struct udfvm_config config = {
        .memory = MEMORY, .input_window = WINDOW, .output_window = WINDOW, .scratch = WINDOW
    };
    const struct udfvm_boot boot = { .memory_end = MEMORY };
    struct udfvm_error error = { .message = "" };
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, kernel, sizeof kernel);
    close(fd);
    FILE *file = tmpfile();
    udfvm_vm *vm = length > 0 ? udfvm_vm_boot(&config, kernel, (size_t)length, &boot, sizeof boot,
                                              NULL, NULL, NULL, &error)
                              : NULL;
    if (vm && udfvm_vm_seal(vm, fileno(file), "raw", 3, &error) == UDFVM_OK)
        image = udfvm_image_open(fileno(file), NULL, &error);
    udfvm_vm_close(vm);
    fclose(file);
    if (!image) {
        printf("cannot build the raw guest: %s\n", error.message);
        exit(1);
    }
}

static inline void forge(udfvm_vm *vm, uint32_t reason, int skip)
{
    forged.run = vm->machine.hypervisor->run;
    forged.reason = reason;
    forged.skip = skip;
    forged.armed = true;
}

static inline bool stack_is_clean(const udfvm_vm *vm)
{
    for (size_t i = SYSTEM_STACK; i < SYSTEM_STACK_TOP; i++)
        if (vm->machine.system[i])
            return false;
    return true;
}

#endif
