/* System calls that change modes, owners and times. */
#include "lib/string.h"
#include "mm/user.h"
#include "vfs/file.h"

#define TIME_NOW  ((1l << 30) - 1l) /* UTIME_NOW, UTIME_OMIT */
#define TIME_OMIT ((1l << 30) - 2l)

static uint32_t umask_bits = 022;

uint32_t permitted_mode(uint32_t mode)
{
    return mode & ~umask_bits;
}

static int64_t change_at(int directory, uint64_t string, bool follow,
                         const struct attributes *change)
{
    char path[MAX_PATH];
    int64_t result = path_from_program(directory, string, follow ? PATH_FOLLOW : 0, path);
    if (result)
        return result;
    struct file *file = procfs_descriptor(path);
    if (!file)
        return overlay_change(path, change);
    result = file->operations->change ? file->operations->change(file, change) : -EROFS;
    file_put(file);
    return result;
}

static int64_t change_file(struct file *file, const struct attributes *change)
{
    if (!file)
        return -EBADF;
    int64_t result = file->operations->change ? file->operations->change(file, change)
                     : file->path             ? -EROFS
                                              : 0;
    file_put(file);
    return result;
}

static int64_t change_open(int fd, const struct attributes *change)
{
    return change_file(file_get(fd), change);
}

static struct attributes new_mode(uint64_t mode)
{
    return (struct attributes){ .set_mode = true, .mode = (uint32_t)mode & 07777 };
}

SYSTEM_CALL(chmod)
{
    return change_at(AT_FDCWD, a, true, &(struct attributes[]){ new_mode(b) }[0]);
}
SYSTEM_CALL(fchmodat)
{
    return change_at((int)a, b, true, &(struct attributes[]){ new_mode(c) }[0]);
}
SYSTEM_CALL(fchmod)
{
    return change_open((int)a, &(struct attributes[]){ new_mode(b) }[0]);
}

/* The program is root's, who may give files to anybody. */
static struct attributes new_owner(uint64_t user, uint64_t group)
{
    return (
        struct attributes){ .set_owner = true, .user = (uint32_t)user, .group = (uint32_t)group };
}

SYSTEM_CALL(chown)
{
    return change_at(AT_FDCWD, a, true, &(struct attributes[]){ new_owner(b, c) }[0]);
}
SYSTEM_CALL(lchown)
{
    return change_at(AT_FDCWD, a, false, &(struct attributes[]){ new_owner(b, c) }[0]);
}
SYSTEM_CALL(fchown)
{
    return change_open((int)a, &(struct attributes[]){ new_owner(b, c) }[0]);
}

/* Whether an empty path stands for the open file itself. */
static bool means_open(uint64_t path, uint64_t flags)
{
    return (flags & AT_EMPTY_PATH) && user_range_ok(path, 1) && !*(const char *)path;
}

SYSTEM_CALL(fchownat)
{
    const struct attributes change = new_owner(c, d);
    if (e & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (means_open(b, e))
        return change_file(file_get_named((int)a), &change);
    return change_at((int)a, b, !(e & AT_SYMLINK_NOFOLLOW), &change);
}

static int64_t take_time(const int64_t from[2], bool *set, struct timestamp *time)
{
    *set = from[1] != TIME_OMIT;
    if (!*set)
        return 0;
    *time = from[1] == TIME_NOW ? timestamp_now()
                                : (struct timestamp){ from[0], (uint32_t)from[1] };
    return from[1] != TIME_NOW && (from[1] < 0 || from[1] >= (int64_t)NANOSECONDS) ? -EINVAL : 0;
}

SYSTEM_CALL(utimensat)
{
    struct attributes change = { .set_mode = false };
    int64_t times[4] = { 0, TIME_NOW, 0, TIME_NOW }; /* accessed, modified: seconds, nanoseconds */
    if (c && !user_range_ok(c, sizeof times))
        return -EFAULT;
    if (c)
        memcpy(times, (const void *)c, sizeof times);
    int64_t error = take_time(times, &change.set_accessed, &change.accessed);
    if (error == 0)
        error = take_time(times + 2, &change.set_modified, &change.modified);
    if (error)
        return error;
    return b && !means_open(b, d) ? change_at((int)a, b, !(d & AT_SYMLINK_NOFOLLOW), &change)
                                  : change_open((int)a, &change);
}

/* The older calls: times in microseconds, or in seconds. An address of 0 means now. */
static int64_t change_times(int directory, uint64_t string, uint64_t times, bool microseconds)
{
    struct attributes change = { .set_accessed = true, .set_modified = true };
    int64_t from[4] = { 0 };
    const size_t size = microseconds ? 4 * sizeof *from : 2 * sizeof *from;
    if (times && !user_range_ok(times, size))
        return -EFAULT;
    change.accessed = change.modified = timestamp_now();
    if (times) {
        memcpy(from, (const void *)times, size);
        if (microseconds && ((uint64_t)from[1] >= 1000000 || (uint64_t)from[3] >= 1000000))
            return -EINVAL;
        const uint32_t first = microseconds ? (uint32_t)from[1] * 1000 : 0,
                       second = microseconds ? (uint32_t)from[3] * 1000 : 0;
        change.accessed = (struct timestamp){ from[0], first };
        change.modified = (struct timestamp){ from[microseconds ? 2 : 1], second };
    }
    return string ? change_at(directory, string, true, &change) : change_open(directory, &change);
}

SYSTEM_CALL(utime)
{
    return a ? change_times(AT_FDCWD, a, b, false) : -EFAULT;
}
SYSTEM_CALL(utimes)
{
    return a ? change_times(AT_FDCWD, a, b, true) : -EFAULT;
}
SYSTEM_CALL(futimesat)
{
    return change_times((int)a, b, c, true);
}

SYSTEM_CALL(umask)
{
    const uint32_t before = umask_bits;
    umask_bits = (uint32_t)a & 0777;
    return before;
}
