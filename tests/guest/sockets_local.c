/* Local sockets: names, kinds, and the files that messages pass. */
#define _GNU_SOURCE
#include <stddef.h>
#include <signal.h>
#include <sys/stat.h>

#include "sockets.h"

#define NAME_START offsetof(struct sockaddr_un, sun_path)

static char directory[64] = "/tmp/sockets-XXXXXX";

static socklen_t local_name(union any_address *name, const char *text)
{
    *name = (union any_address){ .local = { .sun_family = AF_UNIX } };
    if (text[0] == '@') {
        strcpy(name->local.sun_path + 1, text + 1);
        return (socklen_t)(NAME_START + strlen(text));
    }
    snprintf(name->local.sun_path, sizeof name->local.sun_path, "%s/%s", directory, text);
    return (socklen_t)(NAME_START + strlen(name->local.sun_path) + 1);
}

static int bind_local(int fd, const char *text)
{
    union any_address name;
    const socklen_t length = local_name(&name, text);
    return bind(fd, &name.generic, length);
}

static int connect_local(int fd, const char *text)
{
    union any_address name;
    const socklen_t length = local_name(&name, text);
    return connect(fd, &name.generic, length);
}

/* An abstract name of this process alone. */
static const char *own_name(char text[32], const char *end)
{
    snprintf(text, 32, "@%d-%s", getpid(), end);
    return text;
}

static void both_ways(const int ends[2])
{
    char buffer[8] = "";
    CHECK(write(ends[0], "there", 5) == 5 && read(ends[1], buffer, 8) == 5 &&
          strcmp(buffer, "there") == 0);
    CHECK(write(ends[1], "back", 4) == 4 && read(ends[0], buffer, 8) == 4);
}

static void named_once(int listener, int other, const char *text)
{
    const bool abstract = text[0] == '@';
    CHECK(fails_with(listen(listener, 1), EINVAL)); /* it has no name */
    CHECK(fails_with(connect_local(other, text), abstract ? ECONNREFUSED : ENOENT));
    CHECK(bind_local(listener, text) == 0 && fails_with(bind_local(other, text), EADDRINUSE));
    CHECK(fails_with(bind_local(listener, text), abstract ? EINVAL : EADDRINUSE));
}

static void listeners(int type, const char *text)
{
    union any_address name, expected;
    socklen_t length = sizeof name;
    const socklen_t expected_length = local_name(&expected, text);
    const int listener = opened(AF_UNIX, type), client = opened(AF_UNIX, type),
              other = opened(AF_UNIX, type);
    named_once(listener, other, text);
    CHECK(fails_with(connect_local(client, text), ECONNREFUSED)); /* it does not listen */
    CHECK(listen(listener, 1) == 0 && connect_local(client, text) == 0);
    const int server = accept(listener, &name.generic, &length);
    CHECK(server >= 0 && length == sizeof name.local.sun_family);
    length = sizeof name;
    CHECK(getpeername(client, &name.generic, &length) == 0 && length == expected_length &&
          memcmp(&name, &expected, length) == 0);
    CHECK(close(listener) == 0 && fails_with(connect_local(other, text), ECONNREFUSED));
    const int ends[2] = { client, server };
    both_ways(ends);
    close_both(ends);
    close(other);
}

static void paths(void)
{
    char path[128];
    struct stat status;
    const int fd = opened(AF_UNIX, SOCK_STREAM), datagram = opened(AF_UNIX, SOCK_DGRAM);
    snprintf(path, sizeof path, "%s/%s", directory, "file");
    CHECK(bind_local(fd, "file") == 0 && stat(path, &status) == 0 && S_ISSOCK(status.st_mode));
    CHECK(fails_with(open(path, O_RDONLY), ENXIO));
    CHECK(listen(fd, 1) == 0 && fails_with(connect_local(datagram, "file"), EPROTOTYPE));
    CHECK(close(fd) == 0 && fails_with(connect_local(datagram, "file"), ECONNREFUSED));
    CHECK(fails_with(bind_local(datagram, "file"), EADDRINUSE)); /* the file stays */
    CHECK(unlink(path) == 0 && bind_local(datagram, "file") == 0 && unlink(path) == 0);
    CHECK(fails_with(connect_local(opened(AF_UNIX, SOCK_STREAM), "none/name"), ENOENT));
    const int plain = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(plain >= 0 &&
          fails_with(connect_local(opened(AF_UNIX, SOCK_STREAM), "file"), ECONNREFUSED));
    CHECK(close(plain) == 0 && unlink(path) == 0 && close(datagram) == 0);
}

