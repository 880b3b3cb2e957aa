/* Attacks on the core and its bookkeeping, with the raw guest. Usage: test_core raw_guest.bin
 * [--quick]. Prints what failed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../guest/include/udfvm_abi.h"
#include "api.h"
#include "check.h"
#include "raw_guest.h"

#define MEMORY   (32ull << 20)
#define WINDOW   (4ull << 20)
#define SCRATCH  (6ull << 20)
#define WIDE_END (UDFVM_OUTPUT_BASE + WINDOW + SCRATCH)

static udfvm_image *image;
static int quick;

struct outcome {
    int code;
    uint64_t length;
    uint64_t words[512];
    struct udfvm_error error;
};

static struct outcome fresh(udfvm_vm *vm, const struct udfvm_limits *limits,
                            const uint64_t *request, size_t words)
{
    static const struct udfvm_limits usual = { .timeout_ns = 20000000000 };
    struct outcome got = { .code = 0 };
    int status;
    got.code = udfvm_vm_fresh_call(vm, UDFVM_REQUEST_ROW, request, words * 8,
                                   limits ? limits : &usual, got.words, sizeof got.words,
                                   &got.length, &status, &got.error);
    return got;
}
#define CALL(vm, limits, ...)                            \
    fresh(vm, limits, (const uint64_t[]){ __VA_ARGS__ }, \
          sizeof((const uint64_t[]){ __VA_ARGS__ }) / 8)

static udfvm_vm *open_vm(udfvm_image *of)
{
    struct udfvm_error error;
    udfvm_vm *vm = udfvm_vm_open(of, NULL, &error);
    if (!vm) {
        printf("cannot open a VM: %s\n", error.message);
        exit(1);
    }
    return vm;
}

static udfvm_image *sealed(udfvm_vm *vm, udfvm_image *base, const char *metadata)
{
    struct udfvm_error error;
    FILE *file = tmpfile();
    udfvm_image *made = NULL;
    if (udfvm_vm_seal(vm, fileno(file), metadata, strlen(metadata), &error) == UDFVM_OK)
        made = udfvm_image_open(fileno(file), base, &error);
    fclose(file);
    if (!made) {
        printf("cannot seal: %s\n", error.message);
        exit(1);
    }
    return made;
}

static udfvm_image *build(const char *path)
{
    static char kernel[1 << 20];
    struct udfvm_config config = {
        .memory = MEMORY, .input_window = WINDOW, .output_window = WINDOW, .scratch = SCRATCH
    };
    struct udfvm_boot boot = { .memory_end = MEMORY };
    struct udfvm_error error;
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, kernel, sizeof kernel);
    close(fd);
    udfvm_vm *vm = length > 0 ? udfvm_vm_boot(&config, kernel, (size_t)length, &boot, sizeof boot,
                                              NULL, NULL, NULL, &error)
                              : NULL;
    if (!vm) {
        printf("cannot boot the raw guest: %s\n", length > 0 ? error.message : path);
        exit(1);
    }
    udfvm_image *made = sealed(vm, NULL, "raw");
    udfvm_vm_close(vm);
    return made;
}

static void test_state_is_restored(void)
{
    udfvm_vm *vm = open_vm(image);
    struct outcome before = CALL(vm, NULL, RAW_STATE);
    check(before.code == 0 && before.words[0] == 0x1234000 && before.words[1] == 0x5678000 &&
              before.words[2] == 0x1515,
          "state at the first call is not the sealed one: %s", before.error.message);
    for (int i = 0; i < 3; i++) {
        check(CALL(vm, NULL, RAW_DIRTY).code == 0, "dirtying failed");
        struct outcome after = CALL(vm, NULL, RAW_STATE);
        check(after.code == 0 && after.length == before.length, "state call failed: %s",
              after.error.message);
        for (size_t word = 0; word < before.length / 8; word++)
            check(after.words[word] == before.words[word],
                  "word %zu of the state leaked: %#llx, was %#llx", word,
                  (unsigned long long)after.words[word], (unsigned long long)before.words[word]);
    }
    udfvm_vm_close(vm);
}

static void test_system_area_is_out_of_reach(void)
{
    const uint64_t guard_end = MEMORY - udfvm_stack_bytes(MEMORY),
                   guard_start = guard_end - UDFVM_STACK_GUARD;
    const uint64_t unreadable[] = { 0,
                                    0x1000,
                                    0x2000,
                                    0x3000,
                                    0x4000,
                                    0x6000,
                                    0x7000,
                                    0x8000,
                                    0xa000,
                                    0xc000,
                                    0xe000,
                                    0x18000,
                                    0x18ff8,
                                    0x1a000,
                                    0x20000,
                                    guard_start,
                                    guard_end - 8,
                                    MEMORY,
                                    UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT,
                                    UDFVM_OUTPUT_BASE + WINDOW,
                                    WIDE_END,
                                    UDFVM_INPUT_BASE + WINDOW,
                                    0x8000000000,
                                    UINT64_MAX - 7 };
    static const uint64_t unwritable[] = {
        0x10000, 0x11000, 0x12000, 0x14ff8, UDFVM_INPUT_BASE, UDFVM_INPUT_BASE + WINDOW - 8
    };
    udfvm_vm *vm = open_vm(image);
    check(CALL(vm, NULL, RAW_WRITE, guard_start - 8, 1).words[0] != RAW_FAULTED &&
              CALL(vm, NULL, RAW_WRITE, guard_end, 1).words[0] != RAW_FAULTED,
          "the guard of the stack is too large");
    for (size_t i = 0; i < sizeof unreadable / 8; i++) {
        struct outcome got = CALL(vm, NULL, RAW_READ, unreadable[i]);
        check(got.code == 0 && got.words[0] == RAW_FAULTED, "read of %#llx: code %d",
              (unsigned long long)unreadable[i], got.code);
        got = CALL(vm, NULL, RAW_WRITE, unreadable[i], 1);
        check(got.code == 0 && got.words[0] == RAW_FAULTED, "write of %#llx: code %d",
              (unsigned long long)unreadable[i], got.code);
    }
    for (size_t i = 0; i < sizeof unwritable / 8; i++) {
        struct outcome got = CALL(vm, NULL, RAW_WRITE, unwritable[i], 1);
        check(got.code == 0 && got.words[0] == RAW_FAULTED && got.words[1] == 14, "write of %#llx",
              (unsigned long long)unwritable[i]);
    }
    udfvm_vm_close(vm);
}

static void test_privileged_instructions_fault(void)
{
    udfvm_vm *vm = open_vm(image);
    for (uint64_t which = 0; which < RAW_PRIVILEGED_INSTRUCTIONS; which++) {
        struct outcome got = CALL(vm, NULL, RAW_PRIVILEGED, which);
        check(got.code == UDFVM_E_PROTOCOL || (got.code == 0 && got.words[0] == RAW_FAULTED),
              "privileged instruction %d: code %d, %#llx", (int)which, got.code,
              (unsigned long long)got.words[0]);
        got = CALL(vm, NULL, RAW_STATE);
        check(got.code == 0 && got.words[2] == 0x1515,
              "VM unusable after privileged instruction %d", (int)which);
    }
    struct outcome got = CALL(vm, NULL, RAW_SYSCALL, 39);
    check(got.code == 0 && got.words[0] == 1039 && got.words[1] == 3,
          "system call: result %llu, CPL %llu", (unsigned long long)got.words[0],
          (unsigned long long)got.words[1]);
    udfvm_vm_close(vm);
}

/* A local descriptor table would let ring 3 choose descriptors: there is none. Of the global one it
 * sees its own two segments, and ring 0's data. */
