/* Pipes, which pipe.c implements. FIFOs and splice(2) use them. */
#ifndef UDFVM_PIPE_H
#define UDFVM_PIPE_H

#include "vfs/file.h"

#define PIPE_CAPACITY     65536u     /* bytes that a pipe buffers, as in Linux */
#define PIPE_MAX_CAPACITY (1u << 20) /* bytes that F_SETPIPE_SZ may set: pipe-max-size */
#define PIPE_ATOMIC       4096u      /* PIPE_BUF: a write of up to so many bytes is not split */

/* What the ends of a pipe share. */
struct channel {
    /* a circular buffer of `capacity` bytes; it grows to `limit`, because most pipes carry little
     */
    uint8_t *bytes;
    uint64_t capacity, limit, read, written;
    uint64_t arrivals, departures;       /* counts of changes, which readers and writers wait for */
    uint64_t reader_opens, writer_opens; /* how often a FIFO was opened */
    unsigned readers, writers;
};

/* One end. A pipe's reads or writes: the other pointer is NULL. A FIFO's may do both. */
struct pipe_end {
    struct channel *in, *out;
    uint64_t inode, writer_opens;
    struct node *node; /* of a FIFO */
    bool unconnected;  /* no writer has opened the FIFO since this reader did */
};

static inline uint64_t waiting_bytes(const struct channel *channel)
{
    return channel->written - channel->read;
}

static inline uint64_t free_bytes(const struct channel *channel)
{
    return channel->limit - waiting_bytes(channel);
}

struct channel *channel_create(void);
void channel_release(struct channel *channel); /* frees it if no end refers to it */
/* Returns an open file that is an end of the channel; NULL if memory is out. */
struct file *pipe_open(struct channel *channel, const struct file_operations *operations, int flags,
                       const char *path);
struct pipe_end *pipe_end(const struct file *file); /* NULL: it is no pipe */
/* F_GETPIPE_SZ and F_SETPIPE_SZ */
int64_t pipe_size(const struct file *file, bool set, uint64_t wanted);

/* Operations of an end. */
int64_t pipe_read(struct file *file, uint64_t offset, void *buffer, uint64_t length);
int64_t pipe_write(struct file *file, uint64_t offset, const void *buffer, uint64_t length);
int pipe_events(struct file *file);
uint64_t pipe_activity(struct file *file);
uint64_t pipe_available(struct file *file);
void pipe_release(struct file *file);

/* Copies what waits in a channel, and leaves it there. Returns the length. */
uint64_t channel_peek(struct channel *channel, void *buffer, uint64_t length);
void channel_drop(struct channel *channel, uint64_t length); /* of what waits */

#endif
