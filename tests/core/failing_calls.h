/* Failures of system calls and allocations, by the linker's --wrap: all succeed until the one that
 * is to fail. Those of this thread count, or those of all threads. */
#ifndef FAILING_CALLS_H
#define FAILING_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "variadic.h"

static _Thread_local long left =
    -1; /* calls that succeed before the one that fails; -1: none fails */
static _Thread_local bool failed;
static atomic_long left_of_all = -1; /* the same, of all threads */
static atomic_bool failed_in_any;
static atomic_bool failing_goes_on; /* all calls of that kind fail from then on */
static const char *_Atomic failed_call;

static bool fails_of_all(const char *name)
{
    if (atomic_load(&left_of_all) < 0)
        return false;
    if (atomic_load(&failed_in_any))
        return atomic_load(&failing_goes_on) && atomic_load(&failed_call) == name;
    if (atomic_fetch_sub(&left_of_all, 1) > 0)
        return false;
    atomic_store(&left_of_all, 0);
    atomic_store(&failed_call, name);
    atomic_store(&failed_in_any, true);
    return true;
}

static bool fails_as(const char *name, int code)
{
    if (left >= 0 && left-- == 0)
        failed = true;
    else if (!fails_of_all(name))
        return false;
    errno = code;
    return true;
}
#define fails(code) fails_as(__func__, code)

void *__real_malloc(size_t), *__real_calloc(size_t, size_t), *__real_realloc(void *, size_t);
int __real_ioctl(int, unsigned long, ...), __real_madvise(void *, size_t, int),
    __real_open(const char *, int, ...), __real_openat(int, const char *, int, ...),
    __real_fcntl(int, int, ...);
int __real_timer_create(clockid_t, struct sigevent *, timer_t *);
int __real_timer_settime(timer_t, int, const struct itimerspec *, struct itimerspec *);
int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
ssize_t __real_getrandom(void *, size_t, unsigned);
void *__real_mmap(void *, size_t, int, int, int, off_t);
int __real_munmap(void *, size_t), __real_mprotect(void *, size_t, int);
ssize_t __real_read(int, void *, size_t), __real_write(int, const void *, size_t),
    __real_pread(int, void *, size_t, off_t), __real_pwrite(int, const void *, size_t, off_t),
    __real_pwritev(int, const struct iovec *, int, off_t);
int __real_ftruncate(int, off_t), __real_fstat(int, struct stat *),
    __real_fstatat(int, const char *, struct stat *, int), __real_flock(int, int),
    __real_futimens(int, const struct timespec *),
    __real_renameat(int, const char *, int, const char *);
off_t __real_lseek(int, off_t, int);
int __real_prctl(int, ...);
int __real_sched_getaffinity(pid_t, size_t, void *);
int __real_sched_setaffinity(pid_t, size_t, const void *);
int __real_pthread_attr_setaffinity_np(pthread_attr_t *, size_t, const void *);

void *__wrap_malloc(size_t size)
{
    return fails(ENOMEM) ? NULL : __real_malloc(size);
}
void *__wrap_calloc(size_t count, size_t size)
{
    return fails(ENOMEM) ? NULL : __real_calloc(count, size);
}
void *__wrap_realloc(void *old, size_t size)
{
    return fails(ENOMEM) ? NULL : __real_realloc(old, size);
}
int __wrap_madvise(void *address, size_t length, int advice)
{
    return fails(ENOMEM) ? -1 : __real_madvise(address, length, advice);
}
int __wrap_mprotect(void *address, size_t length, int protection)
{
    return fails(ENOMEM) ? -1 : __real_mprotect(address, length, protection);
}
int __wrap_timer_create(clockid_t clock, struct sigevent *event, timer_t *timer)
{
    return fails(EAGAIN) ? -1 : __real_timer_create(clock, event, timer);
}
ssize_t __wrap_getrandom(void *to, size_t length, unsigned flags)
{
    return fails(ENOSYS) ? -1 : __real_getrandom(to, length, flags);
}

