/* The descriptor table. */
#include "host/clock.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/user.h"
#include "vfs/file.h"
#include "vfs/pipe.h"

#include <asm/ioctls.h>
#include <linux/close_range.h>

#define SETTABLE_FLAGS (O_APPEND | O_NONBLOCK | O_NOATIME | O_DIRECT)
#define OPENING_FLAGS \
    (O_CLOEXEC | O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY) /* F_GETFL does not return these */

static struct {
    struct file *file;
    bool close_on_exec;
} table[DESCRIPTORS];
static int limit = DESCRIPTORS; /* of new ones; those above it stay in use */

void descriptors_set_limit(uint64_t wanted)
{
    limit = (int)minimum(wanted, DESCRIPTORS);
}

struct file *file_create(const struct file_operations *operations, void *object, int flags,
                         const char *path)
{
    struct file *file = kernel_alloc(sizeof *file);
    if (!file)
        return NULL;
    *file = (struct file){
        .operations = operations, .references = 1, .flags = flags, .object = object
    };
    if (path) {
        file->path = kernel_alloc(strlen(path) + 1);
        if (!file->path) {
            kernel_free(file);
            return NULL;
        }
        memcpy(file->path, path, strlen(path) + 1);
    }
    return file;
}

struct file *file_get_named(int fd)
{
    if (fd < 0 || fd >= DESCRIPTORS || !table[fd].file)
        return NULL;
    table[fd].file->references++;
    return table[fd].file;
}

struct file *file_get(int fd)
{
    if (fd < 0 || fd >= DESCRIPTORS || !table[fd].file || (table[fd].file->flags & O_PATH))
        return NULL;
    table[fd].file->references++;
    return table[fd].file;
}

void file_put(struct file *file)
{
    if (!file || --file->references)
        return;
    watches_forget(file);
    if (file->locked)
        locks_forget(file);
    if (file->ranged)
        range_locks_forget(file);
    if (file->operations->release)
        file->operations->release(file);
    kernel_free(file->path);
    kernel_free(file);
}

int file_events(struct file *file)
{
    return file->operations->events ? file->operations->events(file) : EVENT_IN | EVENT_OUT;
}

struct timestamp timestamp_now(void)
{
    const int64_t now = realtime_ns();
    return (struct timestamp){ now / (int64_t)NANOSECONDS, (uint32_t)(now % (int64_t)NANOSECONDS) };
}

size_t file_describe(struct file *file, char *buffer, size_t size)
{
    struct status status;
    file->operations->status(file, &status);
    const char *type = status_is(&status, S_IFSOCK)  ? "socket"
                       : status_is(&status, S_IFIFO) ? "pipe"
                                                     : "anon_inode";
    return format(buffer, size, "%s:[%llu]", type, (unsigned long long)status.inode);
}

bool descriptor_in_use(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS && table[fd].file;
}

int64_t descriptor_install(struct file *file, int lowest, bool close_on_exec)
{
    for (int fd = lowest; fd < limit; fd++)
        if (!table[fd].file) {
            table[fd].file = file;
            table[fd].close_on_exec = close_on_exec;
            return fd;
        }
    file_put(file);
    return -EMFILE;
}

bool descriptor_is_left(void)
{
    for (int fd = 0; fd < limit; fd++)
        if (!table[fd].file)
            return true;
    return false;
}

int64_t descriptors_install_pair(struct file *first, struct file *second, uint64_t descriptors,
                                 bool close_on_exec)
{
    const int64_t one = descriptor_install(first, 0, close_on_exec);
    if (one < 0) {
        file_put(second);
        return one;
    }
    const int64_t other = descriptor_install(second, 0, close_on_exec);
    if (other < 0) {
        descriptor_close((int)one);
        return other;
    }
    ((int *)descriptors)[0] = (int)one;
    ((int *)descriptors)[1] = (int)other;
    return 0;
}

int64_t descriptor_close(int fd)
{
    if (!descriptor_in_use(fd))
        return -EBADF;
    struct file *file = table[fd].file;
    table[fd].file = NULL;
    file_put(file);
    return 0;
}

SYSTEM_CALL(close)
{
    return descriptor_close((int)a);
}

SYSTEM_CALL(close_range)
{
    const uint32_t first = (uint32_t)a, last = (uint32_t)b;
    if (first > last || (c & ~(uint64_t)(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE)))
        return -EINVAL;
    for (uint32_t fd = first; fd <= last && fd < DESCRIPTORS; fd++) {
        if (c & CLOSE_RANGE_CLOEXEC)
            table[fd].close_on_exec = true; /* has no effect on a closed descriptor */
        else
            descriptor_close((int)fd);
    }
    return 0;
}

