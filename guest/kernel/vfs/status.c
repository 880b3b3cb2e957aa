/* What files are: the stat family, access, directory entries. */
#include "file.h"
#include "syscalls.h"

#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/stat.h>

#define BLOCK 4096u

static void to_linux(const struct udfvm_stat *from, struct stat *to)
{
    memset(to, 0, sizeof *to);
    to->st_dev = from->device;
    to->st_ino = from->inode;
    to->st_nlink = from->links;
    to->st_mode = from->mode;
    to->st_uid = from->uid;
    to->st_gid = from->gid;
    to->st_size = (int64_t)from->size;
    to->st_blksize = BLOCK;
    to->st_blocks = (int64_t)(page_up(from->size) / 512);
    to->st_atime = to->st_mtime = to->st_ctime = (uint64_t)from->mtime_seconds;
    to->st_atime_nsec = to->st_mtime_nsec = to->st_ctime_nsec = from->mtime_nanoseconds;
}

static struct statx_timestamp timestamp(const struct udfvm_stat *from)
{
    return (struct statx_timestamp){ .tv_sec = from->mtime_seconds, .tv_nsec = (uint32_t)from->mtime_nanoseconds };
}

static void to_statx(const struct udfvm_stat *from, struct statx *to)
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
    to->stx_blocks = page_up(from->size) / 512;
    to->stx_atime = to->stx_mtime = to->stx_ctime = timestamp(from);
    to->stx_dev_major = (uint32_t)(from->device >> 8 & 0xfff);
    to->stx_dev_minor = (uint32_t)((from->device & 0xff) | (from->device >> 12 & 0xfff00));
}

/* By descriptor, or by path seen from one. */
static int64_t status_at(int directory, uint64_t string, uint64_t flags, struct udfvm_stat *stat)
{
    char path[PATH_LIMIT];
    if ((flags & AT_EMPTY_PATH) && (!string || (user_range_ok(string, 1) && *(const char *)string == 0)) && directory != AT_FDCWD) {
        struct file *file = file_get(directory);
        if (!file)
            return -EBADF;
        file->operations->status(file, stat);
        file_put(file);
        return 0;
    }
    int64_t result = path_from_program(directory, string, path);
    return result ? result : path_status(path, !(flags & AT_SYMLINK_NOFOLLOW), stat);
}

static int64_t store_status(int64_t result, const struct udfvm_stat *stat, uint64_t to)
{
    if (result)
        return result;
    if (!user_range_ok(to, sizeof(struct stat)))
        return -EFAULT;
    to_linux(stat, (struct stat *)to);
    return 0;
}

static int64_t status(int directory, uint64_t string, uint64_t flags, uint64_t to)
{
    struct udfvm_stat stat = { .mode = 0 };
    int64_t result = status_at(directory, string, flags, &stat);
    return store_status(result, &stat, to);
}

SYSCALL(sys_stat) { return status(AT_FDCWD, a, 0, b); }
SYSCALL(sys_lstat) { return status(AT_FDCWD, a, AT_SYMLINK_NOFOLLOW, b); }
SYSCALL(sys_fstat) { return status((int)a, 0, AT_EMPTY_PATH, b); }
SYSCALL(sys_newfstatat) { return status((int)a, b, d, c); }

SYSCALL(sys_statx)
{
    struct udfvm_stat stat = { .mode = 0 };
    int64_t result = status_at((int)a, b, c, &stat);
    if (result)
        return result;
    if (!user_range_ok(e, sizeof(struct statx)))
        return -EFAULT;
    to_statx(&stat, (struct statx *)e);
    return 0;
}

static int64_t access_at(int directory, uint64_t string, uint64_t wanted, uint64_t flags)
{
    struct udfvm_stat stat;
    int64_t result = status_at(directory, string, flags, &stat);
    if (result)
        return result;
    char path[PATH_LIMIT];
    if ((wanted & 2) && path_from_program(directory, string, path) == 0 && !tmpfs_covers(path) && (stat.mode & S_IFMT) != S_IFCHR)
        return -EROFS;
    return (wanted & 1) && (stat.mode & S_IFMT) == S_IFREG && !(stat.mode & 0111) ? -EACCES : 0;
}

