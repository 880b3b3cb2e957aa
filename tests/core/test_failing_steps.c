/* What the host writes leaves with the call, whichever step of it fails. Usage: test_failing_steps
 * raw_guest.bin. Prints what holds and what failed.
 *
 * Each way of writing is taken again and again, on the one VM of a pool: the first time the first
 * system call or allocation of the core fails, then the second, and so on until none is left to
 * fail. After each a spy, another function of the same base image, searches the VM for the mark.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../guest/include/udfvm_abi.h"
#include "api.h"
#include "check.h"
#include "failing_calls.h"
#include "marks.h"
#include "raw_guest.h"

#define MEMORY  (16ull << 20)
#define WINDOW  (8ull << 20)
#define SCRATCH (2ull << 20)
#define SMALL   512u
#define LARGE   ((size_t)3 << 20)
#define FAR     (UDFVM_PROGRAM_BASE + (6ull << 20)) /* memory that nothing else uses */

static udfvm_image *image, *other;

static const struct udfvm_limits limits = { .timeout_ns = 60000000000,
                                            .files = 1,
                                            .host_functions = &functions };
static const struct udfvm_limits streaming = { .timeout_ns = 60000000000, .files = 1 };

/* ---- The ways in which the host writes. Each is on its own with a VM, which it need not restore
 * ---- */

static uint64_t large[LARGE / 8];

static int call(udfvm_vm *vm, const uint64_t *words, size_t count, struct udfvm_reply *reply)
{
    return udfvm_vm_call(vm, UDFVM_REQUEST_ROW, words, count * sizeof *words, &limits, reply, NULL);
}

static void copied(udfvm_vm *vm, size_t bytes)
{
    struct udfvm_reply reply;
    put_marks(large, bytes);
    large[0] = RAW_COUNT;
    call(vm, large, bytes / 8, &reply);
}
static void copies_small(udfvm_vm *vm)
{
    copied(vm, SMALL);
}
static void copies_large(udfvm_vm *vm)
{
    copied(vm, LARGE);
}

static void loads(udfvm_vm *vm)
{
    struct udfvm_reply reply;
    put_marks(large, SMALL);
    large[0] = RAW_SEAL;
    udfvm_vm_call(vm, UDFVM_REQUEST_LOAD, large, SMALL, &limits, &reply, NULL);
}

/* So much of what was asked for is sent; 0: nothing is. */
static void in_place(udfvm_vm *vm, size_t asked, size_t sent)
{
    struct udfvm_reply reply;
    uint64_t *window = udfvm_vm_input(vm, asked, NULL);
    if (!window)
        return;
    put_marks(window, asked);
    window[0] = RAW_COUNT;
    if (sent)
        udfvm_vm_call(vm, UDFVM_REQUEST_ROW, NULL, sent, &limits, &reply, NULL);
}
static void writes_small(udfvm_vm *vm)
{
    in_place(vm, SMALL, SMALL);
}
static void writes_large(udfvm_vm *vm)
{
    in_place(vm, LARGE, LARGE);
}
static void sends_a_part(udfvm_vm *vm)
{
    in_place(vm, LARGE, 8);
}
static void sends_nothing(udfvm_vm *vm)
{
    in_place(vm, WINDOW - 4096, 0);
}

static void files_at(udfvm_vm *vm, int64_t result)
{
    const uint64_t prepare[] = { RAW_WRITE, FAR + 65536, 0x2f2f2f2f }, path = FAR + 65536;
    const uint64_t requests[][8] = {
        { RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_OPEN, path, 4, FAR },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_READ, 0, 0, FAR + 8192, 9000 },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_STAT, path, 4, FAR + 32768, 1 },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_LIST, path, 4, 0, FAR + 131072, 5000 },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_READLINK, path, 4, FAR + 262144, 100 },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_READ, 0, 0,
          UDFVM_OUTPUT_BASE + UDFVM_LOGGED_OUTPUT - 4096, 20000 },
    };
    struct udfvm_reply reply;
    file_result = result;
    int code = call(vm, prepare, 3, &reply);
    for (size_t i = 0; i < sizeof requests / sizeof *requests && code == UDFVM_OK; i++)
        code = call(vm, requests[i], 8, &reply);
}
static void serves_files(udfvm_vm *vm)
{
    files_at(vm, 0);
}
static void fails_to_serve_files(udfvm_vm *vm)
{
    files_at(vm, -EIO);
}
static void serves_too_much(udfvm_vm *vm)
{
    files_at(vm, 1);
}

