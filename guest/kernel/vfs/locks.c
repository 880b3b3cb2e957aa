/* Locks of whole files: flock(2). They belong to open files, so two of one process can conflict. */
#include "mm/alloc.h"
#include "sched/thread.h"
#include "vfs/file.h"

enum { LOCK_SHARED = 1, LOCK_EXCLUSIVE = 2, LOCK_WITHOUT_WAITING = 4, LOCK_RELEASE = 8 };

struct lock {
    struct lock *next;
    const struct file *owner;
    uint64_t device, inode; /* of the file */
    bool exclusive;
};

static struct lock *first_lock;

static bool can_lock(void *argument)
{
    const struct lock *wanted = argument;
    for (const struct lock *lock = first_lock; lock; lock = lock->next)
        if (lock->owner != wanted->owner && lock->device == wanted->device &&
            lock->inode == wanted->inode && (lock->exclusive || wanted->exclusive))
            return false;
    return true;
}

void locks_forget(const struct file *file)
{
    for (struct lock **link = &first_lock; *link;) {
        struct lock *lock = *link;
        if (lock->owner != file) {
            link = &lock->next;
            continue;
        }
        *link = lock->next;
        kernel_free(lock);
    }
}

/* As in Linux, a file that changes its lock has none while it waits. */
static int64_t take_lock(struct file *file, struct lock *wanted, bool wait)
{
    locks_forget(file);
    file->locked = false;
    if (!wait && !can_lock(wanted))
        return -EAGAIN;
    if (!block_until(can_lock, wanted, NO_DEADLINE))
        return -EINTR;
    wanted->next = first_lock;
    first_lock = wanted;
    file->locked = true;
    return 0;
}

int64_t lock_file(struct file *file, int operation)
{
    struct status status;
    const int kind = operation & ~LOCK_WITHOUT_WAITING;
    if (kind == LOCK_RELEASE) {
        locks_forget(file);
        file->locked = false;
        return 0;
    }
    if (kind != LOCK_SHARED && kind != LOCK_EXCLUSIVE)
        return -EINVAL;
    struct lock *wanted = kernel_alloc(sizeof *wanted);
    if (!wanted)
        return -ENOLCK;
    file->operations->status(file, &status);
    *wanted = (struct lock){ NULL, file, status.device, status.inode, kind == LOCK_EXCLUSIVE };
    const int64_t result = take_lock(file, wanted, !(operation & LOCK_WITHOUT_WAITING));
    if (result)
        kernel_free(wanted);
    return result;
}
