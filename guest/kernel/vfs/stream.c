/* Standard streams. Standard input is empty. Standard output and error go to the host's log. */
#include "host/log.h"
#include "vfs/file.h"

static int64_t write_output(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    return log_write(LOG_OUTPUT, buffer, length);
}

static int64_t write_error(struct file *file, uint64_t offset, const void *buffer, uint64_t length)
{
    return log_write(LOG_ERROR, buffer, length);
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

/* They look like pipes, because programs neither seek in pipes nor take them for terminals. */
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
