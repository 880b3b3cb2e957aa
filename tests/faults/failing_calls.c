/* Preloaded into a process (LD_PRELOAD), makes one call of udfvm fail: system calls and allocations
 * of the core, the extensions and the SQLite extension, and what Python does with files of one
 * folder. A first run lists the calls, later ones make one of them fail, or end the process there.
 *
 * A call counts if it comes from one of udfvm's libraries, or names a file of the folder.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "chosen_call.h"

/* ---- Calls ---- */

#define HERE       __builtin_return_address(0)
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define NEXT(name)                 \
    static __typeof__(&name) next; \
    if (!next)                     \
    next = REAL(name)
#define BY_PATH(name, path, code) fails(name, HERE, kind_of(path), in_folder(path), code)
#define BY_FD(name, fd, code) (atomic_load(&armed) && fails(name, HERE, 0, is_of_folder(fd), code))

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

EXPORT void *malloc(size_t size)
{
    return fails("malloc", HERE, 0, false, ENOMEM) ? NULL : __libc_malloc(size);
}

EXPORT void *calloc(size_t count, size_t size)
{
    return fails("calloc", HERE, 0, false, ENOMEM) ? NULL : __libc_calloc(count, size);
}

EXPORT void *realloc(void *old, size_t size)
{
    return fails("realloc", HERE, 0, false, ENOMEM) ? NULL : __libc_realloc(old, size);
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    NEXT(ioctl);
    return fails("ioctl", HERE, request, false, EIO) ? -1 : next(fd, request, argument);
}

static atomic_long mapped; /* bytes that udfvm's libraries have mapped */

static long pages(size_t length)
{
    return (long)((length + 4095) & ~4095ul);
}

#define MMAP(name)                                                                     \
    EXPORT void *name(void *address, size_t length, int protection, int flags, int fd, \
                      off_t offset)                                                    \
    {                                                                                  \
        NEXT(name);                                                                    \
        if (fails("mmap", HERE, 0, false, ENOMEM))                                     \
            return MAP_FAILED;                                                         \
        void *made = next(address, length, protection, flags, fd, offset);             \
        if (made != MAP_FAILED && !(flags & MAP_FIXED) && place_of(HERE))              \
            atomic_fetch_add(&mapped, pages(length));                                  \
        return made;                                                                   \
    }
MMAP(mmap)
MMAP(mmap64)

EXPORT int munmap(void *address, size_t length)
{
    NEXT(munmap);
    if (place_of(HERE))
        atomic_fetch_sub(&mapped, pages(length));
    return next(address, length);
}

EXPORT long faults_mapped(void)
{
    return mapped;
}

EXPORT int madvise(void *address, size_t length, int advice)
{
    NEXT(madvise);
    return fails("madvise", HERE, 0, false, ENOMEM) ? -1 : next(address, length, advice);
}

EXPORT int mprotect(void *address, size_t length, int protection)
{
    NEXT(mprotect);
    return fails("mprotect", HERE, 0, false, ENOMEM) ? -1 : next(address, length, protection);
}

EXPORT int memfd_create(const char *name, unsigned flags)
{
    NEXT(memfd_create);
    return fails("memfd_create", HERE, 0, false, ENFILE) ? -1 : next(name, flags);
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    NEXT(pthread_create);
    return fails("clone", HERE, 0, false, EAGAIN) ? EAGAIN
                                                  : next(thread, attributes, run, argument);
}

EXPORT ssize_t getrandom(void *to, size_t length, unsigned flags)
{
    NEXT(getrandom);
    return fails("getrandom", HERE, 0, false, ENOSYS) ? -1 : next(to, length, flags);
}

static mode_t mode_in(int flags, va_list arguments)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

/* A function that opens a path: what comes before the path as parameter and as argument, `first`
 * and `at`, is empty or ends with a comma. */
#define OPENS(name, call, first, at)                                  \
    EXPORT int name(first const char *path, int flags, ...)           \
    {                                                                 \
        va_list arguments;                                            \
        va_start(arguments, flags);                                   \
        const mode_t mode = mode_in(flags, arguments);                \
        va_end(arguments);                                            \
        NEXT(name);                                                   \
        return BY_PATH(call, path, flags & O_CREAT ? ENOSPC : EMFILE) \
                   ? -1                                               \
                   : next(at path, flags, mode);                      \
    }
#define NOTHING
#define A_DIRECTORY int at,
#define AT          at,
OPENS(open, "open", NOTHING, NOTHING)
OPENS(open64, "open", NOTHING, NOTHING)
OPENS(openat, "openat", A_DIRECTORY, AT)
OPENS(openat64, "openat", A_DIRECTORY, AT)

