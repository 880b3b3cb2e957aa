/* Failures of this thread's system calls and allocations, by the linker's --wrap: all succeed until
 * the one that is to fail. */
#ifndef FAILING_CALLS_H
#define FAILING_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

static _Thread_local long left =
    -1; /* calls that succeed before the one that fails; -1: none fails */
static _Thread_local bool failed;

static bool fails(int code)
{
    if (left < 0 || left-- > 0)
        return false;
    failed = true;
    errno = code;
    return true;
}

void *__real_malloc(size_t), *__real_calloc(size_t, size_t), *__real_realloc(void *, size_t);
int __real_ioctl(int, unsigned long, ...), __real_madvise(void *, size_t, int),
    __real_open(const char *, int, ...);
int __real_timer_create(clockid_t, struct sigevent *, timer_t *);
int __real_timer_settime(timer_t, int, const struct itimerspec *, struct itimerspec *);
int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
ssize_t __real_getrandom(void *, size_t, unsigned);

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

#endif
