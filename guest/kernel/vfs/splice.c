/* splice(2), tee(2) and vmsplice(2): between pipes and files. Bytes are copied. */
#include "mm/alloc.h"
#include "mm/user.h"
#include "sched/thread.h"
#include "vfs/pipe.h"

#define CHUNK_BYTES 65536u
#define NONBLOCK    2u  /* SPLICE_F_NONBLOCK */
#define ALL_FLAGS   15u /* and SPLICE_F_MOVE, SPLICE_F_MORE, SPLICE_F_GIFT, which are hints */

struct splice {
    struct file *from, *to;
    struct channel *source, *target;   /* of sides that are pipes */
    uint64_t *from_offset, *to_offset; /* the caller's own; NULL: the file's */
    bool keep;                         /* tee(2): what is read stays in the pipe */
};

/* Both sides at once: nothing that was taken from the one may wait for the other. */
static bool can_move(void *argument)
{
    const struct splice *splice = argument;
    return (file_events(splice->from) & (EVENT_IN | EVENT_HANG_UP)) &&
           (file_events(splice->to) & (EVENT_OUT | EVENT_ERROR));
}

static int64_t take(const struct splice *splice, void *chunk, uint64_t length)
{
    if (splice->target && splice->target->readers)
        length = minimum(length, free_bytes(splice->target));
    if (splice->source)
        return (int64_t)channel_peek(splice->source, chunk, length);
    struct file *file = splice->from;
    const uint64_t offset = splice->from_offset ? *splice->from_offset : file->offset;
    return file->operations->read(file, offset, chunk, length);
}

/* Notes that so much was taken. */
static void taken(const struct splice *splice, uint64_t length)
{
    if (splice->source && !splice->keep)
        channel_drop(splice->source, length);
    else if (splice->from_offset)
        *splice->from_offset += length;
    else if (splice->from->operations->seekable)
        splice->from->offset += length;
}

static int64_t put(const struct splice *splice, const void *chunk, uint64_t length)
{
    struct file *file = splice->to;
    const uint64_t offset = splice->to_offset ? *splice->to_offset : file->offset;
    const int64_t done = file->operations->write(file, offset, chunk, length);
    if (done > 0 && splice->to_offset)
        *splice->to_offset += (uint64_t)done;
    else if (done > 0 && file->operations->seekable)
        file->offset += (uint64_t)done;
    return done;
}

static int64_t move(struct splice *splice, uint64_t length, bool wait)
{
    if (!can_move(splice) && !wait)
        return -EAGAIN;
    if (!block_until(can_move, splice, NO_DEADLINE))
        return -EINTR;
    void *chunk = page_alloc(CHUNK_BYTES / PAGE_SIZE);
    if (!chunk)
        return -ENOMEM;
    int64_t result = take(splice, chunk, minimum(length, CHUNK_BYTES));
    if (result > 0)
        result = put(splice, chunk, (uint64_t)result);
    if (result > 0)
        taken(splice, (uint64_t)result);
    page_free(chunk, CHUNK_BYTES / PAGE_SIZE);
    return result;
}

/* ---- Checks ---- */

static bool offset_ok(const struct file *file, const struct channel *channel,
                      const uint64_t *offset)
{
    return !offset || (!channel && file->operations->seekable);
}

static bool is_open(const struct splice *splice)
{
    const struct file *from = splice->from, *to = splice->to;
    return from && to && file_readable(from) && file_writable(to);
}

static int64_t check_pipes(const struct splice *splice)
{
    if (splice->keep)
        return splice->source && splice->target ? 0 : -EINVAL;
    return splice->source || splice->target ? 0 : -EINVAL;
}

static int64_t check(const struct splice *splice)
{
    if (!is_open(splice))
        return -EBADF;
    if (splice->source && splice->source == splice->target)
        return -EINVAL;
    if (!offset_ok(splice->from, splice->source, splice->from_offset) ||
        !offset_ok(splice->to, splice->target, splice->to_offset))
        return -ESPIPE;
    if ((splice->to->flags & O_APPEND) || !splice->from->operations->read ||
        !splice->to->operations->write)
        return -EINVAL;
    return check_pipes(splice);
}

static int64_t splice_files(struct splice splice, uint64_t length, uint64_t flags)
{
    const struct pipe_end *source = splice.from ? pipe_end(splice.from) : NULL,
                          *target = splice.to ? pipe_end(splice.to) : NULL;
    splice.source = source ? source->in : NULL;
    splice.target = target ? target->out : NULL;
    int64_t result = check(&splice);
    if (result == 0) {
        const int pipes = (splice.source ? splice.from->flags : 0) |
                          (splice.target ? splice.to->flags : 0);
        result = move(&splice, length, !(flags & NONBLOCK) && !(pipes & O_NONBLOCK));
    }
    file_put(splice.from);
    file_put(splice.to);
    return result;
}

SYSTEM_CALL(splice)
{
    if (f & ~(uint64_t)ALL_FLAGS)
        return -EINVAL;
    if (e == 0)
        return 0;
    if ((b && !user_range_ok(b, sizeof(uint64_t))) || (d && !user_range_ok(d, sizeof(uint64_t))))
        return -EFAULT;
    return splice_files((struct splice){ .from = file_get((int)a),
                                         .to = file_get((int)c),
                                         .from_offset = (uint64_t *)b,
                                         .to_offset = (uint64_t *)d },
                        e, f);
}

SYSTEM_CALL(tee)
{
    if (d & ~(uint64_t)ALL_FLAGS)
        return -EINVAL;
    if (c == 0)
        return 0;
    return splice_files(
        (struct splice){ .from = file_get((int)a), .to = file_get((int)b), .keep = true }, c, d);
}

/* Moves one vector to or from a pipe, as far as that is possible at once, if it must not wait. */
static int64_t move_vector(struct file *file, const struct io_vector *vector, bool wait)
{
    const struct pipe_end *end = pipe_end(file);
    const int ready = file_events(file), wanted = end->out ? EVENT_OUT : EVENT_IN | EVENT_HANG_UP;
    if (vector->length && !user_range_ok(vector->base, vector->length))
        return -EFAULT;
    if (!wait && !(ready & wanted))
        return -EAGAIN;
    if (!end->out)
        return pipe_read(file, 0, (void *)vector->base, vector->length);
    const bool limited = (ready & EVENT_OUT) && end->out->readers;
    return pipe_write(file, 0, (const void *)vector->base,
                      limited ? minimum(vector->length, free_bytes(end->out)) : vector->length);
}

static int64_t move_vectors(struct file *file, const struct io_vector *vectors, uint64_t count,
                            bool wait)
{
    int64_t total = 0;
    for (uint64_t i = 0; i < count; i++) {
        const int64_t moved = move_vector(file, &vectors[i], wait && !total);
        if (moved < 0)
            return total ? total : moved;
        total += moved;
        if ((uint64_t)moved < vectors[i].length)
            break;
    }
    return total;
}

SYSTEM_CALL(vmsplice)
{
    if (d & ~(uint64_t)ALL_FLAGS)
        return -EINVAL;
    struct file *file = file_get((int)a);
    int64_t result = !file || !pipe_end(file)                          ? -EBADF
                     : c > MAX_IO_VECTORS                              ? -EINVAL
                     : !user_range_ok(b, c * sizeof(struct io_vector)) ? -EFAULT
                                                                       : 0;
    if (result == 0)
        result = move_vectors(file, (const struct io_vector *)b, c,
                              !(d & NONBLOCK) && !(file->flags & O_NONBLOCK));
    file_put(file);
    return result;
}
