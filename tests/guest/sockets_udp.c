/* Datagrams of UDP within one host, options of sockets, and their timeouts. */
#define _GNU_SOURCE
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "sockets.h"

static void pair_of_udp(int ends[2])
{
    for (int i = 0; i < 2; i++) {
        ends[i] = opened(AF_INET, SOCK_DGRAM);
        CHECK(bind_to(ends[i], at("127.0.0.1", 0)) == 0);
    }
}

static ssize_t send_to(int fd, const void *data, size_t length, union any_address to)
{
    return sendto(fd, data, length, 0, &to.generic, size_of(&to));
}

static void datagrams(void)
{
    int ends[2], waiting;
    char buffer[16] = "";
    union any_address from;
    socklen_t length = sizeof from;
    pair_of_udp(ends);
    const union any_address to = at("127.0.0.1", port_of(ends[1]));
    CHECK(send_to(ends[0], "first", 5, to) == 5 && send_to(ends[0], "", 0, to) == 0 &&
          send_to(ends[0], "third one", 9, to) == 9);
    await(ends[1], POLLIN);
    CHECK(ioctl(ends[1], FIONREAD, &waiting) == 0 && waiting == 5);
    CHECK(recv(ends[1], buffer, 16, MSG_PEEK) == 5 &&
          recv(ends[1], buffer, 3, MSG_PEEK | MSG_TRUNC) == 5);
    CHECK(recvfrom(ends[1], buffer, 16, 0, &from.generic, &length) == 5 &&
          length == sizeof from.in && ntohs(from.in.sin_port) == port_of(ends[0]) &&
          memcmp(buffer, "first", 5) == 0);
    CHECK(recv(ends[1], buffer, 16, 0) == 0 && recv(ends[1], buffer, 5, MSG_WAITALL) == 5 &&
          memcmp(buffer, "third", 5) == 0); /* the rest is lost */
    CHECK(fails_with(recv(ends[1], buffer, 16, MSG_DONTWAIT), EAGAIN));
    CHECK(fails_with(send(ends[0], "x", 1, 0), EDESTADDRREQ) &&
          fails_with(listen(ends[0], 1), EOPNOTSUPP) &&
          fails_with(accept(ends[0], NULL, NULL), EOPNOTSUPP));
    close_both(ends);
}

static void large_datagrams(void)
{
    static char large[70000], back[70000];
    int ends[2];
    pair_of_udp(ends);
    const union any_address to = at("127.0.0.1", port_of(ends[1]));
    memset(large, 'l', sizeof large);
    CHECK(send_to(ends[0], large, 65507, to) == 65507);
    await(ends[1], POLLIN);
    CHECK(read(ends[1], back, sizeof back) == 65507 && back[65506] == 'l');
    CHECK(fails_with(send_to(ends[0], large, 65508, to), EMSGSIZE));
    close_both(ends);
}

static void connected_datagrams(void)
{
    int ends[2], other = opened(AF_INET, SOCK_DGRAM);
    char buffer[8];
    pair_of_udp(ends);
    const union any_address to = at("127.0.0.1", port_of(ends[1]));
    const struct sockaddr none = { .sa_family = AF_UNSPEC };
    CHECK(connect_to(ends[0], to) == 0 &&
          connect_to(ends[1], at("127.0.0.1", port_of(ends[0]))) == 0);
    CHECK(send_to(other, "no", 2, to) == 2); /* the connected end does not take it */
    CHECK(send(ends[0], "yes", 3, 0) == 3 && await(ends[1], POLLIN) &&
          recv(ends[1], buffer, 8, 0) == 3 &&
          fails_with(recv(ends[1], buffer, 8, MSG_DONTWAIT), EAGAIN));
    CHECK(close(ends[1]) == 0 && send(ends[0], "x", 1, 0) == 1);
    await(ends[0], POLLERR);
    CHECK(fails_with(recv(ends[0], buffer, 8, 0), ECONNREFUSED));
    CHECK(send(ends[0], "x", 1, 0) == 1 && await(ends[0], POLLERR) &&
          fails_with(send(ends[0], "x", 1, 0), ECONNREFUSED));
    CHECK(connect(ends[0], &none, sizeof none) == 0 &&
          fails_with(send(ends[0], "x", 1, 0), EDESTADDRREQ));
    close(ends[0]);
    close(other);
}