static void test_no_descriptors_of_a_guests_choice(void)
{
    static const uint64_t selectors[] = { 4,      7,      0x23 | 4, 0x2b | 4, 0x6007, 0x6027,
                                          0x602f, 0x8007, 0xcfc7,   0xfff7,   0xffff };
    udfvm_vm *vm = open_vm(image);
    for (int round = 0; round < 2; round++) {
        struct outcome got = CALL(vm, NULL, RAW_DESCRIPTORS, 4);
        check(got.code == 0 && got.words[0] == 0, "%llu selectors of a local descriptor table",
              (unsigned long long)got.words[0]);
        for (uint64_t use = 0; use < RAW_USES; use++)
            for (size_t i = 0; i < sizeof selectors / 8; i++) {
                got = CALL(vm, NULL, RAW_SELECTOR, use, selectors[i]);
                check(got.code == 0 && got.words[0] == RAW_FAULTED &&
                          (got.words[1] == 13 || got.words[1] == 11),
                      "use %d of selector %#llx: %#llx", (int)use, (unsigned long long)selectors[i],
                      (unsigned long long)got.words[0]);
            }
    }
    udfvm_vm_close(vm);
}

static void test_ports_and_hypercalls(void)
{
    static const uint64_t ports[] = { 0, 0x20, 0x54, 0x56, 0x60, 0x80, 0xcf8, 0xffff };
    static const uint64_t wild[] = { 0, 7, 22, 99, UINT64_MAX, 1ull << 32 };
    udfvm_vm *vm = open_vm(image);
    for (size_t i = 0; i < sizeof ports / 8; i++) {
        struct outcome got = CALL(vm, NULL, RAW_PORT, ports[i]);
        check(got.code == UDFVM_E_PROTOCOL || got.words[0] == RAW_FAULTED, "port %#llx: code %d",
              (unsigned long long)ports[i], got.code);
    }
    for (size_t i = 0; i < sizeof wild / 8; i++)
        check(CALL(vm, NULL, RAW_HYPERCALL, wild[i], 1, 2, 3, 4, 5).code == UDFVM_E_PROTOCOL,
              "hypercall %#llx", (unsigned long long)wild[i]);
    for (uint64_t file = UDFVM_HYPERCALL_FILE_OPEN; file <= UDFVM_HYPERCALL_FILE_READLINK; file++) {
        struct outcome got = CALL(vm, NULL, RAW_HYPERCALL, file, UDFVM_PROGRAM_BASE, 10,
                                  UDFVM_PROGRAM_BASE, 100, 0);
        check(got.code == 0 && (int64_t)got.words[0] == -EACCES,
              "file hypercall %d without files: %lld", (int)file, (long long)got.words[0]);
    }
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 2, 0).code == UDFVM_E_PROTOCOL,
          "status 2");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 0, WINDOW + 1).code ==
              UDFVM_E_OUTPUT,
          "reply beyond the window");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 0, UINT64_MAX).code ==
              UDFVM_E_OUTPUT,
          "reply of 2^64 bytes");
    struct udfvm_limits small = { .max_output = 64, .timeout_ns = 5000000000 };
    check(CALL(vm, &small, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 0, 65).code == UDFVM_E_OUTPUT,
          "max_output");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_SEAL, UINT64_MAX).code == UDFVM_E_PROTOCOL,
          "seal at a wild address");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_SEAL, MEMORY - 8).code == UDFVM_E_PROTOCOL,
          "seal across the end of memory");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_EXIT, UDFVM_EXIT_SIGNAL, 11, UINT64_MAX)
                  .code == UDFVM_E_CRASH,
          "crash report at a wild address");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_EXIT, UDFVM_EXIT_STATUS, 3, 0).code ==
              UDFVM_E_EXIT,
          "exit");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_EXIT, 77, 3, MEMORY - 8).code ==
              UDFVM_E_PROTOCOL,
          "exit for no reason");
    check(CALL(vm, NULL, RAW_STATE).words[2] == 0x1515, "VM unusable after hostile hypercalls");
    udfvm_vm_close(vm);
}

