/* System calls that are refused as Linux refuses them to a program without privileges, and those
 * about children, of which there are none. docs/system_calls.md lists them, and those that are
 * missing. */
#include "kernel.h"

SYSTEM_CALL(acct)
{
    return -EPERM;
}
/* The machine, its clock and its modules. */
SYSTEM_CALL_ALIAS(adjtimex, acct);
SYSTEM_CALL_ALIAS(clock_adjtime, acct);
SYSTEM_CALL_ALIAS(delete_module, acct);
SYSTEM_CALL_ALIAS(finit_module, acct);
SYSTEM_CALL_ALIAS(init_module, acct);
SYSTEM_CALL_ALIAS(ioperm, acct);
SYSTEM_CALL_ALIAS(iopl, acct);
SYSTEM_CALL_ALIAS(kexec_file_load, acct);
SYSTEM_CALL_ALIAS(kexec_load, acct);
SYSTEM_CALL_ALIAS(reboot, acct);
SYSTEM_CALL_ALIAS(setdomainname, acct);
SYSTEM_CALL_ALIAS(sethostname, acct);
SYSTEM_CALL_ALIAS(swapoff, acct);
SYSTEM_CALL_ALIAS(swapon, acct);
SYSTEM_CALL_ALIAS(syslog, acct);
SYSTEM_CALL_ALIAS(vhangup, acct);
/* File systems and namespaces. */
SYSTEM_CALL_ALIAS(chroot, acct);
SYSTEM_CALL_ALIAS(fanotify_init, acct);
SYSTEM_CALL_ALIAS(fanotify_mark, acct);
SYSTEM_CALL_ALIAS(fsconfig, acct);
SYSTEM_CALL_ALIAS(fsmount, acct);
SYSTEM_CALL_ALIAS(fsopen, acct);
SYSTEM_CALL_ALIAS(fspick, acct);
SYSTEM_CALL_ALIAS(mount_setattr, acct);
SYSTEM_CALL_ALIAS(move_mount, acct);
SYSTEM_CALL_ALIAS(open_by_handle_at, acct);
SYSTEM_CALL_ALIAS(open_tree, acct);
SYSTEM_CALL_ALIAS(pivot_root, acct);
SYSTEM_CALL_ALIAS(quotactl, acct);
SYSTEM_CALL_ALIAS(quotactl_fd, acct);
SYSTEM_CALL_ALIAS(setns, acct);
SYSTEM_CALL_ALIAS(umount2, acct);
SYSTEM_CALL_ALIAS(unshare, acct);
/* Other processes, and what looks into programs. */
SYSTEM_CALL_ALIAS(bpf, acct);
SYSTEM_CALL_ALIAS(kcmp, acct);
SYSTEM_CALL_ALIAS(perf_event_open, acct);
SYSTEM_CALL_ALIAS(process_vm_readv, acct);
SYSTEM_CALL_ALIAS(process_vm_writev, acct);
SYSTEM_CALL_ALIAS(ptrace, acct);
SYSTEM_CALL_ALIAS(userfaultfd, acct);

SYSTEM_CALL(wait4)
{
    return -ECHILD;
}
SYSTEM_CALL_ALIAS(waitid, wait4);

SYSTEM_CALL(name_to_handle_at)
{
    return -EOPNOTSUPP;
}

SYSTEM_CALL(restart_syscall)
{
    return -EINTR;
}
