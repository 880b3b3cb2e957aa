/* Makes a handler of SIGINT slow: a write of 1 to an eventfd, by the main thread, waits. The
 * process ends with an error if its descriptor is closed meanwhile, as its number may be any file's
 * then. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef ssize_t write_function(int file, const void *bytes, size_t count);

enum { LOOKS = 300, LOOK_US = 10000 };

static int is_event(int file)
{
    char name[64], link[64] = { 0 };
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    return readlink(name, link, sizeof link - 1) > 0 && strstr(link, "[eventfd]") != NULL;
}

ssize_t write(int file, const void *bytes, size_t count)
{
    const uint64_t one = 1;
    if (count == sizeof one && memcmp(bytes, &one, sizeof one) == 0 &&
        syscall(SYS_gettid) == getpid() && is_event(file)) {
        for (int look = 0; look < LOOKS; look++) {
            usleep(LOOK_US);
            if (!is_event(file)) {
                dprintf(STDERR_FILENO, "the eventfd was closed before the handler wrote\n");
                _exit(3);
            }
        }
    }
    return ((write_function *)dlsym(RTLD_NEXT, "write"))(file, bytes, count);
}