static void many_messages(void)
{
    int ends[2];
    char one[8] = "", two[8] = "";
    pair_of_udp(ends);
    union any_address to = at("127.0.0.1", port_of(ends[1]));
    struct iovec out[2] = { { "ab", 2 }, { "cde", 3 } }, in[2] = { { one, 8 }, { two, 8 } };
    struct mmsghdr messages[3] = {
        { .msg_hdr = { .msg_name = &to,
                       .msg_namelen = sizeof to.in,
                       .msg_iov = out,
                       .msg_iovlen = 2 } },
        { .msg_hdr = { .msg_name = &to,
                       .msg_namelen = sizeof to.in,
                       .msg_iov = out + 1,
                       .msg_iovlen = 1 } },
    };
    CHECK(sendmmsg(ends[0], messages, 2, 0) == 2 && messages[0].msg_len == 5 &&
          messages[1].msg_len == 3);
    await(ends[1], POLLIN);
    for (int i = 0; i < 3; i++)
        messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = in + (i & 1), .msg_iovlen = 1 } };
    CHECK(recvmmsg(ends[1], messages, 3, MSG_WAITFORONE, NULL) == 2 && messages[0].msg_len == 5 &&
          messages[1].msg_len == 3 && memcmp(one, "abcde", 5) == 0 && memcmp(two, "cde", 3) == 0);
    in[0].iov_len = 2;
    CHECK(send_to(ends[0], "long", 4, to) == 4 && await(ends[1], POLLIN) &&
          recvmsg(ends[1], &messages[0].msg_hdr, 0) == 2 &&
          (messages[0].msg_hdr.msg_flags & MSG_TRUNC) && messages[0].msg_hdr.msg_controllen == 0);
    close_both(ends);
}

static void shared_ports(void)
{
    int ends[2];
    pair_of_udp(ends);
    CHECK(fails_with(bind_to(opened(AF_INET, SOCK_DGRAM), at("127.0.0.1", port_of(ends[0]))),
                     EADDRINUSE));
    const int both = opened(AF_INET, SOCK_STREAM); /* ports of TCP are others */
    CHECK(bind_to(both, at("127.0.0.1", 0)) == 0 && close(both) == 0);
    close_both(ends);
}

/* ---- Options ---- */

static void options_of_tcp(int fd)
{
    CHECK(set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) == 0 &&
          option_of(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
    CHECK(set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60) == 0 &&
          option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 60 &&
          fails_with(set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 0), EINVAL));
    CHECK(set_option(fd, IPPROTO_IP, IP_TTL, 3) == 0 && option_of(fd, IPPROTO_IP, IP_TTL) == 3 &&
          set_option(fd, IPPROTO_IP, IP_TOS, 0x10) == 0 &&
          option_of(fd, IPPROTO_IP, IP_TOS) == 0x10);
}

static void options_of_other_sizes(int fd)
{
    char byte;
    struct linger linger = { 1, 5 };
    socklen_t length = sizeof linger;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0 &&
          getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 && linger.l_linger == 5);
    length = 1;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &byte, &length) == 0 && length == 1 &&
          byte == SOCK_STREAM);
}

static void refused_options(int fd)
{
    int value = 1;
    socklen_t length = sizeof value;
    CHECK(fails_with(getsockopt(fd, 500, 1, &value, &length), EOPNOTSUPP) &&
          fails_with(getsockopt(fd, IPPROTO_TCP, 9999, &value, &length), ENOPROTOOPT));
    CHECK(fails_with(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, 1), EINVAL) &&
          fails_with(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, NULL, 4), EFAULT) &&
          fails_with(set_option(fd, SOL_SOCKET, 9999, 1), ENOPROTOOPT) &&
          fails_with(set_option(fd, 500, 1, 1), ENOPROTOOPT) &&
          fails_with(set_option(fd, SOL_SOCKET, SO_TYPE, 1), ENOPROTOOPT));
}

static void options(void)
{
    const int fd = opened(AF_INET, SOCK_STREAM);
    CHECK(option_of(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM &&
          option_of(fd, SOL_SOCKET, SO_DOMAIN) == AF_INET &&
          option_of(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP &&
          option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) == 0 && error_of(fd) == 0);
    CHECK(set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 7) == 0 &&
          option_of(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(set_option(fd, SOL_SOCKET, SO_SNDBUF, 10000) == 0 &&
          option_of(fd, SOL_SOCKET, SO_SNDBUF) == 20000 &&
          set_option(fd, SOL_SOCKET, SO_RCVBUF, 1) == 0 &&
          option_of(fd, SOL_SOCKET, SO_RCVBUF) == 2304);
    options_of_tcp(fd);
    options_of_other_sizes(fd);
    refused_options(fd);
    close(fd);
}

static void timeouts(void)
{
    int ends[2];
    char byte;
    static char block[1 << 20];
    const struct timeval soon = { 0, 20000 };
    struct timeval back;
    socklen_t length = sizeof back;
    connected(ends);
    CHECK(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0 &&
          setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon) == 0);
    CHECK(getsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &back, &length) == 0 &&
          length == sizeof back && back.tv_sec == 0 && back.tv_usec >= 20000 &&
          back.tv_usec < 30000);
    CHECK(fails_with(read(ends[0], &byte, 1), EAGAIN));
    ssize_t put = 1;
    while (put > 0)
        put = write(ends[0], block, sizeof block);
    CHECK(fails_with(put, EAGAIN));
    close_both(ends);
}

static void interface(void)
{
    const int fd = opened(AF_INET, SOCK_DGRAM);
    struct ifreq request = { .ifr_name = "lo" };
    CHECK(ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_LOOPBACK));
    CHECK(ioctl(fd, SIOCGIFINDEX, &request) == 0 && request.ifr_ifindex == 1);
    memset(&request, 0, sizeof request);
    request.ifr_ifindex = 1;
    CHECK(ioctl(fd, SIOCGIFNAME, &request) == 0 && strcmp(request.ifr_name, "lo") == 0);
    strcpy(request.ifr_name, "none0");
    CHECK(fails_with(ioctl(fd, SIOCGIFINDEX, &request), ENODEV));
    CHECK(if_nametoindex("lo") == 1 && close(fd) == 0);
}

