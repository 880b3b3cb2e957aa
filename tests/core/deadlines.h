/* What tests of deadlines share: an image of the raw guest, calls of it with much time and with
 * little, and a check that deadlines are kept. */
#ifndef DEADLINES_H
#define DEADLINES_H

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "udfvm_abi.h"

#include "api.h"
#include "check.h"
#include "base/clock.h"
#include "call/watchdog.h"
#include "raw_guest.h"

#define MEMORY      (16ull << 20)
#define WINDOW      (2ull << 20)
#define MILLISECOND 1000000ull

static udfvm_image *image;
static const struct udfvm_limits soon = { .timeout_ns = 5 * MILLISECOND },
                                 late = { .timeout_ns = 600000 * MILLISECOND };

static inline void build(const char *path)
{
    static char kernel[1 << 20];
    const struct udfvm_config config = { .memory = MEMORY,
                                         .input_window = WINDOW,
                                         .output_window = WINDOW };
    const struct udfvm_boot boot = { .memory_end = MEMORY };
    const int fd = open(path, O_RDONLY);
    const ssize_t length = read(fd, kernel, sizeof kernel);
    close(fd);
    udfvm_vm *vm = length > 0 ? udfvm_vm_boot(&config, kernel, (size_t)length, &boot, sizeof boot,
                                              NULL, NULL, NULL, NULL)
                              : NULL;
    FILE *file = tmpfile();
    if (!vm || udfvm_vm_seal(vm, fileno(file), "raw", 3, NULL) != UDFVM_OK ||
        !(image = udfvm_image_open(fileno(file), NULL, NULL)))
        exit(2);
    fclose(file);
    udfvm_vm_close(vm);
}

static inline int call(udfvm_vm *vm, uint64_t command, const struct udfvm_limits *limits,
                       uint64_t *answer)
{
    const uint64_t request[] = { command };
    uint64_t length;
    int status;
    return udfvm_vm_fresh_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, limits, answer, 8,
                               &length, &status, NULL);
}

/* An endless call ends, one with time enough is not disturbed by it, and the VM goes on. */
static inline void keeps_deadlines(const char *where)
{
    static const uint64_t endless[] = { RAW_LOOP, RAW_SYSCALL_LOOP };
    udfvm_vm *vm = udfvm_vm_open(image, NULL, NULL);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t answer = 0;
        int code = call(vm, endless[i % 2], &soon, &answer);
        check_number(code == UDFVM_E_TIMEOUT, where, code);
        code = call(vm, RAW_COUNT, &late, &answer);
        check_number(code == UDFVM_OK && answer == 1, where, code);
        code = call(vm, RAW_COUNT, NULL, &answer);
        check_number(code == UDFVM_OK && answer == 1, where, code);
    }
    udfvm_vm_close(vm);
}

static inline void set_all(int how)
{
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGALRM); /* which ends a test that hangs */
    pthread_sigmask(how, &all, NULL);
}

/* Without the one test where the thread sanitizer watches: it does not support threads that start
 * in children. A deadline that is not kept is a test that does not end: an alarm ends it. */
static inline int run_with_alarm(int count, char **arguments, const struct test *tests,
                                 size_t test_count, void (*without)(void))
{
    alarm(500);
    build(arguments[count > 1]);
    run_tests(tests, test_count, without);
    udfvm_image_close(image);
    return failures != 0;
}

#endif
