/* eventfd: a counter to wait for. */
#include "file.h"
#include "syscalls.h"

#define SEMAPHORE 1u
#define DEVICE 0x6566u
#define COUNT_MAX (UINT64_MAX - 1)

struct counter { uint64_t count, adding; bool semaphore; };

static bool is_positive(void *argument)
{
    return ((const struct counter *)argument)->count > 0;
}

static bool has_room(void *argument)
{
    const struct counter *counter = argument;
    return counter->adding <= COUNT_MAX - counter->count;
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
    return sizeof taken;
}

static int64_t counter_write(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    struct counter *counter = file->object;
    uint64_t value;
    if (length < sizeof value)
        return -EINVAL;
    memcpy(&value, buffer, sizeof value);
    if (value == UINT64_MAX)
        return -EINVAL;
    counter->adding = value;
    if (!has_room(counter) && (file->flags & O_NONBLOCK))
        return -EAGAIN;
    while (value > COUNT_MAX - counter->count) {
        counter->adding = value;
        if (!block_until(has_room, counter, NO_DEADLINE))
            return -EINTR;
    }
    counter->count += value;
    return sizeof value;
}

static int counter_events(struct file *file)
{
    const struct counter *counter = file->object;
    return (counter->count ? EVENT_IN : 0) | (counter->count < COUNT_MAX ? EVENT_OUT : 0);
}

static void counter_status(struct file *file, struct udfvm_stat *stat)
{
    *stat = (struct udfvm_stat){ .device = DEVICE, .inode = 1, .mode = 0600, .links = 1 };
}

static void counter_release(struct file *file)
{
    kernel_free(file->object);
}

static const struct file_operations counter_operations = {
    .read = counter_read, .write = counter_write, .status = counter_status, .events = counter_events, .release = counter_release,
};

static int64_t create(uint64_t count, int flags)
{
    struct counter *counter = kernel_alloc(sizeof *counter);
    struct file *file = counter ? file_create(&counter_operations, counter, O_RDWR | (flags & O_NONBLOCK), NULL) : NULL;
    if (!file) {
        kernel_free(counter);
        return -ENOMEM;
    }
    *counter = (struct counter){ .count = count, .semaphore = flags & SEMAPHORE };
    return descriptor_install(file, 0, flags & O_CLOEXEC);
}

SYSCALL(sys_eventfd) { return create((uint32_t)a, 0); }
SYSCALL(sys_eventfd2) { return create((uint32_t)a, (int)b); }
