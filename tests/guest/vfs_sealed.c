/* A program that seals itself with files open and answers calls: each call must find them as they
 * were at the seal, and the host's files still readable. The reply is one uint64_t: the number of
 * failures. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../guest/include/udfvm_abi.h"
#include "check.h"

#define LIBRARY "/usr/lib/x86_64-linux-gnu/libc.so.6"

static uint64_t *const reply = (uint64_t *)UDFVM_OUTPUT_BASE;
static int host, small, memory, ends[2], listener, connected[2];
static char *start_of_library, *mapping, buffer[1 << 16];

static void seal(void)
{
    ((void (*)(void))UDFVM_VECTOR_SEAL)();
}

static void complete(uint64_t status, uint64_t length)
{
    ((void (*)(uint64_t, uint64_t))UDFVM_VECTOR_COMPLETE)(status, length);
}

/* A listener of any port, and a connection to it, with bytes on the way. */
static void connect_sockets(void)
{
    union {
        struct sockaddr generic;
        struct sockaddr_in internet;
    } name = { .internet = { .sin_family = AF_INET } };
    socklen_t length = sizeof name;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    connected[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(listener, &name.generic, sizeof name.internet) == 0 && listen(listener, 2) == 0 &&
          getsockname(listener, &name.generic, &length) == 0);
    CHECK(connect(connected[0], &name.generic, length) == 0);
    connected[1] = accept(listener, NULL, NULL);
    CHECK(connected[1] >= 0 && write(connected[0], "on the way", 10) == 10);
}

static void prepare(const char *program)
{
    start_of_library = malloc(1 << 20);
    host = open(LIBRARY, O_RDONLY);
    small = open(program, O_RDONLY);
    memory = open("/tmp/kept", O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(host >= 0 && small >= 0 && memory >= 0 && pipe(ends) == 0);
    CHECK(pread(host, start_of_library, 1 << 20, 0) == 1 << 20);
    CHECK(read(host, buffer, 100) == 100 && read(small, buffer, 4) == 4 &&
          memcmp(buffer, "\177ELF", 4) == 0);
    int mapped = open("/dev/shm/mapped", O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(mapped >= 0 && write(mapped, "mapped", 6) == 6);
    mapping = mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
    CHECK(mapping != MAP_FAILED && close(mapped) == 0);
    CHECK(write(memory, "sealed", 6) == 6 && write(ends[1], "in the pipe", 11) == 11);
    connect_sockets();
}

static void open_files_of_the_host(void)
{
    CHECK(lseek(host, 0, SEEK_CUR) == 100 && read(host, buffer, 5000) == 5000 &&
          memcmp(buffer, start_of_library + 100, 5000) == 0);
    CHECK(pread(host, buffer, 1 << 16, 1 << 19) == 1 << 16 &&
          memcmp(buffer, start_of_library + (1 << 19), 1 << 16) == 0);
    CHECK(pread(small, buffer, 4, 0) == 4 && memcmp(buffer, "\177ELF", 4) == 0);
}

/* Returns its descriptor, which stays open. */
static int file_opened_by_the_call(void)
{
    int fd = open(LIBRARY, O_RDONLY);
    CHECK(fd >= 0 && read(fd, buffer, 4000) == 4000 && memcmp(buffer, start_of_library, 4000) == 0);
    return fd;
}

static void file_in_memory(void)
{
    struct stat status;
    CHECK(fstat(memory, &status) == 0 && status.st_size == 6 && write(memory, "more", 4) == 4 &&
          ftruncate(memory, 8) == 0);
}

/* An earlier call's file is gone, and so is its descriptor: the new one is the next. */
static void file_of_a_call(int next)
{
    struct stat status;
    CHECK(stat("/tmp/of-a-call", &status) == -1 && errno == ENOENT);
    int fd = open("/tmp/of-a-call", O_WRONLY | O_CREAT, 0600);
    CHECK(fd == next && write(fd, buffer, sizeof buffer) == sizeof buffer);
}

static void bytes_in_the_pipe(void)
{
    CHECK(read(ends[0], buffer, 100) == 11 && memcmp(buffer, "in the pipe", 11) == 0 &&
          write(ends[1], "other", 5) == 5);
}

static void sockets(void)
{
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    CHECK(read(connected[1], buffer, 100) == 10 && memcmp(buffer, "on the way", 10) == 0 &&
          write(connected[1], "back", 4) == 4 && read(connected[0], buffer, 100) == 4);
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(getsockname(listener, (struct sockaddr *)&name, &length) == 0 &&
          connect(client, (struct sockaddr *)&name, length) == 0);
    const int server = accept(listener, NULL, NULL); /* and no connection of an earlier call */
    CHECK(server >= 0 && write(client, "new", 3) == 3 && read(server, buffer, 100) == 3);
}

static void directories(void)
{
    CHECK(mkdir("/tmp/directory", 0755) == 0 && chdir("/tmp/directory") == 0);
    DIR *directory = opendir("..");
    CHECK(directory);
    int names = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        names += strcmp(entry->d_name, "kept") == 0 || strcmp(entry->d_name, "directory") == 0 ||
                 strcmp(entry->d_name, "of-a-call") == 0;
    CHECK(names == 3 && unlink("/tmp/kept") == 0);
}

static void mapped_file(void)
{
    int fd = open("/dev/shm/mapped", O_RDWR);
    CHECK(fd >= 0 && memcmp(mapping, "mapped", 7) == 0);
    mapping[0] = 'M';
    CHECK(pread(fd, buffer, 7, 0) == 6 && memcmp(buffer, "Mapped", 6) == 0);
    CHECK(pwrite(fd, "call", 4, 0) == 4 && memcmp(mapping, "called", 7) == 0);
    CHECK(close(fd) == 0 && unlink("/dev/shm/mapped") == 0);
}

/* A large one, which lies in scratch. */
static void mapping_of_a_call(void)
{
    const size_t length = 8 << 20;
    int fd = open("/tmp", O_RDWR | O_TMPFILE, 0600);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)length) == 0);
    char *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED && map[0] == 0 && map[length - 1] == 0);
    map[length - 1] = 'z';
    CHECK(pread(fd, buffer, 2, (off_t)length - 1) == 1 && buffer[0] == 'z');
    CHECK(munmap(map, length / 2) == 0 && pwrite(fd, "y", 1, (off_t)length - 2) == 1 &&
          map[length - 2] == 'y');
}

static void answer(void)
{
    open_files_of_the_host();
    int fd = file_opened_by_the_call();
    file_in_memory();
    mapped_file();
    file_of_a_call(fd + 1);
    mapping_of_a_call();
    bytes_in_the_pipe();
    sockets();
    directories();
    printf("answered\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    CHECK(argc > 0);
    prepare(argv[0]);
    for (seal();; failures = 0) {
        answer();
        reply[0] = (uint64_t)failures;
        complete(UDFVM_STATUS_OK, 8);
    }
}
