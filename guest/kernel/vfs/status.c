/* System calls about files: the stat family, access, links and file systems. */
#include "lib/string.h"
#include "mm/report.h"
#include "mm/user.h"
#include "vfs/file.h"

#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/magic.h>

#define BLOCK  4096u
#define SECTOR 512u

static bool is_empty(uint64_t string)
{
    return !string || (user_range_ok(string, 1) && *(const char *)string == 0);
}

static int64_t status_of(int fd, struct status *status)
{
    struct file *file = file_get_named(fd);
    if (!file)
        return -EBADF;
    file->operations->status(file, status);
    file_put(file);
    return 0;
}

/* Finds the status by descriptor, or by a path relative to one. */
static int64_t status_at(int directory, uint64_t string, uint64_t flags, struct status *status)
{
    char path[MAX_PATH];
    const bool follow = !(flags & AT_SYMLINK_NOFOLLOW);
    if ((flags & AT_EMPTY_PATH) && is_empty(string))
        return directory == AT_FDCWD ? path_status(path_working_directory(), true, status)
                                     : status_of(directory, status);
    int64_t result = path_from_program(directory, string, follow ? PATH_FOLLOW : 0, path);
    return result ? result : path_status(path, follow, status);
}

/* ---- stat ---- */

static void to_linux(const struct status *from, struct stat *to)
{
    memset(to, 0, sizeof *to);
    to->st_dev = from->device;
    to->st_ino = from->inode;
    to->st_nlink = from->links;
    to->st_mode = from->mode;
    to->st_uid = from->uid;
    to->st_gid = from->gid;
    to->st_rdev = from->special;
    to->st_size = (int64_t)from->size;
    to->st_blksize = BLOCK;
    to->st_blocks = (int64_t)(page_up(from->size) / SECTOR);
    to->st_atime = (uint64_t)from->accessed.seconds;
    to->st_atime_nsec = from->accessed.nanoseconds;
    to->st_mtime = (uint64_t)from->modified.seconds;
    to->st_mtime_nsec = from->modified.nanoseconds;
    to->st_ctime = (uint64_t)from->changed.seconds;
    to->st_ctime_nsec = from->changed.nanoseconds;
}

static int64_t stat_at(int directory, uint64_t string, uint64_t flags, uint64_t to)
{
    struct status status;
    if (flags &
        ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE))
        return -EINVAL;
    int64_t result = status_at(directory, string, flags, &status);
    if (result)
        return result;
    if (!user_range_ok(to, sizeof(struct stat)))
        return -EFAULT;
    to_linux(&status, (struct stat *)to);
    return 0;
}

SYSTEM_CALL(stat)
{
    return stat_at(AT_FDCWD, a, 0, b);
}
SYSTEM_CALL(lstat)
{
    return stat_at(AT_FDCWD, a, AT_SYMLINK_NOFOLLOW, b);
}
SYSTEM_CALL(fstat)
{
    return (int)a == AT_FDCWD ? -EBADF : stat_at((int)a, 0, AT_EMPTY_PATH, b);
}
SYSTEM_CALL(newfstatat)
{
    return stat_at((int)a, b, (uint32_t)d, c);
}

/* ---- statx ---- */

static struct statx_timestamp to_statx_time(struct timestamp time)
{
    return (struct statx_timestamp){ .tv_sec = time.seconds, .tv_nsec = time.nanoseconds };
}

/* Splits a device number into major and minor: linux/include/linux/kdev_t.h. */
static uint32_t major_of(uint64_t device)
{
    return (uint32_t)(device >> 8 & 0xfff);
}
static uint32_t minor_of(uint64_t device)
{
    return (uint32_t)((device & 0xff) | (device >> 12 & 0xfff00));
}

static void to_statx(const struct status *from, struct statx *to)
{
    memset(to, 0, sizeof *to);
    to->stx_mask = STATX_BASIC_STATS;
    to->stx_blksize = BLOCK;
    to->stx_nlink = from->links;
    to->stx_uid = from->uid;
    to->stx_gid = from->gid;
    to->stx_mode = (uint16_t)from->mode;
    to->stx_ino = from->inode;
    to->stx_size = from->size;
    to->stx_blocks = page_up(from->size) / SECTOR;
    to->stx_atime = to_statx_time(from->accessed);
    to->stx_mtime = to_statx_time(from->modified);
    to->stx_ctime = to_statx_time(from->changed);
    to->stx_dev_major = major_of(from->device);
    to->stx_dev_minor = minor_of(from->device);
    to->stx_rdev_major = major_of(from->special);
    to->stx_rdev_minor = minor_of(from->special);
}

