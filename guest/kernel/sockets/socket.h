/* Sockets. For use inside this folder only. */
#ifndef UDFVM_SOCKET_H
#define UDFVM_SOCKET_H

#include "sockets/packet.h"
#include "sched/thread.h"

enum protocols { PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, PROTOCOL_UDP_LITE = 136 };
enum levels { LEVEL_IP = 0, LEVEL_SOCKET = 1, LEVEL_TCP = 6, LEVEL_UDP = 17, LEVEL_IP6 = 41 };
enum types { SOCKET_STREAM = 1, SOCKET_DATAGRAM = 2, SOCKET_RAW = 3, SOCKET_SEQUENCE = 5 };
enum message_flags {
    MESSAGE_OUT_OF_BAND = 0x1,
    MESSAGE_PEEK = 0x2,
    MESSAGE_CONTROL_CUT = 0x8,
    MESSAGE_CUT = 0x20, /* MSG_TRUNC */
    MESSAGE_NO_WAIT = 0x40,
    MESSAGE_END_OF_RECORD = 0x80,
    MESSAGE_WAIT_ALL = 0x100,
    MESSAGE_ERRORS = 0x2000, /* MSG_ERRQUEUE */
    MESSAGE_NO_SIGNAL = 0x4000,
    MESSAGE_WAIT_FOR_ONE = 0x10000,
    MESSAGE_CLOSE_ON_EXEC = 0x40000000,
};

enum socket_state {
    SOCKET_NEW,
    SOCKET_LISTENING,
    SOCKET_CONNECTING, /* the listener has no room yet */
    SOCKET_CONNECTED,
    SOCKET_FAILED, /* to connect, and the next connect(2) says so */
};

enum urgent_state { URGENT_NONE, URGENT_BYTE, URGENT_MARK /* the byte was read */ };

/* Options with an effect; options.c has the others. */
enum kept_options {
    KEPT_REUSE_ADDRESS,
    KEPT_REUSE_PORT,
    KEPT_SEND_BUFFER,
    KEPT_RECEIVE_BUFFER,
    KEPT_PASS_CREDENTIALS,
    KEPT_ONLY_6,
    KEPT_HOPS, /* of what is sent by IPv4, and by IPv6 */
    KEPT_HOPS_6,
    KEPT_CLASS,
    KEPT_CLASS_6,
    KEPT_TELL_HOPS, /* control messages about what was received: IPv4, IPv6 */
    KEPT_TELL_HOPS_6,
    KEPT_TELL_CLASS,
    KEPT_TELL_CLASS_6,
    KEPT_TELL_PLACE,
    KEPT_TELL_PLACE_6,
    KEPT_URGENT_INLINE,
    KEPT_OPTIONS = 56,
};

struct socket {
    struct socket *next, *previous; /* in the list of all sockets */
    int family, type, protocol;
    enum socket_state state;
    struct address name, peer_name;
    bool owns_name;       /* a local socket that was bound */
    uint64_t bound_inode; /* of the path that it was bound to; 0: none */
    /* The other end of a connection; of a local datagram socket, where it sends. NULL: closed. */
    struct socket *peer;
    bool peer_lost;         /* the peer of a local datagram socket was closed */
    bool in_shut, out_shut; /* nothing more comes, nothing more goes */
    bool in_done;           /* the other end of TCP said that nothing more comes */
    bool unasked; /* connected, or failed, by a connect(2) that did not wait, and nobody asked */
    int error;    /* of a peer, for the next call; a positive errno */
    struct queue in;
    uint64_t bytes_read, mark; /* of the stream until now, and until the place of urgent data */
    enum urgent_state urgent;
    uint8_t urgent_byte;
    uint64_t activity, inode;

    /* The sockets that wait to be accepted, and the listener that a socket waits for. */
    struct socket *first_pending, *next_pending, *listener;
    unsigned pending, backlog;

    int options[KEPT_OPTIONS];
    bool lingers;
    int linger_seconds;
    int64_t receive_timeout, send_timeout; /* nanoseconds; 0: none */
};

/* What a send or a receive moves. */
struct message {
    struct transfer data;
    struct address name; /* where it goes, or came from; FAMILY_NONE: none */
    struct passed_files *files;
    uint8_t hops, traffic_class; /* of a datagram of UDP; 0 to send: the socket's */
    unsigned flags;              /* of the call */
    unsigned had_flags;          /* of the message received */
};

