/* eventfd: a counter to wait for. */
#include "lib/string.h"
#include "mm/alloc.h"
#include "sched/thread.h"
#include "vfs/file.h"

#define EFD_SEMAPHORE 1u
#define MAX_COUNT     (UINT64_MAX - 1)

struct counter {
    uint64_t count, activity;
    bool semaphore;
    uint64_t inode;
};
struct addition {
    const struct counter *counter;
    uint64_t value;
};

static uint64_t last_inode = 1u << 20;

static bool is_positive(void *argument)
{
    return ((const struct counter *)argument)->count > 0;
}

static bool has_capacity(void *argument)
{
    const struct addition *addition = argument;
    return addition->value <= MAX_COUNT - addition->counter->count;
}

static int64_t counter_read(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    struct counter *counter = file->object;
    if (length < sizeof(uint64_t))
        return -EINVAL;
    if (counter->count == 0 && (file->flags & O_NONBLOCK))
        return -EAGAIN;
    if (!block_until(is_positive, counter, NO_DEADLINE))
        return -EINTR;
    const uint64_t taken = counter->semaphore ? 1 : counter->count;
    memcpy(buffer, &taken, sizeof taken);
    counter->count -= taken;
    counter->activity++;
    return sizeof taken;
}

static int64_t counter_write(struct file *file, uint64_t offset, const void *buffer,
                             uint64_t length)
{
    struct counter *counter = file->object;
    struct addition addition = { counter, 0 };
    if (length < sizeof addition.value)
        return -EINVAL;
    memcpy(&addition.value, buffer, sizeof addition.value);
    if (addition.value == UINT64_MAX)
        return -EINVAL;
    if (!has_capacity(&addition) && (file->flags & O_NONBLOCK))
        return -EAGAIN;
    if (!block_until(has_capacity, &addition, NO_DEADLINE))
        return -EINTR;
    counter->count += addition.value;
    counter->activity++;
    return sizeof addition.value;
}

static int counter_events(struct file *file)
{
    const struct counter *counter = file->object;
    return (counter->count ? EVENT_IN : 0) | (counter->count < MAX_COUNT ? EVENT_OUT : 0);
}

static uint64_t counter_activity(struct file *file)
{
    return ((const struct counter *)file->object)->activity;
}

static void counter_status(struct file *file, struct status *status)
{
    const struct counter *counter = file->object;
    *status = (struct status){
        .device = DEVICE_STREAMS, .inode = counter->inode, .mode = 0600, .links = 1
    };
}

static void counter_release(struct file *file)
{
    kernel_free(file->object);
}

static const struct file_operations counter_operations = {
    .read = counter_read,
    .write = counter_write,
    .status = counter_status,
    .events = counter_events,
    .activity = counter_activity,
    .release = counter_release,
};

static int64_t create(uint64_t count, uint64_t flags)
{
    if (flags & ~(uint64_t)(EFD_SEMAPHORE | O_NONBLOCK | O_CLOEXEC))
        return -EINVAL;
    struct counter *counter = kernel_alloc(sizeof *counter);
    struct file *file = counter ? file_create(&counter_operations, counter,
                                              O_RDWR | ((int)flags & O_NONBLOCK), NULL)
                                : NULL;
    if (!file) {
        kernel_free(counter);
        return -ENOMEM;
    }
    *counter = (struct counter){ .count = count,
                                 .semaphore = flags & EFD_SEMAPHORE,
                                 .inode = ++last_inode };
    return descriptor_install(file, 0, flags & O_CLOEXEC);
}

SYSTEM_CALL(eventfd)
{
    return create((uint32_t)a, 0);
}
SYSTEM_CALL(eventfd2)
{
    return create((uint32_t)a, b);
}