SYSCALL(sys_access) { return access_at(AT_FDCWD, a, b, 0); }
SYSCALL(sys_faccessat) { return access_at((int)a, b, c, 0); }
SYSCALL(sys_faccessat2) { return access_at((int)a, b, c, d); }

static int64_t readlink_at(int directory, uint64_t string, uint64_t buffer, uint64_t size)
{
    char path[PATH_LIMIT], target[PATH_LIMIT];
    int64_t result = path_from_program(directory, string, path);
    if (result)
        return result;
    if ((int64_t)size <= 0 || !user_range_ok(buffer, size))
        return (int64_t)size <= 0 ? -EINVAL : -EFAULT;
    result = path_readlink(path, target, sizeof target);
    if (result > 0) {
        result = (int64_t)minimum((uint64_t)result, size);
        memcpy((void *)buffer, target, (size_t)result);
    }
    return result;
}

SYSCALL(sys_readlink) { return readlink_at(AT_FDCWD, a, b, c); }
SYSCALL(sys_readlinkat) { return readlink_at((int)a, b, c, d); }

struct linux_entry { uint64_t inode; int64_t next; uint16_t length; uint8_t type; char name[]; };

static bool next_entry(struct file *file, struct directory_item *item)
{
    static const struct directory_item dots[2] = { { ".", 1, 1, DIRECTORY_TYPE }, { "..", 2, 1, DIRECTORY_TYPE } };
    if (file->offset >= 2)
        return file->operations->entry(file, file->offset - 2, item);
    *item = dots[file->offset];
    return true;
}

static int64_t list_entries(struct file *file, uint64_t buffer, uint64_t size)
{
    struct directory_item item;
    uint64_t used = 0;
    while (next_entry(file, &item)) {
        const size_t length = (offsetof(struct linux_entry, name) + item.length + 1 + 7) & ~(size_t)7;
        if (length > size - used)
            return used ? (int64_t)used : -EINVAL;
        struct linux_entry *entry = (struct linux_entry *)(buffer + used);
        memset(entry, 0, length);
        entry->inode = item.inode;
        entry->next = (int64_t)++file->offset;
        entry->length = (uint16_t)length;
        entry->type = item.type;
        memcpy(entry->name, item.name, item.length);
        used += length;
    }
    return (int64_t)used;
}

SYSCALL(sys_getdents64)
{
    struct file *file = file_get((int)a);
    if (!file)
        return -EBADF;
    int64_t result = !file->operations->entry ? -ENOTDIR : !user_range_ok(b, c) ? -EFAULT : list_entries(file, b, c);
    file_put(file);
    return result;
}

static int64_t file_system_status(bool memory, uint64_t to)
{
    struct memory_statistics statistics;
    if (!user_range_ok(to, sizeof(struct statfs)))
        return -EFAULT;
    memory_statistics(&statistics);
    const uint64_t blocks = memory ? statistics.total / BLOCK : 1u << 20, available = memory ? (statistics.total - statistics.used) / BLOCK : 0;
    *(struct statfs *)to = (struct statfs){
        .f_type = memory ? 0x01021994 : 0xef53, .f_bsize = BLOCK, .f_frsize = BLOCK, .f_namelen = 255,
        .f_blocks = (int64_t)blocks, .f_bfree = (int64_t)available, .f_bavail = (int64_t)available,
    };
    return 0;
}

SYSCALL(sys_statfs)
{
    char path[PATH_LIMIT];
    struct udfvm_stat stat;
    int64_t result = path_from_program(AT_FDCWD, a, path);
    if (result == 0)
        result = path_status(path, true, &stat);
    return result ? result : file_system_status(tmpfs_covers(path), b);
}

SYSCALL(sys_fstatfs)
{
    struct file *file = file_get((int)a);
    if (!file)
        return -EBADF;
    const bool memory = file->path && tmpfs_covers(file->path);
    file_put(file);
    return file_system_status(memory, b);
}
