/* FIFOs: pipes with names. */
#include "vfs/pipe.h"
#include "mm/alloc.h"
#include "sched/thread.h"
#include "vfs/tmpfs.h"

static void fifo_status(struct file *file, struct status *status)
{
    node_status(((struct pipe_end *)file->object)->node, status);
}

static int64_t fifo_change(struct file *file, const struct attributes *change)
{
    node_change(((struct pipe_end *)file->object)->node, change);
    return 0;
}

/* With the last end, what is in the FIFO goes. */
static void fifo_release(struct file *file)
{
    const struct pipe_end *end = file->object;
    struct node *node = end->node;
    if (node->channel->readers == (end->in != NULL) && node->channel->writers == (end->out != NULL))
        node->channel = NULL;
    pipe_release(file);
    node->users--;
    node_release(node);
}

#define FIFO_OPERATIONS                                                  \
    .change = fifo_change, .status = fifo_status, .events = pipe_events, \
    .activity = pipe_activity, .available = pipe_available, .release = fifo_release
static const struct file_operations reading = { .read = pipe_read, FIFO_OPERATIONS };
static const struct file_operations writing = { .write = pipe_write, FIFO_OPERATIONS };
static const struct file_operations both = { .read = pipe_read,
                                             .write = pipe_write,
                                             FIFO_OPERATIONS };

/* An end that waits for the other one: for one that is open, or was since this one was opened. */
struct meeting {
    const unsigned *others;
    const uint64_t *opens;
    uint64_t opens_before;
};

static bool have_met(void *argument)
{
    const struct meeting *meeting = argument;
    return *meeting->others || *meeting->opens != meeting->opens_before;
}

static int64_t wait_for_other(const struct channel *channel, bool reads)
{
    struct meeting meeting = { reads ? &channel->writers : &channel->readers,
                               reads ? &channel->writer_opens : &channel->reader_opens, 0 };
    meeting.opens_before = *meeting.opens;
    return block_until(have_met, &meeting, NO_DEADLINE) ? 0 : -EINTR;
}

static struct file *open_end(struct node *node, int flags, const char *path)
{
    const bool reads = (flags & O_ACCMODE) != O_WRONLY, writes = (flags & O_ACCMODE) != O_RDONLY;
    struct channel *channel = node->channel;
    const struct file_operations *operations = reads && writes ? &both
                                               : reads         ? &reading
                                                               : &writing;
    struct file *file = pipe_open(channel, operations, flags, path);
    if (!file)
        return NULL;
    struct pipe_end *end = file->object;
    channel->reader_opens += reads;
    channel->writer_opens += writes;
    end->node = node;
    end->unconnected = channel->writers == 0;
    end->writer_opens = channel->writer_opens;
    node->users++;
    return file;
}

static void drop_unused_channel(struct node *node)
{
    if (node->channel->readers || node->channel->writers)
        return;
    channel_release(node->channel);
    node->channel = NULL;
}

struct file *fifo_open(struct node *node, int flags, const char *path, int64_t *error)
{
    const int access = flags & O_ACCMODE;
    *error = -ENOMEM;
    if (!node->channel)
        node->channel = channel_create();
    if (!node->channel)
        return NULL;
    const bool alone = access == O_WRONLY && (flags & O_NONBLOCK) && !node->channel->readers;
    struct file *file = alone ? NULL : open_end(node, flags, path);
    if (!file) {
        *error = alone ? -ENXIO : -ENOMEM;
        drop_unused_channel(node);
        return NULL;
    }
    const bool waits = access != O_RDWR && !(flags & O_NONBLOCK);
    *error = waits ? wait_for_other(node->channel, access == O_RDONLY) : 0;
    if (*error == 0)
        return file;
    file_put(file);
    return NULL;
}
