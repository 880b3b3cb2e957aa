/* Locks of parts of files. Those that belong to open files (F_OFD_SETLK) can conflict within a
 * process. Those of a process (F_SETLK) never do, as there is only one: they are only checked. */
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/user.h"
#include "sched/thread.h"
#include "vfs/file.h"

#include <linux/fs.h>

#define NO_END UINT64_MAX

struct range_lock {
    struct range_lock *next;
    const struct file *owner;
    uint64_t device, inode; /* of the file */
    uint64_t start, end;
    bool exclusive;
};

static struct range_lock *first_lock;

static bool overlaps(const struct range_lock *lock, const struct range_lock *other)
{
    return lock->device == other->device && lock->inode == other->inode &&
           lock->start < other->end && other->start < lock->end;
}

static const struct range_lock *conflict(const struct range_lock *wanted)
{
    for (const struct range_lock *lock = first_lock; lock; lock = lock->next)
        if (lock->owner != wanted->owner && overlaps(lock, wanted) &&
            (lock->exclusive || wanted->exclusive))
            return lock;
    return NULL;
}

static bool can_lock(void *wanted)
{
    return !conflict(wanted);
}

static void insert(struct range_lock *lock)
{
    lock->next = first_lock;
    first_lock = lock;
}

/* Takes a range away from the locks of its owner. One that reaches beyond both ends becomes two,
 * the second in `*spare`. */
static void clear(const struct range_lock *range, struct range_lock **spare)
{
    for (struct range_lock **at = &first_lock; *at;) {
        struct range_lock *lock = *at;
        if (lock->owner != range->owner || !overlaps(lock, range)) {
            at = &lock->next;
        } else if (lock->start >= range->start && lock->end <= range->end) {
            *at = lock->next;
            kernel_free(lock);
        } else if (lock->start < range->start && lock->end > range->end) {
            **spare = *lock;
            (*spare)->start = range->end;
            lock->end = range->start;
            insert(*spare);
            *spare = NULL;
            return;
        } else if (lock->start < range->start) {
            lock->end = range->start;
        } else {
            lock->start = range->end;
        }
    }
}

void range_locks_forget(const struct file *file)
{
    for (struct range_lock **at = &first_lock; *at;) {
        struct range_lock *lock = *at;
        if (lock->owner != file) {
            at = &lock->next;
            continue;
        }
        *at = lock->next;
        kernel_free(lock);
    }
}

/* The range that a program means: from an offset on, or, with a negative length, up to it. */
static int64_t read_range(struct file *file, const struct flock *from, struct range_lock *range)
{
    struct status status;
    const int64_t base = from->l_whence == SEEK_CUR   ? (int64_t)file->offset
                         : from->l_whence == SEEK_END ? (int64_t)file_size(file)
                                                      : 0;
    int64_t start, end;
    if (from->l_whence < SEEK_SET || from->l_whence > SEEK_END ||
        __builtin_add_overflow(base, from->l_start, &start))
        return -EINVAL;
    if (__builtin_add_overflow(start, from->l_len, &end))
        return from->l_len > 0 ? -EOVERFLOW : -EINVAL;
    if (start < 0 || end < 0)
        return -EINVAL;
    file->operations->status(file, &status);
    *range = (struct range_lock){ .owner = file,
                                  .device = status.device,
                                  .inode = status.inode,
                                  .start = minimum((uint64_t)start, (uint64_t)end),
                                  .end = from->l_len ? maximum((uint64_t)start, (uint64_t)end)
                                                     : NO_END,
                                  .exclusive = from->l_type == F_WRLCK };
    return 0;
}

static bool may_lock(const struct file *file, int type)
{
    return type == F_UNLCK || (type == F_RDLCK ? file_readable(file) : file_writable(file));
}

static int64_t set_lock(struct file *file, const struct range_lock *range, int type, bool wait)
{
    struct range_lock *lock = kernel_alloc(sizeof *lock), *spare = kernel_alloc(sizeof *spare);
    int64_t result = lock && spare ? 0 : -ENOLCK;
    if (result == 0 && type != F_UNLCK) {
        *lock = *range;
        if (!wait && conflict(lock))
            result = -EAGAIN;
        else if (!block_until(can_lock, lock, NO_DEADLINE))
            result = -EINTR;
    }
    if (result == 0) {
        clear(range, &spare);
        file->ranged = true;
        if (type != F_UNLCK) {
            insert(lock);
            lock = NULL;
        }
    }
    kernel_free(lock);
    kernel_free(spare);
    return result;
}

static void tell(struct flock *to, const struct range_lock *found)
{
    if (!found) {
        to->l_type = F_UNLCK;
        return;
    }
    *to = (struct flock){ .l_type = found->exclusive ? F_WRLCK : F_RDLCK,
                          .l_whence = SEEK_SET,
                          .l_start = (int64_t)found->start,
                          .l_len = found->end == NO_END ? 0 : (int64_t)(found->end - found->start),
                          .l_pid = -1 };
}

static bool is_of_process(int command)
{
    return command == F_GETLK || command == F_SETLK || command == F_SETLKW;
}

static int64_t read_lock(struct file *file, bool of_process, uint64_t address, struct flock *lock,
                         struct range_lock *range)
{
    if (!user_range_ok(address, sizeof *lock))
        return -EFAULT;
    memcpy(lock, (const void *)address, sizeof *lock);
    return lock->l_pid && !of_process ? -EINVAL : read_range(file, lock, range);
}

static int64_t find_lock(const struct range_lock *range, int type, bool of_process,
                         uint64_t address)
{
    if (type != F_RDLCK && type != F_WRLCK)
        return -EINVAL;
    tell((struct flock *)address, of_process ? NULL : conflict(range));
    return 0;
}

int64_t range_lock(struct file *file, int command, uint64_t address)
{
    struct range_lock range;
    struct flock wanted;
    const bool of_process = is_of_process(command);
    const int64_t error = read_lock(file, of_process, address, &wanted, &range);
    if (error)
        return error;
    const int type = wanted.l_type;
    if (command == F_OFD_GETLK || command == F_GETLK)
        return find_lock(&range, type, of_process, address);
    if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK)
        return -EINVAL;
    if (!may_lock(file, type))
        return -EBADF;
    if (of_process)
        return 0;
    file->references++; /* another thread may close it meanwhile */
    const int64_t result = set_lock(file, &range, type, command == F_OFD_SETLKW);
    file_put(file);
    return result;
}