static void maps(udfvm_vm *vm)
{
    const uint64_t requests[][8] = {
        { RAW_HYPERCALL, UDFVM_HYPERCALL_MAP, UDFVM_RESERVE_BASE, FAR, 4, UDFVM_MAP_WRITE },
        { RAW_FILL, UDFVM_RESERVE_BASE, UDFVM_RESERVE_BASE + 16384, MARK },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_MAP, UDFVM_RESERVE_BASE, FAR + 8192, 2, UDFVM_MAP_READ },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_MAP, UDFVM_RESERVE_BASE, 0, 1, UDFVM_MAP_NOTHING },
    };
    struct udfvm_reply reply;
    int code = UDFVM_OK;
    for (size_t i = 0; i < sizeof requests / sizeof *requests && code == UDFVM_OK; i++)
        code = call(vm, requests[i], 8, &reply);
}

static void answers_at(udfvm_vm *vm, int64_t result)
{
    const uint64_t request[] = {
        RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, FAR, 0, FAR, 8, FAR + 8192, 9000
    };
    struct udfvm_reply reply;
    file_result = result;
    call(vm, request, 8, &reply);
}
static void answers(udfvm_vm *vm)
{
    answers_at(vm, 0);
}
static void fails_to_answer(udfvm_vm *vm)
{
    answers_at(vm, -1);
}
static void answers_too_much(udfvm_vm *vm)
{
    answers_at(vm, 1);
}

static void borrows(udfvm_vm *vm, uint64_t status, uint64_t begin, uint64_t end)
{
    const uint64_t unlogged[] = { RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED, 0, 0, 0, 0, 0, 0 };
    const uint64_t request[] = { RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, status, end, 0, 0, 0, 0 };
    struct udfvm_reply reply;
    if (call(vm, unlogged, 8, &reply) != UDFVM_OK || call(vm, request, 8, &reply) != UDFVM_OK)
        return;
    void *borrowed = udfvm_vm_borrow(vm, begin, end - begin, NULL);
    if (borrowed)
        put_marks(borrowed, end - begin);
}
static void borrows_the_window(udfvm_vm *vm)
{
    borrows(vm, UDFVM_STATUS_OK, 0, UDFVM_LOGGED_OUTPUT + 65536);
}
static void borrows_scratch(udfvm_vm *vm)
{
    borrows(vm, UDFVM_STATUS_IN_PLACE, WINDOW, WINDOW + SCRATCH);
}

static void streams(udfvm_vm *vm)
{
    struct udfvm_reply reply;
    for (int i = 0; i < 10; i++) {
        uint64_t *window = udfvm_vm_input(vm, SMALL, NULL);
        if (!window)
            return;
        put_marks(window, SMALL);
        window[0] = RAW_COUNT;
        if (udfvm_vm_stream_call(vm, UDFVM_REQUEST_ROW, NULL, SMALL, &streaming, &reply, NULL) !=
            UDFVM_OK)
            return;
    }
}

/* ---- The spy ---- */

static uint64_t find(udfvm_vm *vm, uint64_t from, uint64_t to)
{
    const uint64_t request[] = { RAW_FIND, from, to, MARK };
    struct udfvm_reply reply;
    const int code = call(vm, request, 4, &reply);
    check_number(code == UDFVM_OK, "the spy's call", code);
    const uint64_t found = code == UDFVM_OK ? *(const uint64_t *)reply.data : 0;
    return udfvm_vm_restore(vm, NULL) == UDFVM_OK ? found : found + 1;
}

static uint64_t marks_in(udfvm_vm *vm)
{
    const uint64_t stack = MEMORY - udfvm_stack_bytes(MEMORY),
                   unlogged[] = { RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED, 0, 0, 0, 0, 0, 0 };
    struct udfvm_reply reply;
    uint64_t found = find(vm, UDFVM_INPUT_PAYLOAD + 32, UDFVM_INPUT_BASE + WINDOW);
    found += find(vm, UDFVM_KERNEL_BASE, stack - UDFVM_STACK_GUARD) + find(vm, stack, MEMORY);
    check_number(call(vm, unlogged, 8, &reply) == UDFVM_OK &&
                     udfvm_vm_restore(vm, NULL) == UDFVM_OK,
                 "opening all of the output window", 0);
    return found + find(vm, UDFVM_OUTPUT_BASE, UDFVM_OUTPUT_BASE + WINDOW + SCRATCH);
}