static void given_names(void)
{
    union any_address name = { .local = { .sun_family = AF_UNIX } };
    socklen_t length = sizeof name;
    const int fd = opened(AF_UNIX, SOCK_DGRAM);
    CHECK(bind(fd, &name.generic, sizeof name.local.sun_family) == 0 &&
          getsockname(fd, &name.generic, &length) == 0 && length == NAME_START + 6 &&
          name.local.sun_path[0] == 0);
    CHECK(close(fd) == 0);
}

static void packets(int type)
{
    int ends[2];
    char buffer[8];
    CHECK(socketpair(AF_UNIX, type, 0, ends) == 0);
    CHECK(write(ends[0], "one", 3) == 3 && write(ends[0], "three", 5) == 5 &&
          read(ends[1], buffer, 8) == 3 && recv(ends[1], buffer, 2, MSG_TRUNC) == 5 &&
          fails_with(recv(ends[1], buffer, 8, MSG_DONTWAIT), EAGAIN));
    wait_no_longer(ends[0]);
    long sent = 0;
    while (write(ends[0], buffer, 8) == 8)
        sent++;
    CHECK(errno == EAGAIN && sent > 10 && (await(ends[1], POLLIN) & POLLIN));
    for (long i = 0; i < sent; i++)
        CHECK(read(ends[1], buffer, 8) == 8);
    CHECK(await(ends[0], POLLOUT) == POLLOUT);
    static char large[1 << 20];
    CHECK(fails_with(send(ends[0], large, sizeof large, 0), EMSGSIZE));
    CHECK(close(ends[0]) == 0);
    if (type == SOCK_SEQPACKET)
        CHECK(read(ends[1], buffer, 8) == 0 &&
              fails_with(send(ends[1], "x", 1, MSG_NOSIGNAL), EPIPE));
    else
        CHECK(fails_with(send(ends[1], "x", 1, 0), ECONNREFUSED) &&
              fails_with(send(ends[1], "x", 1, 0), ENOTCONN));
    CHECK(close(ends[1]) == 0);
}

static void datagrams(void)
{
    union any_address to, from;
    socklen_t length = sizeof from;
    char text[32], other_text[32], buffer[8];
    const int one = opened(AF_UNIX, SOCK_DGRAM), other = opened(AF_UNIX, SOCK_DGRAM),
              third = opened(AF_UNIX, SOCK_DGRAM);
    CHECK(bind_local(one, own_name(text, "one")) == 0 &&
          bind_local(other, own_name(other_text, "other")) == 0);
    const socklen_t to_length = local_name(&to, text);
    CHECK(sendto(other, "named", 5, 0, &to.generic, to_length) == 5 &&
          recvfrom(one, buffer, 8, 0, &from.generic, &length) == 5 &&
          strcmp(from.local.sun_path + 1, other_text + 1) == 0);
    CHECK(sendto(third, "x", 1, 0, &to.generic, to_length) == 1 &&
          recvfrom(one, buffer, 8, 0, &from.generic, &length) == 1 && length == 0);
    CHECK(connect_local(one, other_text) == 0 &&
          fails_with(sendto(third, "x", 1, 0, &to.generic, to_length), EPERM));
    CHECK(send(one, "y", 1, 0) == 1 && read(other, buffer, 8) == 1);
    CHECK(close(one) == 0 &&
          fails_with(sendto(third, "x", 1, 0, &to.generic, to_length), ECONNREFUSED));
    close(other);
    close(third);
}

/* ---- Control messages ---- */

struct passing {
    struct msghdr message;
    struct iovec vector;
    char byte, control[256];
};

static void prepare(struct passing *passing, size_t capacity)
{
    memset(passing, 0, sizeof *passing);
    passing->vector = (struct iovec){ &passing->byte, 1 };
    passing->message = (struct msghdr){ .msg_iov = &passing->vector,
                                        .msg_iovlen = 1,
                                        .msg_control = passing->control,
                                        .msg_controllen = capacity };
}

static ssize_t pass(int socket, const int *files, size_t count)
{
    struct passing passing;
    prepare(&passing, CMSG_SPACE(count * sizeof(int)));
    struct cmsghdr *header = CMSG_FIRSTHDR(&passing.message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), files, count * sizeof(int));
    return sendmsg(socket, &passing.message, 0);
}