static int64_t open_anything(void *context, const char *path, struct udfvm_stat *stat)
{
    (void)context, (void)path;
    *stat = (struct udfvm_stat){ .size = 8 };
    return 7;
}
static int64_t read_mark(void *context, int64_t handle, uint64_t offset, void *buffer,
                         uint64_t length)
{
    (void)context, (void)offset;
    memset(buffer, 0xee, length);
    return handle == 7 ? (int64_t)length : -EBADF;
}
static int closed;
static int64_t count_closes(void *context, int64_t handle)
{
    (void)context;
    closed += handle == 7;
    return 0;
}

/* KVM's log does not see what the host writes into the guest, and the restore must undo it all the
 * same. */
static void test_files(void)
{
    const struct udfvm_files files = { .open = open_anything,
                                       .read = read_mark,
                                       .close = count_closes };
    const struct udfvm_limits limits = { .files = 1, .timeout_ns = 20000000000 };
    const uint64_t far = UDFVM_PROGRAM_BASE + (8 << 20);
    struct udfvm_error error;
    udfvm_vm *vm = udfvm_vm_open(image, &files, &error);
    struct udfvm_reply reply;
    for (int i = 0; i < 3; i++) {
        check(
            CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_READ, 0, 0, far, 4096).words[0] ==
                (uint64_t)-EBADF,
            "a handle of an earlier call");
        const uint64_t path = 0x2f2f2f2f;
        const uint64_t prepare[] = { RAW_WRITE, far + 65536, path }, open_it[] = {
            RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_OPEN, far + 65536, 4, far + 8192, 0, 0
        };
        const uint64_t read_it[] = { RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_READ, 0, 0, far, 4096, 0 };
        check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, prepare, sizeof prepare, &limits, &reply,
                            &error) == 0,
              "prepare: %s", error.message);
        check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, open_it, sizeof open_it, &limits, &reply,
                            &error) == 0 &&
                  *(const uint64_t *)reply.data == 0,
              "open: %s", error.message);
        check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, read_it, sizeof read_it, &limits, &reply,
                            &error) == 0 &&
                  *(const uint64_t *)reply.data == 4096,
              "read: %s", error.message);
        check(udfvm_vm_restore(vm, &error) == 0 && closed == i + 1,
              "handles are closed with the call");
        check(CALL(vm, &limits, RAW_FIND, far, far + 16384, 0xeeeeeeeeeeeeeeee).words[0] == 0,
              "what the host read into the guest stayed");
        check(CALL(vm, &limits, RAW_FIND, far + 8192, far + 8192 + 64, 8).words[0] == 0,
              "a status that the host wrote stayed");
    }
    udfvm_vm_close(vm);
}

static void test_log_is_bounded(void)
{
    udfvm_vm *vm = open_vm(image);
    struct udfvm_limits limits = { .max_log = 100, .timeout_ns = 5000000000, .strict_log = 1 };
    struct outcome got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1,
                              UDFVM_PROGRAM_BASE, 100);
    check(got.code == 0 && got.words[0] == 0, "log within the limit");
    check(CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, UDFVM_PROGRAM_BASE, 101).code ==
              UDFVM_E_LOG,
          "log beyond the limit");
    got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, MEMORY - 4, 8);
    check(got.code == 0 && (int64_t)got.words[0] == -EFAULT, "log from outside memory");
    got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, UDFVM_PROGRAM_BASE, UINT64_MAX);
    check(got.code == 0 && (int64_t)got.words[0] == -EFAULT, "log of 2^64 bytes");
    udfvm_vm_close(vm);
}

struct heard {
    unsigned calls, failures;
    int result;
    uint64_t length, given;
    int stream;
};

static int hear(void *context, const struct udfvm_log *log, int failed, char *failure)
{
    strcpy(failure, "deaf");
    struct heard *heard = context;
    heard->calls++;
    heard->failures += failed != 0;
    heard->length = log->length;
    heard->given = log->given;
    heard->stream = log->part_count ? log->parts[log->part_count - 1].stream : 0;
    check(log->part_count == 0 || log->parts[log->part_count - 1].end == log->length,
          "parts cover the log");
    return heard->result;
}

static void test_log_is_given_to_the_sink(void)
{
    udfvm_vm *vm = open_vm(image);
    struct heard heard = { .calls = 0 };
    const struct udfvm_log_sink sink = { &heard, hear };
    const struct udfvm_limits limits = { .max_log = 100,
                                         .timeout_ns = 5000000000,
                                         .log_sink = &sink };
    check(CALL(vm, &limits, RAW_STATE).code == 0 && heard.calls == 0, "silence is not heard");
    check(CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 2, UDFVM_PROGRAM_BASE, 60).code ==
              0,
          "log");
    check(heard.calls == 1 && heard.length == 60 && heard.given == 0 && heard.stream == 2 &&
              heard.failures == 0,
          "what was logged is heard");
    check(
        CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, UDFVM_PROGRAM_BASE, 60000).code ==
            0,
        "log that is cut");
    check(heard.calls == 2 && heard.length > 100 && heard.length < 200 && heard.stream == 1,
          "the log is cut, with a note");
    check(CALL(vm, &limits, RAW_HYPERCALL, 12345).code == UDFVM_E_PROTOCOL && heard.calls == 3 &&
              heard.failures == 1,
          "failures are heard");
    heard.result = -1;
    check(CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, UDFVM_PROGRAM_BASE, 1).code ==
              UDFVM_E_HOST_FUNCTION,
          "a sink that fails");
    heard.result = 0;
    check(CALL(vm, &limits, RAW_STATE).code == 0, "a call after that");
    udfvm_vm_close(vm);
}

static void test_deadline(void)
{
    udfvm_vm *vm = open_vm(image);
    struct udfvm_limits limits = { .timeout_ns = 50000000 };
    for (int i = 0; i < 3; i++) {
        check(CALL(vm, &limits, i % 2 ? RAW_SYSCALL_LOOP : RAW_LOOP).code == UDFVM_E_TIMEOUT,
              "an endless loop ended otherwise");
        check(CALL(vm, NULL, RAW_STATE).words[2] == 0x1515, "VM unusable after a timeout");
    }
    udfvm_vm_close(vm);
}