#define FCNTL(name)                                                     \
    EXPORT int name(int fd, int command, ...)                           \
    {                                                                   \
        va_list arguments;                                              \
        va_start(arguments, command);                                   \
        void *argument = va_arg(arguments, void *);                     \
        va_end(arguments);                                              \
        NEXT(name);                                                     \
        return command == F_DUPFD_CLOEXEC && BY_FD("fcntl", fd, EMFILE) \
                   ? -1                                                 \
                   : next(fd, command, argument);                       \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

EXPORT ssize_t read(int fd, void *to, size_t length)
{
    NEXT(read);
    return BY_FD("read", fd, EIO) ? -1 : next(fd, to, length);
}

#define PREAD(name)                                                         \
    EXPORT ssize_t name(int fd, void *to, size_t length, off_t offset)      \
    {                                                                       \
        NEXT(name);                                                         \
        return BY_FD("pread", fd, EIO) ? -1 : next(fd, to, length, offset); \
    }
PREAD(pread)
PREAD(pread64)

/* Half of it is written, then the disk is full. */
static size_t part(size_t length)
{
    return atomic_load(&action) == SHORT ? length / 2 : 0;
}

EXPORT ssize_t write(int fd, const void *from, size_t length)
{
    NEXT(write);
    if (!BY_FD("write", fd, ENOSPC))
        return next(fd, from, length);
    return part(length) ? next(fd, from, part(length)) : -1;
}

#define PWRITE(name)                                                           \
    EXPORT ssize_t name(int fd, const void *from, size_t length, off_t offset) \
    {                                                                          \
        NEXT(name);                                                            \
        if (!BY_FD("pwrite", fd, ENOSPC))                                      \
            return next(fd, from, length, offset);                             \
        return part(length) ? next(fd, from, part(length), offset) : -1;       \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define FTRUNCATE(name)                                                \
    EXPORT int name(int fd, off_t length)                              \
    {                                                                  \
        NEXT(name);                                                    \
        return BY_FD("ftruncate", fd, ENOSPC) ? -1 : next(fd, length); \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

EXPORT int fsync(int fd)
{
    NEXT(fsync);
    return BY_FD("fsync", fd, ENOSPC) ? -1 : next(fd);
}

EXPORT int flock(int fd, int operation)
{
    NEXT(flock);
    return BY_FD("flock", fd, ENOLCK) ? -1 : next(fd, operation);
}

EXPORT int rename(const char *from, const char *to)
{
    NEXT(rename);
    return BY_PATH("rename", to, ENOSPC) ? -1 : next(from, to);
}

EXPORT int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    NEXT(renameat);
    return BY_PATH("renameat", to, ENOSPC) ? -1 : next(from_folder, from, to_folder, to);
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    NEXT(mkdir);
    return BY_PATH("mkdir", path, ENOSPC) ? -1 : next(path, mode);
}

EXPORT int unlink(const char *path)
{
    NEXT(unlink);
    return BY_PATH("unlink", path, EROFS) ? -1 : next(path);
}

EXPORT int futimens(int fd, const struct timespec times[2])
{
    NEXT(futimens);
    return BY_FD("futimens", fd, EROFS) ? -1 : next(fd, times);
}

#define LSEEK(name)                                                     \
    EXPORT off_t name(int fd, off_t offset, int whence)                 \
    {                                                                   \
        NEXT(name);                                                     \
        return BY_FD("lseek", fd, EIO) ? -1 : next(fd, offset, whence); \
    }
LSEEK(lseek)
LSEEK(lseek64)

EXPORT int fstat64(int fd, struct stat64 *status)
{
    NEXT(fstat64);
    return fails("fstat", HERE, 0, false, EIO) ? -1 : next(fd, status);
}

EXPORT int fstatat64(int at, const char *path, struct stat64 *status, int flags)
{
    NEXT(fstatat64);
    return fails("fstatat", HERE, 0, false, EIO) ? -1 : next(at, path, status, flags);
}

EXPORT int unlinkat(int at, const char *path, int flags)
{
    NEXT(unlinkat);
    return fails("unlinkat", HERE, 0, false, EROFS) ? -1 : next(at, path, flags);
}

EXPORT ssize_t sendfile64(int to, int from, off_t *offset, size_t length)
{
    NEXT(sendfile64);
    return fails("sendfile", HERE, 0, false, EIO) ? -1 : next(to, from, offset, length);
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
    NEXT(fopen64);
    return fails("fopen", HERE, 0, false, EMFILE) ? NULL : next(path, mode);
}

EXPORT char *strdup(const char *text)
{
    NEXT(strdup);
    return fails("strdup", HERE, 0, false, ENOMEM) ? NULL : next(text);
}

EXPORT char *strndup(const char *text, size_t length)
{
    NEXT(strndup);
    return fails("strndup", HERE, 0, false, ENOMEM) ? NULL : next(text, length);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
    NEXT(pwritev64);
    return BY_FD("pwritev", fd, ENOSPC) ? -1 : next(fd, parts, count, offset);
}

#include "failing_process_calls.h"