static void passed_files(int type)
{
    int ends[2], pipes[2], got[2];
    char byte;
    struct passing passing;
    CHECK(socketpair(AF_UNIX, type, 0, ends) == 0 && pipe(pipes) == 0);
    CHECK(pass(ends[0], pipes, 2) == 1 && close(pipes[0]) == 0 && write(pipes[1], "q", 1) == 1);
    prepare(&passing, sizeof passing.control);
    CHECK(recvmsg(ends[1], &passing.message, MSG_CMSG_CLOEXEC) == 1);
    struct cmsghdr *header = CMSG_FIRSTHDR(&passing.message);
    CHECK(header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof got));
    memcpy(got, CMSG_DATA(header), sizeof got);
    CHECK(fcntl(got[0], F_GETFD) == FD_CLOEXEC && read(got[0], &byte, 1) == 1 && byte == 'q');
    close_both(got);
    CHECK(pass(ends[0], pipes + 1, 1) == 1 && pass(ends[0], &ends[1], 1) == 1);
    prepare(&passing, 0); /* no room: the file is closed again */
    CHECK(recvmsg(ends[1], &passing.message, 0) == 1 && (passing.message.msg_flags & MSG_CTRUNC));
    const int bad[] = { 0, 9999 };
    CHECK(fails_with(pass(ends[0], bad, 2), EBADF));
    CHECK(close(ends[0]) == 0 && read(ends[1], &byte, 1) == 1 && close(ends[1]) == 0);
    close(pipes[1]);
}

static void credentials(void)
{
    int ends[2];
    struct passing passing;
    struct ucred peer;
    socklen_t length = sizeof peer;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
          peer.pid == getpid() && peer.uid == getuid() && peer.gid == getgid());
    CHECK(set_option(ends[1], SOL_SOCKET, SO_PASSCRED, 1) == 0 && write(ends[0], "x", 1) == 1);
    prepare(&passing, sizeof passing.control);
    CHECK(recvmsg(ends[1], &passing.message, 0) == 1);
    const struct cmsghdr *header = CMSG_FIRSTHDR(&passing.message);
    CHECK(header && header->cmsg_type == SCM_CREDENTIALS);
    memcpy(&peer, CMSG_DATA(header), sizeof peer);
    CHECK(peer.pid == getpid() && peer.uid == getuid());
    close_both(ends);
}

/* No call reads beyond bytes that came with files. */
static void borders(void)
{
    int ends[2];
    char buffer[16];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK(write(ends[0], "abc", 3) == 3 && pass(ends[0], &ends[0], 1) == 1 &&
          write(ends[0], "def", 3) == 3);
    CHECK(read(ends[1], buffer, 16) == 4 && read(ends[1], buffer, 16) == 3);
    close_both(ends);
}

static void ends_of_streams(void)
{
    int ends[2];
    char buffer[8];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK(shutdown(ends[0], SHUT_RD) == 0 &&
          fails_with(send(ends[1], "x", 1, MSG_NOSIGNAL), EPIPE));
    CHECK(write(ends[0], "last", 4) == 4 && close(ends[1]) == 0); /* unread */
    CHECK(await(ends[0], POLLHUP | POLLERR) & POLLRDHUP);
    CHECK(fails_with(read(ends[0], buffer, 8), ECONNRESET) && read(ends[0], buffer, 8) == 0 &&
          close(ends[0]) == 0);
    CHECK(fails_with(send(opened(AF_UNIX, SOCK_STREAM), "x", 1, 0), ENOTCONN) &&
          fails_with(recv(opened(AF_UNIX, SOCK_STREAM), buffer, 1, 0), EINVAL));
    CHECK(fails_with(socketpair(AF_INET, SOCK_STREAM, 0, ends), EOPNOTSUPP));
}

static void full_listener(void)
{
    char text[32];
    const int listener = opened(AF_UNIX, SOCK_STREAM);
    int clients[3];
    CHECK(bind_local(listener, own_name(text, "full")) == 0 && listen(listener, 1) == 0);
    for (int i = 0; i < 3; i++) {
        clients[i] = opened(AF_UNIX, SOCK_STREAM);
        wait_no_longer(clients[i]);
        CHECK(i < 2 ? connect_local(clients[i], text) == 0
                    : fails_with(connect_local(clients[i], text), EAGAIN));
    }
    CHECK(close(listener) == 0 && await(clients[0], POLLERR) && error_of(clients[0]) == ECONNRESET);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
}

int main(void)
{
    char text[96];
    signal(SIGPIPE, SIG_IGN);
    CHECK(mkdtemp(directory));
    listeners(SOCK_STREAM, "stream");
    listeners(SOCK_SEQPACKET, own_name(text, "sequence"));
    paths();
    given_names();
    packets(SOCK_SEQPACKET);
    packets(SOCK_DGRAM);
    datagrams();
    passed_files(SOCK_STREAM);
    passed_files(SOCK_DGRAM);
    credentials();
    borders();
    ends_of_streams();
    full_listener();
    snprintf(text, sizeof text, "%s/stream", directory);
    CHECK(unlink(text) == 0 && rmdir(directory) == 0);
    return DONE();
}
