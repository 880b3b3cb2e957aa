/* Standard input, which is empty, and standard output and error, which go to the host's log. */
#include "vfs/file.h"
#include "arch/hypercall.h"

#define AT_ONCE 65536u /* bytes that one hypercall logs at most */

/* Output waits here for a flush. Both streams share it, so that what they say stays in order; one
 * page, so that a call that prints a little dirties no more. The host knows where it lies. */
static struct udfvm_pending_log pending
    __attribute__((section(".log_pending"), aligned(PAGE_SIZE)));

void streams_flush(void)
{
    if (!pending.length)
        return;
    hypercall(UDFVM_HYPERCALL_LOG, pending.stream, (uint64_t)pending.text, pending.length, 0, 0);
    pending.length = 0;
}

static int64_t write_stream(uint64_t stream, const char *text, uint64_t length)
{
    if (pending.length &&
        (pending.stream != stream || length > sizeof pending.text - pending.length))
        streams_flush();
    if (length <= sizeof pending.text) {
        memcpy(pending.text + pending.length, text, length);
        pending.stream = stream;
        pending.length += length;
        return (int64_t)length;
    }
    for (uint64_t done = 0; done < length; done += AT_ONCE) {
        const int64_t error = hypercall(UDFVM_HYPERCALL_LOG, stream, (uint64_t)text + done,
                                        minimum(length - done, AT_ONCE), 0, 0);
        if (error < 0)
            return done ? (int64_t)done : error;
    }
    return (int64_t)length;
}

static int64_t write_output(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    return write_stream(1, buffer, length);
}

static int64_t write_error(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    return write_stream(2, buffer, length);
}

static int64_t read_nothing(struct file *file, uint64_t offset, void *buffer, uint64_t length)
{
    return 0;
}

static int input_events(struct file *file)
{
    return EVENT_IN | EVENT_HANG_UP;
}
static int output_events(struct file *file)
{
    return EVENT_OUT;
}

/* As if they were pipes: programs do not seek in them, nor take them for terminals. */
static void stream_status(struct file *file, struct status *status)
{
    *status = (struct status){ .device = DEVICE_STREAMS,
                               .inode = 1u << 22 | file->operations->events(file),
                               .mode = S_IFIFO | 0600,
                               .links = 1 };
}

static const struct file_operations input = { .read = read_nothing,
                                              .status = stream_status,
                                              .events = input_events };
static const struct file_operations output = { .write = write_output,
                                               .status = stream_status,
                                               .events = output_events };
static const struct file_operations error_output = { .write = write_error,
                                                     .status = stream_status,
                                                     .events = output_events };

struct file *stream_open(int fd)
{
    return file_create(fd == 0   ? &input
                       : fd == 1 ? &output
                                 : &error_output,
                       NULL, fd == 0 ? O_RDONLY : O_WRONLY, NULL);
}
