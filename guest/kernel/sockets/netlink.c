/* Netlink sockets, by which C libraries ask for the interfaces and their addresses. There is one
 * interface, and nothing of it can be changed. */
#include "host/call.h"
#include "lib/string.h"
#include "sockets/socket.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#define LOOPBACK_FLAGS 0x10049u /* up, loopback, running, with a carrier */
#define LOOPBACK_MTU   65536u
#define REPLY_BYTES    512u

enum { LOOPBACK_INDEX = 1, HARDWARE_LOOPBACK = 772, SCOPE_HOST = 254, PERMANENT = 0x80 };

/* The messages of a reply. */
struct reply {
    const struct nlmsghdr *request;
    uint32_t port; /* of the socket that asked */
    uint32_t length;
    uint8_t bytes[REPLY_BYTES];
};

int64_t netlink_bind(struct socket *socket, const struct address *address)
{
    socket->name = *address;
    if (!socket->name.scope)
        socket->name.scope = (uint32_t)process_id();
    return 0;
}

static void *put(struct reply *reply, const void *data, uint32_t length)
{
    void *to = reply->bytes + reply->length;
    memcpy(to, data, length);
    reply->length += NLMSG_ALIGN(length);
    return to;
}

static struct nlmsghdr *begin(struct reply *reply, uint16_t type)
{
    const struct nlmsghdr header = { .nlmsg_type = type,
                                     .nlmsg_flags = NLM_F_MULTI,
                                     .nlmsg_seq = reply->request->nlmsg_seq,
                                     .nlmsg_pid = reply->port };
    return put(reply, &header, sizeof header);
}

static void end(const struct reply *reply, struct nlmsghdr *header)
{
    header->nlmsg_len = (uint32_t)(reply->bytes + reply->length - (uint8_t *)header);
}

static void put_attribute(struct reply *reply, uint16_t type, const void *data, uint16_t length)
{
    const struct rtattr attribute = { (uint16_t)RTA_LENGTH(length), type };
    put(reply, &attribute, sizeof attribute);
    put(reply, data, length);
}

static void put_link(struct reply *reply)
{
    static const uint8_t hardware[6];
    const uint32_t mtu = LOOPBACK_MTU;
    const struct ifinfomsg link = { .ifi_type = HARDWARE_LOOPBACK,
                                    .ifi_index = LOOPBACK_INDEX,
                                    .ifi_flags = LOOPBACK_FLAGS };
    struct nlmsghdr *header = begin(reply, RTM_NEWLINK);
    put(reply, &link, sizeof link);
    put_attribute(reply, IFLA_IFNAME, "lo", 3);
    put_attribute(reply, IFLA_MTU, &mtu, sizeof mtu);
    put_attribute(reply, IFLA_ADDRESS, hardware, sizeof hardware);
    put_attribute(reply, IFLA_BROADCAST, hardware, sizeof hardware);
    end(reply, header);
}

static void put_address(struct reply *reply, uint8_t family)
{
    static const uint8_t four[4] = { 127, 0, 0, 1 }, six[16] = { [15] = 1 };
    const bool version_4 = family == FAMILY_INTERNET;
    const uint8_t *host = version_4 ? four : six;
    const uint16_t length = version_4 ? sizeof four : sizeof six;
    const struct ifaddrmsg address = { .ifa_family = family,
                                       .ifa_prefixlen = version_4 ? 8 : 128,
                                       .ifa_flags = PERMANENT,
                                       .ifa_scope = SCOPE_HOST,
                                       .ifa_index = LOOPBACK_INDEX };
    struct nlmsghdr *header = begin(reply, RTM_NEWADDR);
    put(reply, &address, sizeof address);
    put_attribute(reply, IFA_ADDRESS, host, length);
    put_attribute(reply, IFA_LOCAL, host, length);
    put_attribute(reply, IFA_LABEL, "lo", 3);
    end(reply, header);
}

static void put_end(struct reply *reply)
{
    const int32_t status = 0;
    struct nlmsghdr *header = begin(reply, NLMSG_DONE);
    put(reply, &status, sizeof status);
    end(reply, header);
}

static void put_error(struct reply *reply, int32_t error)
{
    struct nlmsghdr *header = begin(reply, NLMSG_ERROR);
    header->nlmsg_flags = 0;
    put(reply, &error, sizeof error);
    put(reply, reply->request, sizeof *reply->request);
    end(reply, header);
}

/* A request begins with the header; a byte with the family of the addresses follows. */
static void answer(struct reply *reply, uint8_t family)
{
    const bool dump = (reply->request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    if (reply->request->nlmsg_type == RTM_GETLINK && dump) {
        put_link(reply);
    } else if (reply->request->nlmsg_type == RTM_GETADDR && dump) {
        if (family == FAMILY_NONE || family == FAMILY_INTERNET)
            put_address(reply, FAMILY_INTERNET);
        if (family == FAMILY_NONE || family == FAMILY_INTERNET6)
            put_address(reply, FAMILY_INTERNET6);
    } else {
        put_error(reply, reply->request->nlmsg_type < RTM_BASE ? -EINVAL : -EPERM);
        return;
    }
    put_end(reply);
}

int64_t netlink_send(struct socket *socket, struct message *message)
{
    struct {
        struct nlmsghdr header;
        uint8_t family;
    } request = { .family = FAMILY_NONE };
    const uint64_t length = message->data.left;
    if (length < sizeof request.header)
        return (int64_t)length; /* as in Linux, what is no message is ignored */
    if (!transfer_take(&message->data, &request, minimum(length, sizeof request)))
        return -EFAULT;
    if (!socket->name.family)
        netlink_bind(socket, &(struct address){ .family = FAMILY_NETLINK });
    struct reply reply = { .request = &request.header, .port = socket->name.scope };
    answer(&reply, request.family);
    struct packet *packet = packet_create(reply.length);
    if (!packet || socket->in.memory > (uint64_t)socket->options[KEPT_RECEIVE_BUFFER]) {
        packet_free(packet);
        return -ENOBUFS;
    }
    memcpy(packet->data, reply.bytes, reply.length);
    packet->end = reply.length;
    packet->from = (struct address){ .family = FAMILY_NETLINK };
    queue_add(&socket->in, packet);
    socket_changed(socket);
    return (int64_t)length;
}