/* The interfaces, of which Linux has more, and their addresses. */
static void addresses(void)
{
    struct ifaddrs *first, *entry;
    int found = 0, others = 0;
    CHECK(getifaddrs(&first) == 0);
    for (entry = first; entry; entry = entry->ifa_next) {
        if (strcmp(entry->ifa_name, "lo") != 0) {
            others++;
            continue;
        }
        CHECK(entry->ifa_flags & IFF_LOOPBACK);
        const struct sockaddr_in *in = (const struct sockaddr_in *)entry->ifa_addr;
        found += in && in->sin_family == AF_INET && in->sin_addr.s_addr == htonl(0x7f000001);
    }
    CHECK(found == 1 && (others == 0 || getenv("ON_LINUX")));
    freeifaddrs(first);
}

/* The hosts of others, by every way: the VM has no network. */
static void outside(void)
{
    static const char *const hosts[] = { "192.0.2.1",       "10.0.0.1",  "8.8.8.8",
                                         "169.254.169.254", "224.0.0.1", "255.255.255.255" };
    if (getenv("ON_LINUX"))
        return;
    for (unsigned i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        const int stream = opened(AF_INET, SOCK_STREAM), datagram = opened(AF_INET, SOCK_DGRAM);
        CHECK(set_option(datagram, SOL_SOCKET, SO_BROADCAST, 1) == 0);
        CHECK(fails_with(connect_to(stream, at(hosts[i], 80)), ENETUNREACH) &&
              fails_with(connect_to(datagram, at(hosts[i], 53)), ENETUNREACH) &&
              fails_with(send_to(datagram, "x", 1, at(hosts[i], 53)), ENETUNREACH) &&
              fails_with(bind_to(stream, at(hosts[i], 0)), EADDRNOTAVAIL));
        close(stream);
        close(datagram);
    }
    const int six = opened(AF_INET6, SOCK_STREAM);
    CHECK(fails_with(connect_to(six, at6("2001:db8::1", 80)), ENETUNREACH) &&
          fails_with(connect_to(six, at6("::ffff:8.8.8.8", 80)), ENETUNREACH) && close(six) == 0);
    CHECK(fails_with(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM) &&
          fails_with(socket(AF_PACKET, SOCK_RAW, 0), EAFNOSUPPORT));
}

static int alarms;
static void count_alarm(int number)
{
    alarms += number == SIGUSR1;
}

struct interruption {
    pthread_t thread;
    int fd;
};

static void *interrupt(void *argument)
{
    const struct interruption *interruption = argument;
    usleep(50000);
    CHECK(pthread_kill(interruption->thread, SIGUSR1) == 0);
    usleep(50000);
    CHECK(write(interruption->fd, "x", 1) == 1);
    return NULL;
}

/* A signal ends a wait, or the call goes on waiting, unless it has a timeout. */
static void interrupted_waits(bool restarts, bool timeout)
{
    const struct timeval late = { timeout ? LONG / 1000 : 0, 0 };
    int ends[2];
    char byte;
    pthread_t thread;
    const struct sigaction action = { .sa_handler = count_alarm,
                                      .sa_flags = restarts ? SA_RESTART : 0 };
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    connected(ends);
    CHECK(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &late, sizeof late) == 0);
    struct interruption interruption = { pthread_self(), ends[1] };
    alarms = 0;
    CHECK(pthread_create(&thread, NULL, interrupt, &interruption) == 0);
    if (!restarts || timeout)
        CHECK(fails_with(read(ends[0], &byte, 1), EINTR) && alarms == 1);
    CHECK(read(ends[0], &byte, 1) == 1 && alarms == 1);
    pthread_join(thread, NULL);
    close_both(ends);
}

static void *shut_later(void *argument)
{
    usleep(50000);
    CHECK(shutdown(*(const int *)argument, SHUT_RDWR) == 0);
    return NULL;
}

/* A shutdown wakes who waits. */
static void shut_while_waiting(void)
{
    pthread_t thread;
    char byte;
    int ends[2], listener = listening();
    connected(ends);
    CHECK(pthread_create(&thread, NULL, shut_later, &ends[0]) == 0 &&
          read(ends[0], &byte, 1) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, shut_later, &listener) == 0 &&
          fails_with(accept(listener, NULL, NULL), EINVAL) && pthread_join(thread, NULL) == 0);
    close_both(ends);
    close(listener);
}

int main(void)
{
    datagrams();
    large_datagrams();
    connected_datagrams();
    many_messages();
    shared_ports();
    options();
    timeouts();
    interface();
    addresses();
    outside();
    interrupted_waits(false, false);
    interrupted_waits(true, false);
    interrupted_waits(true, true);
    shut_while_waiting();
    return DONE();
}
