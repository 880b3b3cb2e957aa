/* Descriptors of processes. There is one process, which has not ended while it can ask. */
#include "host/call.h"
#include "lib/string.h"
#include "signal/signal.h"
#include "vfs/file.h"

static int no_events(struct file *file)
{
    return 0;
}

static void process_status(struct file *file, struct status *status)
{
    *status = (struct status){
        .device = DEVICE_STREAMS, .inode = 1u << 20, .mode = 0600, .links = 1
    };
}

static const struct file_operations process_operations = { .status = process_status,
                                                           .events = no_events };

SYSTEM_CALL(pidfd_open)
{
    const int32_t id = (int32_t)a;
    if ((b & ~(uint64_t)O_NONBLOCK) || id <= 0)
        return -EINVAL;
    if (id != process_id())
        return thread_find(id) ? -EINVAL : -ESRCH; /* it leads no process */
    struct file *file = file_create(&process_operations, NULL, O_RDWR | (int)b, NULL);
    return file ? descriptor_install(file, 0, true) : -ENOMEM;
}

static bool is_process_folder(const struct file *file)
{
    char own[32];
    format(own, sizeof own, "/proc/%u", process_id());
    return file->path && (strcmp(file->path, "/proc/self") == 0 || strcmp(file->path, own) == 0);
}

/* Returns 0 or an error: -EBADF if the descriptor is none of a process. */
static int64_t check_descriptor(int fd, bool may_be_folder)
{
    struct file *file = file_get(fd);
    const bool ok = file && (file->operations == &process_operations ||
                             (may_be_folder && is_process_folder(file)));
    file_put(file);
    return ok ? 0 : -EBADF;
}

SYSTEM_CALL(pidfd_send_signal)
{
    if ((uint32_t)d)
        return -EINVAL;
    const int64_t error = check_descriptor((int)a, true);
    return error ? error : signal_send_to_process(b, c);
}

SYSTEM_CALL(pidfd_getfd)
{
    if ((uint32_t)c)
        return -EINVAL;
    const int64_t error = check_descriptor((int)a, false);
    struct file *file = error ? NULL : file_get_named((int)b);
    return file ? descriptor_install(file, 0, true) : -EBADF;
}