/* All of program memory, on both sides of the guard below the stack. */
static bool fill_memory(udfvm_vm *vm, uint64_t mark)
{
    const uint64_t stack = MEMORY - udfvm_stack_bytes(MEMORY), guard = stack - UDFVM_STACK_GUARD;
    return CALL(vm, NULL, RAW_FILL, UDFVM_PROGRAM_BASE, guard, mark).code == 0 &&
           CALL(vm, NULL, RAW_FILL, stack, MEMORY, mark).code == 0;
}

static bool memory_has(udfvm_vm *vm, uint64_t mark)
{
    const uint64_t stack = MEMORY - udfvm_stack_bytes(MEMORY), guard = stack - UDFVM_STACK_GUARD;
    return CALL(vm, NULL, RAW_FIND, UDFVM_PROGRAM_BASE, guard, mark).words[0] != 0 ||
           CALL(vm, NULL, RAW_FIND, stack, MEMORY, mark).words[0] != 0;
}

static void test_windows_leak_nothing(void)
{
    const uint64_t mark = 0x7365637265743a29;
    udfvm_vm *vm = open_vm(image);
    uint64_t *large = calloc(WINDOW - 4096, 1);
    large[0] = RAW_ECHO;
    for (size_t i = 2; i < (WINDOW - 4096) / 8; i++)
        large[i] = mark;
    check(fresh(vm, NULL, large, (WINDOW - 4096) / 8).code == 0, "a full input window");
    free(large);
    check(CALL(vm, NULL, RAW_FIND, UDFVM_INPUT_BASE + 4096 + 32, UDFVM_INPUT_BASE + WINDOW, mark)
                  .words[0] == 0,
          "input window leaks");
    check(CALL(vm, NULL, RAW_FILL, UDFVM_OUTPUT_BASE, UDFVM_OUTPUT_BASE + WINDOW, mark).code == 0,
          "filling the output window");
    check(CALL(vm, NULL, RAW_FIND, UDFVM_OUTPUT_BASE, UDFVM_OUTPUT_BASE + WINDOW, mark).words[0] ==
              0,
          "output window leaks");
    check(fill_memory(vm, mark), "filling memory");
    check(!memory_has(vm, mark), "memory leaks");
    for (int i = 0; i < 600; i++)
        check(CALL(vm, NULL, RAW_STATE).code == 0, "a call while the hot set cools");
    struct udfvm_vm_statistics statistics;
    udfvm_vm_statistics(vm, &statistics);
    check(statistics.hot_pages < 200, "the hot set did not cool: %llu pages",
          (unsigned long long)statistics.hot_pages);
    check(fill_memory(vm, mark), "filling memory after cooling");
    check(!memory_has(vm, mark), "memory leaks after cooling");
    udfvm_vm_close(vm);
}

static uint64_t marks_in_windows(udfvm_vm *vm, uint64_t mark)
{
    return CALL(vm, NULL, RAW_FIND, UDFVM_INPUT_BASE + 4096 + 32, UDFVM_INPUT_BASE + WINDOW, mark)
               .words[0] +
           CALL(vm, NULL, RAW_FIND, UDFVM_OUTPUT_BASE, UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT,
                mark)
               .words[0];
}

/* What the host wrote and did not send, or wrote to what it was lent. */
static void test_what_the_host_writes_leaves_with_the_call(void)
{
    const uint64_t mark = 0x686f73742d2d3e21, sizes[] = { 64, 4096, 100000, WINDOW - 4096 };
    const struct udfvm_limits usual = { .timeout_ns = 20000000000 };
    struct udfvm_reply reply;
    struct udfvm_error error;
    udfvm_vm *vm = open_vm(image);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t *window = udfvm_vm_input(vm, sizes[i], &error);
        for (size_t word = 0; window && word < sizes[i] / 8; word++)
            window[word] = mark;
        check(window && marks_in_windows(vm, mark) == 0, "a request that was not sent stays");
        window = udfvm_vm_input(vm, sizes[i], &error);
        for (size_t word = 0; window && word < sizes[i] / 8; word++)
            window[word] = word ? mark : RAW_COUNT;
        check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, NULL, 8, &usual, &reply, &error) == 0 &&
                  *(const uint64_t *)reply.data == 1,
              "in place: %s", error.message);
        check(udfvm_vm_restore(vm, &error) == 0 && marks_in_windows(vm, mark) == 0,
              "a request of which a part was sent stays");
        check(udfvm_vm_input(vm, 16, &error) &&
                  udfvm_vm_call(vm, UDFVM_REQUEST_ROW, NULL, 24, &usual, &reply, &error) ==
                      UDFVM_E_ARGUMENT,
              "more was sent than was asked for");
        check(udfvm_vm_input(vm, 16, &error) && udfvm_vm_restore(vm, &error) == 0 &&
                  udfvm_vm_call(vm, UDFVM_REQUEST_ROW, NULL, 16, &usual, &reply, &error) ==
                      UDFVM_E_ARGUMENT,
              "what an earlier request asked for was sent");
    }
    check(!udfvm_vm_input(vm, WINDOW, &error) && error.code == UDFVM_E_INPUT &&
              udfvm_vm_input_capacity(vm) == WINDOW - 4096,
          "no end of the window");
    for (uint64_t length = 8; length <= UDFVM_LOGGED_OUTPUT; length = length * 3 + 8) {
        const uint64_t request[] = {
            RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_OK, length, 0, 0, 0, 0
        };
        check(!udfvm_vm_borrow(vm, 0, 8, &error) && error.code == UDFVM_E_ARGUMENT,
              "lent what no call left");
        check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, &usual, &reply,
                            &error) == 0 &&
                  reply.length == length,
              "%s", error.message);
        check(!udfvm_vm_borrow(vm, 8, length, &error) &&
                  !udfvm_vm_borrow(vm, length + 1, 0, &error),
              "lent past the reply");
        uint64_t *lent = udfvm_vm_borrow(vm, 0, length, &error);
        for (size_t word = 0; lent && word < length / 8; word++)
            lent[word] = mark;
        if (length % 16 == 0) /* another exchange of the same call comes between */
            check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, &usual, &reply,
                                &error) == 0,
                  "%s", error.message);
        check(lent && udfvm_vm_restore(vm, &error) == 0 && marks_in_windows(vm, mark) == 0,
              "what was written to a lent reply stays");
    }
    udfvm_vm_close(vm);
}