SYSTEM_CALL(statx)
{
    struct status status;
    const uint32_t flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH |
                           AT_STATX_SYNC_TYPE;
    if (((uint32_t)c & ~flags) || ((uint32_t)d & STATX__RESERVED))
        return -EINVAL;
    int64_t result = status_at((int)a, b, (uint32_t)c, &status);
    if (result)
        return result;
    if (!user_range_ok(e, sizeof(struct statx)))
        return -EFAULT;
    to_statx(&status, (struct statx *)e);
    return 0;
}

/* ---- access ---- */

enum { ACCESS_EXECUTE = 1, ACCESS_WRITE = 2, ACCESS_ALL = 7 };

/* The program is root, so modes forbid only the execution of a file that has no execute bit. */
static int64_t access_at(int directory, uint64_t string, uint64_t wanted, uint64_t flags)
{
    struct status status;
    char path[MAX_PATH];
    if (wanted & ~(uint64_t)ACCESS_ALL)
        return -EINVAL;
    int64_t result = status_at(directory, string, flags, &status);
    if (result)
        return result;
    const bool file = status_is(&status, S_IFREG) || status_is(&status, S_IFDIR);
    if ((wanted & ACCESS_WRITE) && file &&
        path_from_program(directory, string, PATH_FOLLOW, path) == 0 && !overlay_is_in_memory(path))
        return -EROFS;
    return (wanted & ACCESS_EXECUTE) && status_is(&status, S_IFREG) && !(status.mode & 0111)
               ? -EACCES
               : 0;
}

SYSTEM_CALL(access)
{
    return access_at(AT_FDCWD, a, (uint32_t)b, 0);
}
SYSTEM_CALL(faccessat)
{
    return access_at((int)a, b, (uint32_t)c, 0);
}
SYSTEM_CALL(faccessat2)
{
    const uint32_t known = AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
    return (uint32_t)d & ~known ? -EINVAL : access_at((int)a, b, (uint32_t)c, (uint32_t)d);
}

/* ---- Links ---- */

/* Of a link that was opened itself, with O_PATH. */
static int64_t path_of(int fd, char path[MAX_PATH])
{
    struct status status;
    struct file *file = file_get_named(fd);
    if (!file)
        return -EBADF;
    file->operations->status(file, &status);
    const bool link = status_is(&status, S_IFLNK) && file->path;
    if (link)
        memcpy(path, file->path, strlen(file->path) + 1);
    file_put(file);
    return link ? 0 : -ENOENT;
}

static int64_t readlink_at(int directory, uint64_t string, uint64_t buffer, int size)
{
    char path[MAX_PATH], target[MAX_PATH];
    if (size <= 0)
        return -EINVAL;
    int64_t result = is_empty(string) && directory != AT_FDCWD
                         ? path_of(directory, path)
                         : path_from_program(directory, string, 0, path);
    if (result == 0)
        result = path_readlink(path, target, sizeof target);
    if (result < 0)
        return result;
    if (!user_range_ok(buffer, (uint64_t)size))
        return -EFAULT;
    result = (int64_t)minimum((uint64_t)result, (uint64_t)size);
    memcpy((void *)buffer, target, (size_t)result);
    return result;
}

SYSTEM_CALL(readlink)
{
    return readlink_at(AT_FDCWD, a, b, (int)c);
}
SYSTEM_CALL(readlinkat)
{
    return readlink_at((int)a, b, c, (int)d);
}

/* ---- File systems ---- */

static int64_t file_system_status(bool in_memory, uint64_t to)
{
    struct memory_statistics memory;
    if (!user_range_ok(to, sizeof(struct statfs)))
        return -EFAULT;
    memory_statistics(&memory);
    const int64_t total = (int64_t)(memory.total / BLOCK),
                  free = (int64_t)((memory.total - memory.used) / BLOCK);
    *(struct statfs *)to = (struct statfs){
        .f_type = in_memory ? TMPFS_MAGIC : OVERLAYFS_SUPER_MAGIC,
        .f_bsize = BLOCK,
        .f_frsize = BLOCK,
        .f_namelen = MAX_NAME,
        .f_blocks = total,
        .f_bfree = in_memory ? free : 0,
        .f_bavail = in_memory ? free : 0,
        .f_files = total,
        .f_ffree = in_memory ? free : 0,
        .f_flags = in_memory ? 0 : 1, /* ST_RDONLY */
    };
    return 0;
}

SYSTEM_CALL(statfs)
{
    char path[MAX_PATH];
    struct status status;
    int64_t result = path_from_program(AT_FDCWD, a, PATH_FOLLOW, path);
    if (result == 0)
        result = path_status(path, true, &status);
    return result ? result : file_system_status(overlay_is_in_memory(path), b);
}

SYSTEM_CALL(fstatfs)
{
    struct status status;
    int64_t result = status_of((int)a, &status);
    return result ? result : file_system_status(status.device == DEVICE_MEMORY, b);
}