static int64_t duplicate(int fd, int64_t lowest, bool close_on_exec)
{
    struct file *file = file_get_named(fd);
    if (!file)
        return -EBADF;
    if (lowest >= 0 && lowest < limit)
        return descriptor_install(file, (int)lowest, close_on_exec);
    file_put(file);
    return -EINVAL;
}

static int64_t duplicate_to(int from, int to, bool close_on_exec)
{
    struct file *file = to >= 0 && to < limit ? file_get_named(from) : NULL;
    if (!file)
        return -EBADF;
    descriptor_close(to);
    table[to].file = file;
    table[to].close_on_exec = close_on_exec;
    return to;
}

SYSTEM_CALL(dup)
{
    return duplicate((int)a, 0, false);
}

SYSTEM_CALL(dup2)
{
    if ((int)a == (int)b)
        return descriptor_in_use((int)a) ? (int)a : -EBADF;
    return duplicate_to((int)a, (int)b, false);
}

SYSTEM_CALL(dup3)
{
    if ((int)a == (int)b || (c & ~(uint64_t)O_CLOEXEC))
        return -EINVAL;
    return duplicate_to((int)a, (int)b, c & O_CLOEXEC);
}

/* Owners and signals of files, which never send one. */
static int64_t owner(int command)
{
    switch (command) {
    case F_GETOWN:
    case F_SETOWN:
    case F_GETSIG:
    case F_SETSIG:
        return 0;
    default:
        return -EINVAL;
    }
}

static int64_t size_or_seals(struct file *file, int command, uint64_t argument)
{
    switch (command) {
    case F_ADD_SEALS:
        return seals_add(file, (uint32_t)argument);
    case F_GET_SEALS:
        return seals_get(file);
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
        return pipe_size(file, command == F_SETPIPE_SZ, argument);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return range_lock(file, command, argument);
    default:
        return owner(command);
    }
}

SYSTEM_CALL(fcntl)
{
    const int fd = (int)a, command = (int)b;
    if (!descriptor_in_use(fd))
        return -EBADF;
    struct file *file = table[fd].file;
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return duplicate(fd, (int)c, command == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return table[fd].close_on_exec ? FD_CLOEXEC : 0;
    case F_SETFD:
        table[fd].close_on_exec = c & FD_CLOEXEC;
        return 0;
    case F_GETFL:
        return file->flags & ~OPENING_FLAGS;
    }
    if (file->flags & O_PATH)
        return -EBADF;
    switch (command) {
    case F_SETFL:
        file->flags = (file->flags & ~SETTABLE_FLAGS) | ((int)c & SETTABLE_FLAGS);
        return 0;
    default:
        return size_or_seals(file, command, c);
    }
}

SYSTEM_CALL(flock)
{
    struct file *file = file_get((int)a);
    if (!file)
        return -EBADF;
    const int64_t result = lock_file(file, (int)b);
    file_put(file);
    return result;
}

static int64_t readable_bytes(struct file *file, uint64_t address)
{
    if (!user_range_ok(address, sizeof(int)))
        return -EFAULT;
    uint64_t bytes;
    if (file->operations->available) {
        bytes = file->operations->available(file);
    } else if (file->operations->seekable && !file_is_directory(file)) {
        const uint64_t size = file_size(file);
        bytes = size - minimum(size, file->offset);
    } else {
        return -ENOTTY;
    }
    *(int *)address = (int)minimum(bytes, INT32_MAX);
    return 0;
}

SYSTEM_CALL(ioctl)
{
    const int fd = (int)a;
    if (!descriptor_in_use(fd) || (table[fd].file->flags & O_PATH))
        return -EBADF;
    struct file *file = table[fd].file;
    switch ((uint32_t)b) {
    case FIONBIO:
        if (!user_range_ok(c, sizeof(int)))
            return -EFAULT;
        file->flags = *(const int *)c ? file->flags | O_NONBLOCK : file->flags & ~O_NONBLOCK;
        return 0;
    case FIOCLEX:
        table[fd].close_on_exec = true;
        return 0;
    case FIONCLEX:
        table[fd].close_on_exec = false;
        return 0;
    case FIONREAD:
        return readable_bytes(file, c);
    default: /* no file is a terminal */
        return file->operations->control ? file->operations->control(file, (uint32_t)b, c)
                                         : -ENOTTY;
    }
}