static udfvm_image *layer(uint64_t value)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    const uint64_t request[] = { RAW_SEAL, value };
    udfvm_vm *vm = open_vm(image);
    int code = udfvm_vm_call(vm, UDFVM_REQUEST_LOAD, request, sizeof request, NULL, &reply, &error);
    check(code == 0 && reply.sealed, "sealing a layer: %s", code ? error.message : "not sealed");
    udfvm_image *made = sealed(vm, image, "layer");
    udfvm_vm_close(vm);
    return made;
}

static uint64_t marks_in_wide(udfvm_vm *vm, uint64_t mark)
{
    struct outcome got = CALL(vm, NULL, RAW_FIND, UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT, WIDE_END,
                              mark);
    check(got.code == 0, "looking through the wide area: %s", got.error.message);
    return got.words[0];
}

static void test_the_wide_area_leaks_nothing(void)
{
    const uint64_t mark = 0x776964652d2d3e21, start = UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT;
    const struct udfvm_limits soon = { .timeout_ns = 300000 }, bounded = { .max_output = 4096 };
    udfvm_image *other = layer(300);
    udfvm_vm *vm = open_vm(image);
    check(CALL(vm, NULL, RAW_WRITE, start, mark).words[0] == RAW_FAULTED,
          "the wide area is open unasked");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, start, 8).code == 0,
          "a hypercall about what is not open");
    check(
        CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 0, UDFVM_LOGGED_OUTPUT + 1).code ==
            UDFVM_E_OUTPUT,
        "a reply in what is not open");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_IN_PLACE,
               UDFVM_LOGGED_OUTPUT + 1)
                  .code == UDFVM_E_OUTPUT,
          "a reply left where nothing is open");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED).code == 0,
          "opening the wide area");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, 0, WINDOW + 1).code ==
              UDFVM_E_OUTPUT,
          "a reply beyond the window");
    check(CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_IN_PLACE,
               WINDOW + SCRATCH + 1)
                  .code == UDFVM_E_OUTPUT,
          "a reply beyond scratch");
    check(CALL(vm, &bounded, RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_IN_PLACE, 8)
                  .code == UDFVM_E_PROTOCOL,
          "a reply left in place where its size is bounded");
    check(CALL(vm, NULL, RAW_WRITE, WIDE_END, mark).words[0] == RAW_FAULTED,
          "the wide area has no end");
    for (int round = 0; round < 3; round++) {
        check(CALL(vm, NULL, RAW_FILL, start, WIDE_END, mark).code == 0, "filling the wide area");
        check(marks_in_wide(vm, mark) == 0, "the wide area leaks");
        check(CALL(vm, NULL, RAW_WRITE, WIDE_END - 8, mark).code == 0 &&
                  marks_in_wide(vm, mark) == 0,
              "the last word of the wide area leaks");
        int tries = 0;
        while (tries < 1000 &&
               CALL(vm, &soon, RAW_FILL, start, WIDE_END, mark).code != UDFVM_E_TIMEOUT)
            tries++;
        check(tries < 1000 || quick, "filling the wide area was too quick");
        check(marks_in_wide(vm, mark) == 0, "the wide area leaks after a timeout");
        check(CALL(vm, NULL, RAW_FILL, start, WIDE_END, mark).code == 0 &&
                  udfvm_vm_bind(vm, round % 2 ? image : other, NULL) == 0,
              "moving");
        check(marks_in_wide(vm, mark) == 0, "the wide area leaks to another layer");
    }
    udfvm_vm_close(vm);
    udfvm_image_close(other);
}

/* What a call wrote there is zeroed by a second thread while the VM may be closed, the process
 * forked, other VMs used. */
static void test_the_wide_area_is_zeroed_meanwhile(void)
{
    const uint64_t mark = 0x6d65616e7768696c, start = UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT;
    udfvm_vm *kept[4];
    for (int i = 0; i < 4; i++) {
        kept[i] = open_vm(image);
        CALL(kept[i], NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED);
    }
    for (int round = 0; round < (quick ? 2 : 12); round++) {
        udfvm_vm *vm = open_vm(image);
        CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED);
        for (int i = 0; i < 4; i++)
            check(CALL(kept[i], NULL, RAW_FILL, start, WIDE_END, mark).code == 0,
                  "filling the wide area of one of several");
        check(CALL(vm, NULL, RAW_FILL, start, WIDE_END, mark).code == 0, "filling the wide area");
        fflush(stdout);
        const bool forks = !quick &&
                           round % 3 ==
                               0; /* valgrind takes the worker's memory, in the child, for lost */
        const pid_t child = forks ? fork() : 0;
        if (forks && child == 0) {
            udfvm_vm_close(vm);
            udfvm_vm *own = open_vm(image);
            CALL(own, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED);
            const bool clean = CALL(own, NULL, RAW_FILL, start, WIDE_END, mark).code == 0 &&
                               marks_in_wide(own, mark) == 0;
            udfvm_vm_close(own);
            _exit(!clean);
        }
        udfvm_vm_close(vm);
        int status = 0;
        if (child > 0)
            waitpid(child, &status, 0);
        check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child forked meanwhile");
        for (int i = 0; i < 4; i++)
            check(marks_in_wide(kept[i], mark) == 0, "the wide area of one of several leaks");
    }
    for (int i = 0; i < 4; i++)
        udfvm_vm_close(kept[i]);
}

static uint64_t exchange(udfvm_vm *vm)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    const uint64_t request = RAW_COUNT;
    int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, &request, 8, NULL, &reply, &error);
    check(code == 0 && reply.length == 8, "count: %s", error.message);
    return code == 0 ? *(const uint64_t *)reply.data : 0;
}