extern struct socket *all_sockets;

/* socket.c */
struct socket *socket_create(int family, int type, int protocol);
struct file *socket_open(struct socket *socket, int flags); /* NULL if memory is out */
void socket_destroy(struct socket *socket);
/* Returns the socket's file with one more reference. NULL: *error is a negative errno. */
struct file *socket_get(uint64_t fd, int64_t *error);
static inline struct socket *socket_of(const struct file *file)
{
    return file->object;
}
static inline bool is_local(const struct socket *socket)
{
    return socket->family == FAMILY_LOCAL;
}
static inline bool is_netlink(const struct socket *socket)
{
    return socket->family == FAMILY_NETLINK;
}
static inline bool has_connections(const struct socket *socket)
{
    return socket->type != SOCKET_DATAGRAM;
}
static inline bool is_tcp(const struct socket *socket)
{
    return !is_local(socket) && has_connections(socket);
}
/* A change that readers, writers and epoll sets may wait for. */
static inline void socket_changed(struct socket *socket)
{
    socket->activity++;
}
int64_t socket_take_error(struct socket *socket); /* negative errno, or 0 */
uint64_t socket_deadline(int64_t timeout);        /* of a call that begins now */
bool socket_waits(const struct file *file, unsigned message_flags);

/* internet.c */
int64_t internet_bind(struct socket *socket, const struct address *address);
/* Gives an unbound socket a port. */
int64_t internet_bind_anywhere(struct socket *socket);
struct socket *internet_find_listener(const struct address *to);
struct socket *internet_find_receiver(int protocol, const struct address *to,
                                      const struct address *from);
/* Checks where an internet socket wants to connect or send to. */
int64_t internet_route(const struct socket *socket, struct address *to);
/* The address that a bound socket sends from. */
struct address internet_source(const struct socket *socket, const struct address *to);

/* netlink.c */
int64_t netlink_bind(struct socket *socket, const struct address *address);
int64_t netlink_send(struct socket *socket, struct message *message);

/* local.c */
int64_t local_bind(struct socket *socket, const struct address *address);
struct socket *local_find(const struct address *address, int type, int64_t *error);

/* connection.c */
int64_t connection_connect(struct socket *socket, const struct address *to, bool wait);
int64_t connection_listen(struct socket *socket, int backlog);
/* Returns a socket that was waiting, and forgets it. NULL: *error is a negative errno. */
struct socket *connection_accept(struct socket *listener, bool wait, int64_t *error);
void connection_return(struct socket *listener, struct socket *socket); /* to the first place */
void connection_pair(struct socket *one, struct socket *other);
void connection_shut(struct socket *socket, bool reading, bool writing);
void connection_close(struct socket *socket);

/* stream.c, datagram.c */
uint64_t stream_space(const struct socket *socket); /* bytes of memory, of the peer's queue */
bool stream_is_writable(const struct socket *socket);
int64_t stream_send(struct socket *socket, struct message *message, bool wait);
int64_t stream_receive(struct socket *socket, struct message *message, bool wait);
int64_t datagram_connect(struct socket *socket, const struct address *to);
bool datagram_is_writable(const struct socket *socket);
int64_t datagram_send(struct socket *socket, struct message *message, bool wait);
/* Sequences of packets receive like datagrams, and send like them, to their peer. */
int64_t datagram_receive(struct socket *socket, struct message *message, bool wait);

/* urgent.c */
int64_t urgent_send(struct socket *socket, struct message *message, bool wait);
int64_t urgent_receive(struct socket *socket, struct message *message);
uint64_t urgent_limit(struct socket *socket, bool peek); /* bytes that a call may read now */

/* message.c */
int64_t message_move(struct file *file, struct message *message, bool send);
int64_t message_vectors(struct file *file, bool send, const struct io_vector *vectors,
                        uint64_t count);

/* ancillary.c */
int64_t ancillary_read(const struct socket *socket, uint64_t control, uint64_t length,
                       struct message *message);
/* Writes what came with a message, and takes its files. Returns the length written. */
uint64_t ancillary_write(const struct socket *socket, struct message *message, uint64_t control,
                         uint64_t capacity);

/* options.c */
void options_init(struct socket *socket);

/* interfaces.c */
int64_t socket_control(struct file *file, uint32_t request, uint64_t argument);

#endif
