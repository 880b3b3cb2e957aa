/* Keeps a VM with a vCPU open until its input ends. Kernels patch their own code when the first
 * VM appears and when the last one goes; emulators of processors may run what was there before,
 * and stand still. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void)
{
    const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    const int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0ul);
    const int vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0ul);
    char byte;
    if (vcpu < 0) {
        perror("/dev/kvm");
        return 1;
    }
    puts("kept");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return 0;
}
