/* System calls of the file system; vfs/table.inc names their numbers. */
#ifndef UDFVM_VFS_SYSCALLS_H
#define UDFVM_VFS_SYSCALLS_H

#include "kernel.h"

/* attributes.c */
syscall_function sys_xattr, sys_lxattr, sys_fxattr;

/* copy.c */
syscall_function sys_ftruncate, sys_truncate, sys_fallocate, sys_sendfile, sys_copy_file_range;

/* descriptor.c */
syscall_function sys_close, sys_close_range, sys_dup, sys_dup2, sys_dup3, sys_fcntl, sys_flock,
    sys_ioctl;

/* directory.c */
syscall_function sys_getdents64;

/* epoll.c */
syscall_function sys_epoll_create, sys_epoll_create1, sys_epoll_ctl, sys_epoll_wait,
    sys_epoll_pwait2;

/* eventfd.c */
syscall_function sys_eventfd, sys_eventfd2;

/* input_output.c */
syscall_function sys_read, sys_write, sys_pread64, sys_pwrite64, sys_readv, sys_writev, sys_preadv,
    sys_pwritev, sys_preadv2, sys_pwritev2, sys_lseek, sys_sync, sys_fsync, sys_fadvise64;

/* names.c */
syscall_function sys_open, sys_openat, sys_creat, sys_openat2, sys_memfd_create, sys_mkdir,
    sys_mkdirat, sys_mount, sys_rmdir, sys_unlink, sys_unlinkat, sys_rename, sys_renameat,
    sys_renameat2, sys_symlink, sys_symlinkat, sys_link, sys_linkat, sys_chmod, sys_fchmodat,
    sys_fchmod, sys_chown, sys_lchown, sys_fchown, sys_fchownat, sys_utimensat, sys_umask;

/* path.c */
syscall_function sys_getcwd, sys_chdir, sys_fchdir;

/* pipe.c */
syscall_function sys_pipe, sys_pipe2;

/* poll.c */
syscall_function sys_poll, sys_ppoll, sys_select, sys_pselect6;

/* socket.c */
syscall_function sys_socketpair, sys_shutdown, sys_sendto, sys_recvfrom, sys_sendmsg, sys_recvmsg,
    sys_getsockopt, sys_setsockopt, sys_getsockname;

/* status.c */
syscall_function sys_stat, sys_lstat, sys_fstat, sys_newfstatat, sys_statx, sys_access,
    sys_faccessat, sys_faccessat2, sys_readlink, sys_readlinkat, sys_statfs, sys_fstatfs;

#endif