static void test_a_call_of_several_exchanges(void)
{
    udfvm_vm *vm = open_vm(image);
    for (int call = 0; call < 2; call++) {
        for (uint64_t i = 1; i < 5; i++)
            check(exchange(vm) == i, "state was lost inside a call");
        check(udfvm_vm_restore(vm, NULL) == 0, "restore");
    }
    udfvm_vm_close(vm);
}

static void test_layers(void)
{
    const uint64_t mark = 0xabababab12345678;
    udfvm_image *layers[] = { layer(100), layer(200) };
    udfvm_vm *vm = open_vm(image);
    struct udfvm_image_statistics statistics;
    udfvm_image_statistics(layers[0], &statistics);
    check(statistics.is_layer && statistics.pages < 20, "layer of %llu pages",
          (unsigned long long)statistics.pages);
    for (int i = 0; i < 6; i++) {
        check(udfvm_vm_bind(vm, layers[i % 2], NULL) == 0, "bind");
        check(CALL(vm, NULL, RAW_COUNT).words[0] == (i % 2 ? 201u : 101u),
              "bound to the wrong layer");
        check(!memory_has(vm, mark), "one layer's call is seen by the other's");
        check(fill_memory(vm, mark), "fill");
    }
    check(udfvm_vm_bind(vm, image, NULL) == 0 && CALL(vm, NULL, RAW_COUNT).words[0] == 1,
          "back to the base");
    udfvm_vm_close(vm);
    udfvm_image_close(layers[0]);
    udfvm_image_close(layers[1]);
}

static void test_damaged_images(const char *path)
{
    static char kernel[1 << 20];
    struct udfvm_config config = {
        .memory = MEMORY, .input_window = WINDOW, .output_window = WINDOW, .scratch = SCRATCH
    };
    struct udfvm_boot boot = { .memory_end = MEMORY };
    struct udfvm_error error;
    int source = open(path, O_RDONLY);
    size_t length = (size_t)read(source, kernel, sizeof kernel);
    close(source);
    udfvm_vm *vm = udfvm_vm_boot(&config, kernel, length, &boot, sizeof boot, NULL, NULL, NULL,
                                 &error);
    FILE *file = tmpfile();
    check(vm && udfvm_vm_seal(vm, fileno(file), "raw", 3, &error) == 0, "seal");
    udfvm_vm_close(vm);
    struct stat status;
    fstat(fileno(file), &status);
    const off_t places[] = { 0,
                             8,
                             17,
                             40,
                             300,
                             2000,
                             12000,
                             0x5000,
                             0x8100,
                             0x9000,
                             0x10000,
                             status.st_size - 1,
                             status.st_size / 2 };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char byte, flipped;
        check(pread(fileno(file), &byte, 1, places[i]) == 1, "pread");
        flipped = (char)~byte;
        check(pwrite(fileno(file), &flipped, 1, places[i]) == 1, "pwrite");
        udfvm_image *opened = udfvm_image_open(fileno(file), NULL, &error);
        int seen = opened ? udfvm_image_verify(opened, &error) : error.code;
        check(seen == UDFVM_E_IMAGE && error.code == UDFVM_E_IMAGE,
              "damage at byte %lld went unseen", (long long)places[i]);
        udfvm_image_close(opened);
        check(pwrite(fileno(file), &byte, 1, places[i]) == 1, "pwrite");
    }
    udfvm_image *whole = udfvm_image_open(fileno(file), NULL, &error);
    check(whole && udfvm_image_verify(whole, &error) == 0, "the mended image: %s", error.message);
    udfvm_image_close(whole);
    check(ftruncate(fileno(file), 20000) == 0 && !udfvm_image_open(fileno(file), NULL, &error) &&
              error.code == UDFVM_E_IMAGE,
          "a truncated image");
    check(ftruncate(fileno(file), 0) == 0 && !udfvm_image_open(fileno(file), NULL, &error) &&
              error.code == UDFVM_E_IMAGE,
          "an empty image");
    fclose(file);
}

static int count_lines(const char *directory, const char *file)
{
    int count = 0;
    char line[1024];
    DIR *open_directory = directory ? opendir(directory) : NULL;
    while (open_directory && readdir(open_directory))
        count++;
    if (open_directory)
        closedir(open_directory);
    FILE *stream = file ? fopen(file, "r") : NULL;
    while (stream && fgets(line, sizeof line, stream))
        count++;
    if (stream)
        fclose(stream);
    return count;
}

static void test_a_thousand_vms_leak_nothing(void)
{
    int descriptors = 0, mappings = 0;
    for (int i = 0; i < (quick ? 20 : 1000); i++) {
        if (i == 3) {
            descriptors = count_lines("/proc/self/fd", NULL);
            mappings = count_lines(NULL, "/proc/self/maps");
        }
        udfvm_vm *vm = open_vm(image);
        check(CALL(vm, NULL, RAW_COUNT).words[0] == 1, "VM %d", i);
        udfvm_vm_close(vm);
    }
    check(count_lines("/proc/self/fd", NULL) == descriptors, "descriptors leak");
    check(count_lines(NULL, "/proc/self/maps") <= mappings + 4, "mappings leak");
}

static void *use_pool(void *argument)
{
    udfvm_pool *pool = argument;
    struct udfvm_error error;
    for (int i = 0; i < (quick ? 10 : 200); i++) {
        udfvm_vm *vm = udfvm_pool_take(pool, image, 20000000000, &error);
        check(vm != NULL, "take: %s", error.message);
        if (!vm)
            return NULL;
        check(CALL(vm, NULL, RAW_COUNT).words[0] == 1, "a pooled VM had a past");
        udfvm_pool_give(pool, vm);
    }
    return NULL;
}

