/* Packets, which queues of sockets hold, and the buffers of programs that they come from. */
#ifndef UDFVM_PACKET_H
#define UDFVM_PACKET_H

#include "sockets/address.h"
#include "vfs/file.h"

#define MAX_PASSED_FILES 253u /* of one message, as in Linux */

/* Open files that a message passes. */
struct passed_files {
    unsigned count;
    struct file *files[];
};

/* A datagram, or a part of a stream. */
struct packet {
    struct packet *next;
    struct passed_files *files; /* NULL: none */
    struct address from;        /* of a datagram, and what it says of its way: */
    uint8_t hops, traffic_class;
    uint32_t start, end; /* of the bytes that nobody has read yet */
    uint32_t capacity;
    uint8_t data[];
};

struct queue {
    struct packet *first, *last;
    uint64_t bytes;  /* that can be read */
    uint64_t memory; /* that the packets take */
    uint32_t packets;
};

struct packet *packet_create(uint32_t capacity); /* NULL if memory is out */
void packet_free(struct packet *packet);         /* NULL is allowed */
uint64_t packet_memory(uint64_t capacity);
void queue_add(struct queue *queue, struct packet *packet);
void queue_drop_first(struct queue *queue);
void queue_clear(struct queue *queue);

/* Passed files count until they are received or dropped, so that they are bounded. */
struct passed_files *passed_files_create(unsigned count, int64_t *error);
struct passed_files *passed_files_copy(const struct passed_files *files);
void passed_files_free(struct passed_files *files); /* NULL is allowed */

/* A program's buffers, from the first byte that was not copied yet. Each use checks what it uses:
 * other threads may have changed the vectors. */
struct transfer {
    const struct io_vector *vectors;
    uint64_t count;
    uint64_t done; /* bytes of the first vector */
    uint64_t left;
};

/* Begins with vectors that the caller has checked. Returns 0 or a negative errno. */
int64_t transfer_begin(struct transfer *transfer, const struct io_vector *vectors, uint64_t count);
/* Copies `length` bytes, at most `left`. Returns false if the program's memory is not its own. */
bool transfer_take(struct transfer *transfer, void *to, uint64_t length);
bool transfer_put(struct transfer *transfer, const void *from, uint64_t length);

#endif