static void at_each_step(const char *name, void (*writes)(udfvm_vm *))
{
    udfvm_pool *pool = udfvm_pool_create(image, 1, &files, NULL);
    const int before = failures;
    long step = 0;
    for (bool more = true; more && step < 1000; step++) {
        failed = false;
        left = step;
        udfvm_vm *vm = udfvm_pool_take(pool, image, 0, NULL);
        if (vm) {
            writes(vm);
            udfvm_pool_give(pool, vm);
        }
        left = -1;
        more = failed;
        vm = udfvm_pool_take(pool, other, 0, NULL);
        check_number(vm != NULL, "taking a VM after step", step);
        if (vm) {
            const uint64_t found = marks_in(vm);
            check_number(found == 0, "marks that stay after step", step);
            udfvm_pool_give(pool, vm);
        }
    }
    check_number(step > 1 && step < 1000, "steps", step);
    udfvm_pool_close(pool);
    printf("%s, %ld steps: %s\n", name, step, failures == before ? "holds" : "FAILED");
    fflush(stdout);
}

/* The spy would see it. */
static void test_the_spy(void)
{
    const uint64_t addresses[] = { FAR, UDFVM_OUTPUT_BASE + 8192,
                                   UDFVM_OUTPUT_BASE + WINDOW + SCRATCH - 8 };
    const uint64_t open_unlogged[] = {
        RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED, 0, 0, 0, 0, 0, 0
    };
    udfvm_vm *vm = udfvm_vm_open(image, NULL, NULL);
    struct udfvm_reply reply;
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        const uint64_t write[] = { RAW_WRITE, addresses[i], MARK },
                       look[] = { RAW_FIND, addresses[i] & -4096ull,
                                  (addresses[i] & -4096ull) + 4096, MARK };
        check_number(call(vm, open_unlogged, 8, &reply) == UDFVM_OK &&
                         call(vm, write, 3, &reply) == UDFVM_OK &&
                         call(vm, look, 4, &reply) == UDFVM_OK &&
                         *(const uint64_t *)reply.data == 1,
                     "the spy sees nothing", (long)i);
        check_number(udfvm_vm_restore(vm, NULL) == UDFVM_OK, "restoring", (long)i);
    }
    udfvm_vm_close(vm);
    printf("the spy: %s\n", failures ? "FAILED" : "holds");
}

static udfvm_image *sealed(udfvm_vm *vm, udfvm_image *base)
{
    FILE *file = tmpfile();
    check_number(vm && udfvm_vm_seal(vm, fileno(file), "raw", 3, NULL) == UDFVM_OK, "sealing", 0);
    udfvm_image *made = udfvm_image_open(fileno(file), base, NULL);
    fclose(file);
    udfvm_vm_close(vm);
    return made;
}

static bool build(const char *path)
{
    static char kernel[1 << 20];
    const struct udfvm_config config = {
        .memory = MEMORY, .input_window = WINDOW, .output_window = WINDOW, .scratch = SCRATCH
    };
    const struct udfvm_boot boot = { .memory_end = MEMORY };
    const uint64_t load[] = { RAW_SEAL, 300 };
    struct udfvm_reply reply;
    const int fd = open(path, O_RDONLY);
    const ssize_t length = read(fd, kernel, sizeof kernel);
    close(fd);
    if (length <= 0)
        return false;
    image = sealed(
        udfvm_vm_boot(&config, kernel, (size_t)length, &boot, sizeof boot, NULL, NULL, NULL, NULL),
        NULL);
    udfvm_vm *vm = image ? udfvm_vm_open(image, NULL, NULL) : NULL;
    if (vm &&
        udfvm_vm_call(vm, UDFVM_REQUEST_LOAD, load, sizeof load, NULL, &reply, NULL) == UDFVM_OK)
        other = sealed(vm, image);
    return other != NULL;
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*writes)(udfvm_vm *);
    } ways[] = {
        { "a small request", copies_small },
        { "a large request", copies_large },
        { "a load request", loads },
        { "a small request in place", writes_small },
        { "a large request in place", writes_large },
        { "a request of which a part is sent", sends_a_part },
        { "a request that is not sent", sends_nothing },
        { "files", serves_files },
        { "files that fail", fails_to_serve_files },
        { "files that serve too much", serves_too_much },
        { "host functions", answers },
        { "host functions that fail", fails_to_answer },
        { "host functions that answer too much", answers_too_much },
        { "pages of the reserve", maps },
        { "a borrowed reply", borrows_the_window },
        { "a reply borrowed in scratch", borrows_scratch },
        { "a stream", streams },
    };
    if (count < 2 || !build(arguments[1]))
        return 2;
    test_the_spy();
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        at_each_step(ways[i].name, ways[i].writes);
    udfvm_image_close(other);
    udfvm_image_close(image);
    return failures != 0;
}