/* Puts /dev/null in the place of the process's only VM: from then on KVM does not know it. */
static int lose_vm(void)
{
    char path[64], target[64];
    for (int fd = 3; fd < 256; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = 0;
        int null = strcmp(target, "anon_inode:kvm-vm") == 0 ? open("/dev/null", O_RDWR) : -1;
        if (null >= 0)
            return dup2(null, fd) == fd && close(null) == 0;
    }
    return 0;
}

static void test_a_vm_that_cannot_be_restored_is_replaced(void)
{
    struct udfvm_pool_statistics statistics;
    struct udfvm_error error;
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, &error);
    udfvm_vm *vm = udfvm_pool_take(pool, image, 0, &error);
    check(vm && exchange(vm) == 1 && lose_vm(), "taking a VM away");
    udfvm_pool_give(pool, vm);
    udfvm_pool_statistics(pool, &statistics);
    check(statistics.live == 0 && statistics.idle == 0 && statistics.limit == 1,
          "a VM that cannot be restored stays in its pool");
    vm = udfvm_pool_take(pool, image, 0, &error);
    check(vm && exchange(vm) == 1, "a new VM in its place");
    udfvm_pool_give(pool, vm);
    udfvm_pool_statistics(pool, &statistics);
    check(statistics.live == 1 && statistics.idle == 1, "the new VM is not kept");
    check(udfvm_pool_trim_old(pool, 0, 3600000000000) == 1 &&
              udfvm_pool_trim_old(pool, 1, 0) == 1 && udfvm_pool_trim_old(pool, 0, 0) == 0,
          "trimming by age");
    udfvm_pool_close(pool);
}

static int64_t answer(void *context, const char *name, const void *arguments, uint64_t length,
                      void *reply, uint64_t capacity, char *failure)
{
    int *calls = context;
    ++*calls;
    if (*name)
        return UDFVM_NO_HOST_FUNCTION;
    if (length == 16) {
        strcpy(failure, "sixteen");
        return UDFVM_HOST_FUNCTION_FAILED;
    }
    if (capacity >= length)
        memset(reply, 0x5a, length);
    check(length == 8 && *(const uint64_t *)arguments == 0, "arguments of %llu bytes",
          (unsigned long long)length);
    return (int64_t)length;
}

static void test_host_functions(void)
{
    static const uint64_t out = UDFVM_OUTPUT_BASE, base = UDFVM_PROGRAM_BASE,
                          most = UDFVM_MAX_HOST_MESSAGE;
    static const struct {
        int64_t result;
        uint64_t arguments[6];
    } refused[] = {
        { -ENOENT, { base, 256, out, 8, out, 8 } },
        { -ENOENT, { base, UINT64_MAX, out, 8, out, 8 } },
        { -EFAULT, { 0x1000, 1, out, 8, out, 8 } },
        { -EFAULT, { UINT64_MAX, 1, out, 8, out, 8 } },
        { -EFAULT, { base, 0, 0x1000, 8, out, 8 } },
        { -EFAULT, { base, 0, MEMORY - 4, 8, out, 8 } },
        { -EFAULT, { base, 0, UDFVM_INPUT_BASE, 8, out, 8 } },
        { -E2BIG, { base, 0, out, most + 1, out, 8 } },
        { -E2BIG, { base, 0, out, UINT64_MAX, out, 8 } },
        { -E2BIG, { base, 0, out, 8, out, most + 1 } },
        { -EFAULT, { base, 0, out, 8, 0x1000, 8 } },
        { -EFAULT, { base, 0, out, 8, MEMORY - 4, 8 } },
        { -EFAULT, { base, 0, out, 8, UINT64_MAX - 3, 8 } },
        { -EMSGSIZE, { base, 0, out, 8, out, 7 } },
    };
    int calls = 0;
    const struct udfvm_host_functions functions = { .context = &calls,
                                                    .call = answer,
                                                    .max_calls = 1 };
    const struct udfvm_limits limits = { .timeout_ns = 20000000000, .host_functions = &functions };
    const struct udfvm_host_functions none = { .context = &calls, .call = answer };
    const struct udfvm_limits stingy = { .timeout_ns = 20000000000, .host_functions = &none };
    udfvm_vm *vm = open_vm(image);
    struct outcome got = CALL(vm, NULL, RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, base, 0, out, 8,
                              out + 8, 8);
    check(got.code == 0 && (int64_t)got.words[0] == -ENOENT && calls == 0,
          "a call without host functions: %lld", (long long)got.words[0]);
    for (int i = 0; i < 3; i++) {
        got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, base, 0, out, 8, out + 8,
                   8);
        check(got.code == 0 && got.words[0] == 8 && got.words[1] == 0x5a5a5a5a5a5a5a5a &&
                  calls == i + 1,
              "host call %d: %s", i, got.error.message);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const uint64_t *a = refused[i].arguments;
        got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, a[0], a[1], a[2], a[3],
                   a[4], a[5]);
        check(got.code == 0 && (int64_t)got.words[0] == refused[i].result, "host call %zu: %lld", i,
              (long long)got.words[0]);
    }
    got = CALL(vm, &limits, RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, base, 0, out, 16, out, 16);
    check(got.code == UDFVM_E_HOST_FUNCTION && strstr(got.error.message, "sixteen"),
          "a host function that fails: %d", got.code);
    got = CALL(vm, &stingy, RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, base, 0, out, 8, out, 8);
    check(got.code == UDFVM_E_HOST_CALLS, "more host calls than are allowed: %d", got.code);
    check(CALL(vm, &limits, RAW_STATE).words[2] == 0x1515, "VM unusable after host calls");
    udfvm_vm_close(vm);
}

