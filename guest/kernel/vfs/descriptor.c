/* The descriptor table. */
#include "file.h"
#include "syscalls.h"

#include <linux/close_range.h>
#include <linux/fcntl.h>

static struct { struct file *file; bool close_on_exec; } table[DESCRIPTORS];

struct file *file_create(const struct file_operations *operations, void *object, int flags, const char *path)
{
    struct file *file = kernel_alloc(sizeof *file);
    if (!file)
        return NULL;
    *file = (struct file){ .operations = operations, .references = 1, .flags = flags, .object = object };
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

struct file *file_get(int fd)
{
    if (fd < 0 || fd >= DESCRIPTORS || !table[fd].file)
        return NULL;
    table[fd].file->references++;
    return table[fd].file;
}

void file_put(struct file *file)
{
    if (!file || --file->references)
        return;
    if (file->operations->release)
        file->operations->release(file);
    kernel_free(file->path);
    kernel_free(file);
}

bool descriptor_in_use(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS && table[fd].file;
}

int64_t descriptor_install(struct file *file, int lowest, bool close_on_exec)
{
    for (int fd = lowest; fd < DESCRIPTORS; fd++)
        if (!table[fd].file) {
            table[fd].file = file;
            table[fd].close_on_exec = close_on_exec;
            return fd;
        }
    file_put(file);
    return -EMFILE;
}

static int64_t close_descriptor(int fd)
{
    if (!descriptor_in_use(fd))
        return -EBADF;
    struct file *file = table[fd].file;
    table[fd].file = NULL;
    file_put(file);
    return 0;
}

int file_events(struct file *file)
{
    return file->operations->events ? file->operations->events(file) : EVENT_IN | EVENT_OUT;
}

SYSCALL(sys_close)
{
    return close_descriptor((int)a);
}

SYSCALL(sys_close_range)
{
    if (a > b)
        return -EINVAL;
    for (uint64_t fd = a; fd <= b && fd < DESCRIPTORS; fd++) {
        if (c & CLOSE_RANGE_CLOEXEC)
            table[fd].close_on_exec = true;
        else
            close_descriptor((int)fd);
    }
    return 0;
}

static int64_t duplicate(int fd, int lowest, bool close_on_exec)
{
    struct file *file = lowest >= 0 && lowest < DESCRIPTORS ? file_get(fd) : NULL;
    if (!file)
        return descriptor_in_use(fd) ? -EINVAL : -EBADF;
    return descriptor_install(file, lowest, close_on_exec);
}

static int64_t duplicate_to(int from, int to, bool close_on_exec)
{
    struct file *file = to >= 0 && to < DESCRIPTORS ? file_get(from) : NULL;
    if (!file)
        return -EBADF;
    close_descriptor(to);
    table[to].file = file;
    table[to].close_on_exec = close_on_exec;
    return to;
}

SYSCALL(sys_dup) { return duplicate((int)a, 0, false); }
SYSCALL(sys_dup2) { return a == b ? (descriptor_in_use((int)a) ? (int64_t)a : -EBADF) : duplicate_to((int)a, (int)b, false); }
SYSCALL(sys_dup3) { return a == b ? -EINVAL : duplicate_to((int)a, (int)b, c & O_CLOEXEC); }

SYSCALL(sys_fcntl)
{
    const int fd = (int)a;
    if (!descriptor_in_use(fd))
        return -EBADF;
    struct file *file = table[fd].file;
    const int changeable = O_APPEND | O_NONBLOCK | O_NOATIME | O_DIRECT;
    switch (b) {
    case F_DUPFD: return duplicate(fd, (int)c, false);
    case F_DUPFD_CLOEXEC: return duplicate(fd, (int)c, true);
    case F_GETFD: return table[fd].close_on_exec ? FD_CLOEXEC : 0;
    case F_SETFD: table[fd].close_on_exec = c & FD_CLOEXEC; return 0;
    case F_GETFL: return file->flags & ~(O_CLOEXEC | O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY);
    case F_SETFL: file->flags = (file->flags & ~changeable) | ((int)c & changeable); return 0;
    case F_SETLK: case F_SETLKW: case F_OFD_SETLK: case F_OFD_SETLKW: return 0;        /* one process: locks never conflict */
    case F_GETLK: case F_OFD_GETLK:
        if (!user_range_ok(c, sizeof(short)))
            return -EFAULT;
        *(short *)c = 2;                         /* F_UNLCK */
        return 0;
    case F_GETOWN: case F_SETOWN: case F_SETSIG: case F_GETSIG: return 0;
    case F_GETPIPE_SZ: case F_SETPIPE_SZ: return 65536;
    default: return -EINVAL;
    }
}

SYSCALL(sys_flock) { return descriptor_in_use((int)a) ? 0 : -EBADF; }

SYSCALL(sys_ioctl)
{
    struct file *file = file_get((int)a);
    int64_t result = -ENOTTY;
    if (!file)
        return -EBADF;
    switch (b) {
    case 0x5421:                                 /* FIONBIO */
        if (user_range_ok(c, sizeof(int)))
            file->flags = *(int *)c ? file->flags | O_NONBLOCK : file->flags & ~O_NONBLOCK;
        result = user_range_ok(c, sizeof(int)) ? 0 : -EFAULT;
        break;
    case 0x5450: case 0x5451:                    /* FIONCLEX, FIOCLEX */
        table[a].close_on_exec = b == 0x5451;
        result = 0;
        break;
    case 0x541b:                                 /* FIONREAD */
        if (!user_range_ok(c, sizeof(int)))
            result = -EFAULT;
        else if (file->operations->seekable) {
            *(int *)c = (int)(vfs_size(file) - minimum(vfs_size(file), file->offset));
            result = 0;
        }
        break;
    }
    file_put(file);
    return result;
}