int __wrap_timer_settime(timer_t timer, int flags, const struct itimerspec *value,
                         struct itimerspec *old)
{
    return fails(EINVAL) ? -1 : __real_timer_settime(timer, flags, value, old);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    return fails(EAGAIN) ? EAGAIN : __real_pthread_create(thread, attributes, run, argument);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return fails(EIO) ? -1 : __real_ioctl(fd, request, argument);
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return fails(EMFILE) ? -1 : __real_open(path, flags, mode);
}

int __wrap_openat(int folder, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return fails(EMFILE) ? -1 : __real_openat(folder, path, flags, mode);
}

int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return fails(EMFILE) ? -1 : __real_fcntl(fd, command, argument);
}

/* What the core has mapped: MAP_FIXED takes the place of what was mapped before. */
static atomic_long mapped_bytes;

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *mapped = fails(ENOMEM) ? (void *)-1
                                 : __real_mmap(address, length, protection, flags, fd, offset);
    if (mapped != (void *)-1 && address == NULL)
        mapped_bytes += (long)((length + 4095) & ~4095ul);
    return mapped;
}

int __wrap_munmap(void *address, size_t length)
{
    mapped_bytes -= (long)((length + 4095) & ~4095ul);
    return __real_munmap(address, length);
}

ssize_t __wrap_read(int fd, void *to, size_t length)
{
    return fails(EIO) ? -1 : __real_read(fd, to, length);
}
ssize_t __wrap_pread(int fd, void *to, size_t length, off_t offset)
{
    return fails(EIO) ? -1 : __real_pread(fd, to, length, offset);
}
ssize_t __wrap_write(int fd, const void *from, size_t length)
{
    return fails(ENOSPC) ? -1 : __real_write(fd, from, length);
}
ssize_t __wrap_pwrite(int fd, const void *from, size_t length, off_t offset)
{
    return fails(ENOSPC) ? -1 : __real_pwrite(fd, from, length, offset);
}
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return fails(ENOSPC) ? -1 : __real_pwritev(fd, parts, count, offset);
}
int __wrap_ftruncate(int fd, off_t length)
{
    return fails(ENOSPC) ? -1 : __real_ftruncate(fd, length);
}
int __wrap_fstat(int fd, struct stat *status)
{
    return fails(EIO) ? -1 : __real_fstat(fd, status);
}
int __wrap_fstatat(int folder, const char *path, struct stat *status, int flags)
{
    return fails(EIO) ? -1 : __real_fstatat(folder, path, status, flags);
}
int __wrap_flock(int fd, int operation)
{
    return fails(ENOLCK) ? -1 : __real_flock(fd, operation);
}
int __wrap_futimens(int fd, const struct timespec *times)
{
    return fails(EROFS) ? -1 : __real_futimens(fd, times);
}
int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    return fails(ENOSPC) ? -1 : __real_renameat(from_folder, from, to_folder, to);
}
off_t __wrap_lseek(int fd, off_t offset, int whence)
{
    return fails(EIO) ? -1 : __real_lseek(fd, offset, whence);
}
int __wrap_sched_getaffinity(pid_t process, size_t size, void *set)
{
    return fails(EPERM) ? -1 : __real_sched_getaffinity(process, size, set);
}
int __wrap_sched_setaffinity(pid_t process, size_t size, const void *set)
{
    return fails(EINVAL) ? -1 : __real_sched_setaffinity(process, size, set);
}
int __wrap_pthread_attr_setaffinity_np(pthread_attr_t *attributes, size_t size, const void *set)
{
    return fails(ENOMEM) ? ENOMEM : __real_pthread_attr_setaffinity_np(attributes, size, set);
}
int __wrap_prctl(int option, ...)
{
    unsigned long arguments[4];
    READ_ARGUMENTS(arguments, option);
    return fails(EINVAL)
               ? -1
               : __real_prctl(option, arguments[0], arguments[1], arguments[2], arguments[3]);
}

#endif