static void test_calls_of_a_pool(void)
{
    struct udfvm_error error;
    struct udfvm_pool_statistics statistics;
    const uint64_t words[] = { RAW_ECHO, 3, 7 };
    uint64_t output[4] = { 0 };
    struct udfvm_pool_reply reply = { .output = output, .capacity = 24 }, busy = reply;
    udfvm_pool *pool = udfvm_pool_create(image, 1, NULL, &error);
    check(udfvm_pool_call(pool, image, 0, UDFVM_REQUEST_ROW, words, 24, NULL, &reply, &error) ==
                  UDFVM_OK &&
              !reply.kept && reply.length == 24 && reply.status == UDFVM_STATUS_OK &&
              reply.in_use == 1 && memcmp(output, words, 24) == 0 && !output[3],
          "a call of a pool: %s", error.message);
    reply.capacity = 23;
    check(udfvm_pool_call(pool, image, 0, UDFVM_REQUEST_ROW, words, 24, NULL, &reply, &error) ==
                  UDFVM_OK &&
              reply.kept && reply.length == 24 && memcmp(reply.data, words, 24) == 0,
          "a reply without room is not kept");
    udfvm_pool_statistics(pool, &statistics);
    check(statistics.idle == 0, "a VM whose reply is kept is idle");
    check(udfvm_pool_call(pool, image, 1000000, UDFVM_REQUEST_ROW, words, 24, NULL, &busy,
                          &error) == UDFVM_E_BUSY &&
              !busy.kept,
          "a VM was used twice");
    udfvm_pool_give(pool, reply.kept);
    check(udfvm_pool_call(pool, image, 0, UDFVM_REQUEST_ROW, words, WINDOW, NULL, &reply, &error) ==
                  UDFVM_E_INPUT &&
              !reply.kept,
          "a request larger than the window");
    udfvm_pool_statistics(pool, &statistics);
    check(statistics.live == 1 && statistics.idle == 1, "calls of a pool leave VMs behind");
    udfvm_pool_close(pool);
}

static void test_pool(void)
{
    struct udfvm_error error;
    udfvm_pool *pool = udfvm_pool_create(image, 2, NULL, &error);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, use_pool, pool);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    udfvm_vm *first = udfvm_pool_take(pool, image, 0, &error),
             *second = udfvm_pool_take(pool, image, 0, &error);
    check(first && second && !udfvm_pool_take(pool, image, 1000000, &error) &&
              error.code == UDFVM_E_BUSY,
          "a pool of two gave three VMs");
    exchange(first);
    udfvm_pool_give(pool, first);
    udfvm_pool_give(pool, second);
    use_pool(pool);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int before = failures;
        check(!udfvm_pool_take(pool, image, 0, &error) && error.code == UDFVM_E_FORKED,
              "a forked child used its parent's pool");
        udfvm_pool_close(pool);
        udfvm_vm *own = open_vm(image);
        check(CALL(own, NULL, RAW_COUNT).words[0] == 1, "a forked child's own VM");
        udfvm_vm_close(own);
        fflush(stdout);
        _exit(failures - before);
    }
    int status;
    waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "forked child");
    use_pool(pool);
    udfvm_pool_close(pool);
}

static int interrupts;
static int count_interrupts(void)
{
    return ++interrupts >= 2;
}
static void nothing(int number)
{
    (void)number;
}

static void test_interrupt_hook(void)
{
    udfvm_vm *vm = open_vm(image);
    signal(SIGALRM, nothing);
    udfvm_set_interrupt_hook(count_interrupts);
    ualarm(20000, 20000);
    check(CALL(vm, NULL, RAW_LOOP).code == UDFVM_E_INTERRUPTED && interrupts == 2,
          "the hook was asked %d times", interrupts);
    ualarm(0, 0);
    udfvm_set_interrupt_hook(NULL);
    check(CALL(vm, NULL, RAW_COUNT).words[0] == 1, "VM unusable after an interrupt");
    udfvm_vm_close(vm);
}

static void test_arguments(void)
{
    struct udfvm_error error;
    struct udfvm_reply reply;
    struct udfvm_config config = {
        .memory = MEMORY + 4096, .input_window = WINDOW, .output_window = WINDOW, .scratch = SCRATCH
    };
    check(!udfvm_vm_boot(&config, "", 0, "", 0, NULL, NULL, NULL, &error) &&
              error.code == UDFVM_E_ARGUMENT,
          "odd memory size");
    udfvm_vm *vm = open_vm(image);
    check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, "", WINDOW, NULL, &reply, &error) == UDFVM_E_INPUT,
          "input larger than the window");
    check(udfvm_vm_seal(vm, 0, "", 0, &error) == UDFVM_E_ARGUMENT, "sealing a VM that did not ask");
    check(CALL(vm, NULL, RAW_COUNT).words[0] == 1, "VM unusable after wrong arguments");
    udfvm_vm_close(vm);
    udfvm_vm_close(NULL);
    udfvm_image_close(NULL);
    udfvm_pool_close(NULL);
}

static const char *guest_path;
static void test_damage(void)
{
    test_damaged_images(guest_path);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "state", test_state_is_restored },
        { "system area", test_system_area_is_out_of_reach },
        { "privileged", test_privileged_instructions_fault },
        { "descriptors", test_no_descriptors_of_a_guests_choice },
        { "hypercalls", test_ports_and_hypercalls },
        { "files", test_files },
        { "log", test_log_is_bounded },
        { "log sink", test_log_is_given_to_the_sink },
        { "deadline", test_deadline },
        { "windows", test_windows_leak_nothing },
        { "host", test_what_the_host_writes_leaves_with_the_call },
        { "wide area", test_the_wide_area_leaks_nothing },
        { "zeroing", test_the_wide_area_is_zeroed_meanwhile },
        { "exchanges", test_a_call_of_several_exchanges },
        { "layers", test_layers },
        { "damage", test_damage },
        { "leaks", test_a_thousand_vms_leak_nothing },
        { "pool", test_pool },
        { "host functions", test_host_functions },
        { "pool calls", test_calls_of_a_pool },
        { "replacement", test_a_vm_that_cannot_be_restored_is_replaced },
        { "interrupt", test_interrupt_hook },
        { "arguments", test_arguments },
    };
    if (count < 2)
        return 2;
    quick = count > 2;
    guest_path = arguments[1];
    image = build(guest_path);
    run_tests(tests, sizeof tests / sizeof *tests);
    udfvm_image_close(image);
    return failures != 0;
}
