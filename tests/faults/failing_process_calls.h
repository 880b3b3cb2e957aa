/* Calls of failing_calls.c that make processes and threads, ask about them, and talk to them. */
#ifndef FAILING_PROCESS_CALLS_H
#define FAILING_PROCESS_CALLS_H

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "../core/variadic.h"

EXPORT int socketpair(int domain, int type, int protocol, int ends[2])
{
    NEXT(socketpair);
    return fails("socketpair", HERE, 0, false, EMFILE) ? -1 : next(domain, type, protocol, ends);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    NEXT(sendmsg);
    return fails("sendmsg", HERE, 0, false, EPIPE) ? -1 : next(fd, message, flags);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    NEXT(recvmsg);
    return fails("recvmsg", HERE, 0, false, ECONNRESET) ? -1 : next(fd, message, flags);
}

EXPORT int posix_spawn(pid_t *process, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const arguments[],
                       char *const environment[])
{
    NEXT(posix_spawn);
    return fails("clone", HERE, 1, false, EAGAIN)
               ? EAGAIN
               : next(process, path, actions, attributes, arguments, environment);
}

/* As of posix_spawn, the result is the error. */
EXPORT int posix_spawn_file_actions_init(posix_spawn_file_actions_t *actions)
{
    NEXT(posix_spawn_file_actions_init);
    return fails("spawn_actions", HERE, 0, false, ENOMEM) ? ENOMEM : next(actions);
}

EXPORT int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *actions, int fd,
                                            const char *path, int flags, mode_t mode)
{
    NEXT(posix_spawn_file_actions_addopen);
    return fails("spawn_actions", HERE, 0, false, ENOMEM) ? ENOMEM
                                                          : next(actions, fd, path, flags, mode);
}

EXPORT int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int to)
{
    NEXT(posix_spawn_file_actions_adddup2);
    return fails("spawn_actions", HERE, 0, false, ENOMEM) ? ENOMEM : next(actions, fd, to);
}

EXPORT int pthread_attr_setaffinity_np(pthread_attr_t *attributes, size_t size,
                                       const cpu_set_t *set)
{
    NEXT(pthread_attr_setaffinity_np);
    return fails("affinity", HERE, 0, false, ENOMEM) ? ENOMEM : next(attributes, size, set);
}

EXPORT int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set)
{
    NEXT(sched_getaffinity);
    return fails("affinity", HERE, 0, false, EPERM) ? -1 : next(process, size, set);
}

EXPORT int sched_setaffinity(pid_t process, size_t size, const cpu_set_t *set)
{
    NEXT(sched_setaffinity);
    return fails("affinity", HERE, 0, false, EINVAL) ? -1 : next(process, size, set);
}

EXPORT int getrlimit64(__rlimit_resource_t resource, struct rlimit64 *limit)
{
    NEXT(getrlimit64);
    return fails("getrlimit", HERE, 0, false, EINVAL) ? -1 : next(resource, limit);
}

EXPORT int poll(struct pollfd *files, nfds_t count, int timeout)
{
    NEXT(poll);
    return fails("poll", HERE, 0, false, ENOMEM) ? -1 : next(files, count, timeout);
}

EXPORT DIR *opendir(const char *path)
{
    NEXT(opendir);
    return fails("opendir", HERE, 0, false, EMFILE) ? NULL : next(path);
}

EXPORT DIR *fdopendir(int fd)
{
    NEXT(fdopendir);
    return fails("opendir", HERE, 0, false, ENOMEM) ? NULL : next(fd);
}

EXPORT struct dirent64 *readdir64(DIR *folder_stream)
{
    NEXT(readdir64);
    return fails("readdir", HERE, 0, false, EIO) ? NULL : next(folder_stream);
}

EXPORT ssize_t readlinkat(int at, const char *path, char *to, size_t length)
{
    NEXT(readlinkat);
    return fails("readlinkat", HERE, 0, false, EIO) ? -1 : next(at, path, to, length);
}

EXPORT char *getcwd(char *to, size_t length)
{
    NEXT(getcwd);
    return fails("getcwd", HERE, 0, false, ENOENT) ? NULL : next(to, length);
}

/* Signals that are queued may be too many; those of the kinds that have no queue arrive. */
static bool may_fail(long number, const long *arguments)
{
    const bool arrives = (number == SYS_tgkill && arguments[2] < SIGRTMIN) ||
                         (number == SYS_pidfd_send_signal && arguments[1] < SIGRTMIN);
    return number != SYS_futex && number != SYS_gettid && !arrives;
}

EXPORT long syscall(long number, ...)
{
    long arguments[6];
    READ_ARGUMENTS(arguments, number);
    NEXT(syscall);
    return may_fail(number, arguments) && fails("syscall", HERE, (uint64_t)number, false, EAGAIN)
               ? -1
               : next(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                      arguments[5]);
}

EXPORT int prctl(int option, ...)
{
    unsigned long arguments[4];
    READ_ARGUMENTS(arguments, option);
    NEXT(prctl);
    return fails("prctl", HERE, (uint64_t)option, false, EINVAL)
               ? -1
               : next(option, arguments[0], arguments[1], arguments[2], arguments[3]);
}

/* What another place of memory is taken for counts as mapped there. */
EXPORT void *mremap(void *old, size_t old_length, size_t length, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    void *to = flags & MREMAP_FIXED ? va_arg(arguments, void *) : NULL;
    va_end(arguments);
    NEXT(mremap);
    if (fails("mremap", HERE, 0, false, ENOMEM))
        return MAP_FAILED;
    void *made = next(old, old_length, length, flags, to);
    if (made != MAP_FAILED && flags & MREMAP_FIXED && place_of(HERE))
        atomic_fetch_sub(&mapped, pages(old_length));
    return made;
}

#endif
