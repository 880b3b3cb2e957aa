#include "sockets/packet.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "mm/user.h"

#define MAX_FILES_ON_THE_WAY 1024u
#define MAX_TRANSFER         0x7ffff000ull /* bytes of one message, as in Linux */

static unsigned files_on_the_way;

/* ---- Packets ---- */

uint64_t packet_memory(uint64_t capacity)
{
    return sizeof(struct packet) + capacity;
}

struct packet *packet_create(uint32_t capacity)
{
    struct packet *packet = kernel_alloc(packet_memory(capacity));
    if (packet)
        packet->capacity = capacity;
    return packet;
}

void packet_free(struct packet *packet)
{
    if (packet)
        passed_files_free(packet->files);
    kernel_free(packet);
}

void queue_add(struct queue *queue, struct packet *packet)
{
    *(queue->last ? &queue->last->next : &queue->first) = packet;
    queue->last = packet;
    queue->bytes += packet->end - packet->start;
    queue->memory += packet_memory(packet->capacity);
    queue->packets++;
}

void queue_drop_first(struct queue *queue)
{
    struct packet *packet = queue->first;
    queue->first = packet->next;
    if (!queue->first)
        queue->last = NULL;
    queue->bytes -= packet->end - packet->start;
    queue->memory -= packet_memory(packet->capacity);
    queue->packets--;
    packet_free(packet);
}

void queue_clear(struct queue *queue)
{
    while (queue->first)
        queue_drop_first(queue);
}

/* ---- Passed files ---- */

struct passed_files *passed_files_create(unsigned count, int64_t *error)
{
    *error = count > MAX_PASSED_FILES                          ? -EINVAL
             : files_on_the_way + count > MAX_FILES_ON_THE_WAY ? -ETOOMANYREFS
                                                               : 0;
    if (*error)
        return NULL;
    struct passed_files *files = kernel_alloc(sizeof *files + count * sizeof *files->files);
    if (!files) {
        *error = -ENOMEM;
        return NULL;
    }
    files->count = count;
    files_on_the_way += count;
    return files;
}

struct passed_files *passed_files_copy(const struct passed_files *files)
{
    int64_t error;
    struct passed_files *copy = files ? passed_files_create(files->count, &error) : NULL;
    for (unsigned i = 0; copy && i < copy->count; i++) {
        copy->files[i] = files->files[i];
        copy->files[i]->references++;
    }
    return copy;
}

void passed_files_free(struct passed_files *files)
{
    if (!files)
        return;
    for (unsigned i = 0; i < files->count; i++)
        file_put(files->files[i]);
    files_on_the_way -= files->count;
    kernel_free(files);
}

/* ---- Buffers of programs ---- */

int64_t transfer_begin(struct transfer *transfer, const struct io_vector *vectors, uint64_t count)
{
    *transfer = (struct transfer){ .vectors = vectors, .count = count };
    for (uint64_t i = 0; i < count; i++) {
        if (vectors[i].length > INT64_MAX)
            return -EINVAL;
        if (vectors[i].length && !user_range_ok(vectors[i].base, vectors[i].length))
            return -EFAULT;
        transfer->left = minimum(transfer->left + vectors[i].length, MAX_TRANSFER);
    }
    return 0;
}

static bool copy(struct transfer *transfer, uint8_t *to, const uint8_t *from, uint64_t length)
{
    while (length) {
        if (!transfer->count)
            return false;
        const struct io_vector vector = *transfer->vectors;
        if (transfer->done >= vector.length) {
            transfer->vectors++;
            transfer->count--;
            transfer->done = 0;
            continue;
        }
        const uint64_t part = minimum(length, vector.length - transfer->done),
                       address = vector.base + transfer->done;
        if (!user_range_ok(address, part))
            return false;
        memcpy(to ? to : (uint8_t *)address, to ? (const uint8_t *)address : from, part);
        to += to ? part : 0;
        from += from ? part : 0;
        transfer->done += part;
        transfer->left -= part;
        length -= part;
    }
    return true;
}

bool transfer_take(struct transfer *transfer, void *to, uint64_t length)
{
    return copy(transfer, to, NULL, length);
}

bool transfer_put(struct transfer *transfer, const void *from, uint64_t length)
{
    return copy(transfer, NULL, from, length);
}
