/* A function's life, from the boot of its base image to its last call, in which each system call
 * and allocation of the core fails in its turn: once, or from then on. Usage: test_failing_life
 * raw_guest.bin [--on]. With --on, calls fail from each step on. Prints what holds and what failed.
 *
 * Whatever fails, it is an error with a text, or does not matter: then all results are right. No
 * descriptor, mapping or memory is lost, no image that is not whole can be opened, and the next
 * call of the same pool is right.
 */
#include <dirent.h>
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
#define WINDOW  (4ull << 20)
#define SCRATCH (2ull << 20)
#define SEALED  300u
#define WORDS   400u /* of a request that is copied */
#define LARGE   (3ull << 20)
#define ROWS    16

static char kernel[1 << 20];
static size_t kernel_length;
static char directory[] = "/tmp/test_failing_life.XXXXXX";
static const struct udfvm_limits limits = { .timeout_ns = 60000000000,
                                            .files = 1,
                                            .host_functions = &functions };
static const struct udfvm_limits streaming = { .timeout_ns = 60000000000, .files = 1 };

struct life {
    udfvm_image *base, *layer;
    udfvm_pool *pool;
    udfvm_vm *vm;
    int file;
    struct udfvm_error error;
};

static bool ended(struct life *life, const char *what)
{
    check(life->error.code != UDFVM_OK && life->error.message[0] != '\0',
          "%s failed without a text (code %d)", what, life->error.code);
    return false;
}

static bool is_right(bool right, const char *what)
{
    check(right, "%s: a wrong result, and no error", what);
    return right;
}

/* ---- Building ---- */

static void path_of(char path[512], const char *kind)
{
    snprintf(path, 512, "%s/%064x.%s", directory, 0, kind);
}

/* As an embedder does: a file that is not whole never has the name of an image. */
static bool seal(struct life *life, const char *kind)
{
    static const uint8_t name[32];
    char path[512], partial[530];
    path_of(path, kind);
    snprintf(partial, sizeof partial, "%s.tmp", path);
    life->file = __real_open(partial, O_RDWR | O_CREAT | O_TRUNC, 0600);
    const int code = udfvm_vm_seal_named(life->vm, life->file, name, "raw", 3, &life->error);
    udfvm_vm_close(life->vm);
    life->vm = NULL;
    close(life->file);
    if (code != UDFVM_OK) {
        unlink(partial);
        return ended(life, "sealing");
    }
    return rename(partial, path) == 0;
}

static udfvm_image *opened(struct life *life, const char *kind, udfvm_image *base)
{
    char path[512];
    path_of(path, kind);
    udfvm_image *image = udfvm_image_open_cached(directory, strrchr(path, '/') + 1, base,
                                                 &life->error);
    if (!image)
        ended(life, "opening");
    return image;
}

static bool builds(struct life *life)
{
    static const struct udfvm_config config = {
        .memory = MEMORY, .input_window = WINDOW, .output_window = WINDOW, .scratch = SCRATCH
    };
    static const struct udfvm_boot boot = { .memory_end = MEMORY };
    static const uint64_t load[] = { RAW_SEAL, SEALED };
    struct udfvm_reply reply;
    char *report = NULL;
    life->vm = udfvm_vm_boot(&config, kernel, kernel_length, &boot, sizeof boot, &files, &limits,
                             &report, &life->error);
    free(report);
    if (!life->vm)
        return ended(life, "booting");
    if (!seal(life, "base") || !(life->base = opened(life, "base", NULL)))
        return false;
    life->vm = udfvm_vm_open(life->base, &files, &life->error);
    if (!life->vm)
        return ended(life, "opening a VM");
    if (udfvm_vm_call(life->vm, UDFVM_REQUEST_LOAD, load, sizeof load, &limits, &reply,
                      &life->error) != UDFVM_OK)
        return ended(life, "loading");
    if (!reply.sealed || !seal(life, "layer") || !(life->layer = opened(life, "layer", life->base)))
        return false;
    udfvm_image *again = opened(life, "layer", life->base); /* which was checked before */
    udfvm_image_close(again);
    return again != NULL;
}

/* ---- Calls ---- */

static bool calls(struct life *life, udfvm_image *image, uint64_t expected)
{
    static uint64_t request[WORDS] = { RAW_COUNT };
    uint64_t words[4] = { 0 };
    struct udfvm_pool_reply reply = { .output = words, .capacity = sizeof words };
    if (udfvm_pool_call(life->pool, image, 0, UDFVM_REQUEST_ROW, request, sizeof request, &limits,
                        &reply, &life->error) != UDFVM_OK)
        return ended(life, "a call");
    return is_right(!reply.kept && reply.length == 8 && words[0] == expected, "a call");
}

static bool exchanges(struct life *life, const uint64_t *request, size_t words, const char *what)
{
    struct udfvm_reply reply;
    return udfvm_vm_call(life->vm, UDFVM_REQUEST_ROW, request, words * 8, &limits, &reply,
                         &life->error) == UDFVM_OK ||
           ended(life, what);
}

/* Everything that a guest may ask the host for, in one call. */
static bool asks(struct life *life)
{
    const uint64_t far = UDFVM_PROGRAM_BASE + (3ull << 20);
    const uint64_t prepare[] = { RAW_WRITE, far, 0x2f2f2f2f };
    const uint64_t requests[][8] = {
        { RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_OPEN, far, 4, far + 4096 },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_READ, 0, 0, far + 8192, 9000 },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_FILE_LIST, far, 4, 0, far + 65536, 5000 },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_HOST_CALL, far, 0, far, 8, far + 8192, 9000 },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_LOG, 1, far, 4 },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_MAP, UDFVM_RESERVE_BASE, far, 2, UDFVM_MAP_WRITE },
        { RAW_FILL, UDFVM_RESERVE_BASE, UDFVM_RESERVE_BASE + 8192, MARK },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_MAP, UDFVM_RESERVE_BASE, far, 1, UDFVM_MAP_READ },
        { RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED },
        { RAW_FILL, UDFVM_OUTPUT_BASE + LARGE, UDFVM_OUTPUT_BASE + WINDOW, MARK },
    };
    life->vm = udfvm_pool_take(life->pool, life->layer, 0, &life->error);
    if (!life->vm)
        return ended(life, "taking a VM");
    bool done = exchanges(life, prepare, 3, "preparing");
    for (size_t i = 0; done && i < sizeof requests / sizeof *requests; i++)
        done = exchanges(life, requests[i], 8, "asking");
    udfvm_pool_give_small(life->pool, life->vm);
    life->vm = NULL;
    return done;
}

static bool sends_much(struct life *life)
{
    static const struct udfvm_windows windows = { 2 * WINDOW, WINDOW, SCRATCH };
    static const uint64_t unlogged[8] = { RAW_HYPERCALL, UDFVM_HYPERCALL_OPEN_UNLOGGED };
    static const uint64_t complete[8] = { RAW_HYPERCALL, UDFVM_HYPERCALL_COMPLETE, UDFVM_STATUS_OK,
                                          LARGE };
    struct udfvm_held held = { .vm = NULL };
    if (udfvm_pool_hold(&held, life->pool, life->layer, &windows, 0, 0, &life->error) != UDFVM_OK)
        return ended(life, "taking a VM with windows");
    life->vm = held.vm;
    uint64_t *window = udfvm_vm_input(held.vm, WINDOW + LARGE, &life->error);
    bool done = window || ended(life, "asking for the window");
    if (window) {
        memset(window, 0, WINDOW + LARGE);
        window[0] = RAW_COUNT;
        struct udfvm_reply reply;
        done = udfvm_vm_call(held.vm, UDFVM_REQUEST_ROW, NULL, WINDOW + LARGE, &limits, &reply,
                             &life->error) == UDFVM_OK
                   ? is_right(*(const uint64_t *)reply.data == SEALED + 1, "a large call")
                   : ended(life, "a large call");
    }
    done = done && exchanges(life, unlogged, 8, "opening the window") &&
           exchanges(life, complete, 8, "a large reply");
    uint8_t *data = done ? udfvm_pool_borrow(&held, 0, LARGE) : NULL;
    if (data)
        memset(data, 1, LARGE);
    life->vm = NULL;
    udfvm_pool_let_go(&held);
    return done;
}

static bool streams(struct life *life)
{
    struct udfvm_reply reply;
    bool done = true;
    life->vm = udfvm_pool_take(life->pool, life->layer, 0, &life->error);
    if (!life->vm)
        return ended(life, "taking a VM to stream");
    for (uint64_t i = 1; done && i <= ROWS; i++) {
        const uint64_t request[] = { RAW_STREAM, 4, RAW_ANSWER, i };
        done = udfvm_vm_stream_call(life->vm, UDFVM_REQUEST_ROW, request, sizeof request,
                                    &streaming, &reply, &life->error) == UDFVM_OK
                   ? is_right(((const uint64_t *)reply.data)[3] == i, "a streaming call")
                   : ended(life, "a streaming call");
    }
    udfvm_pool_give(life->pool, life->vm);
    life->vm = NULL;
    return done;
}

static bool works(struct life *life)
{
    life->pool = udfvm_pool_create(life->base, 2, &files, &life->error);
    if (!life->pool)
        return ended(life, "making a pool");
    for (int round = 0; round < 3; round++)
        if (!calls(life, life->layer, SEALED + 1) || !calls(life, life->base, 1))
            return false;
    if (!asks(life) || !sends_much(life) || !streams(life) || !calls(life, life->layer, SEALED + 1))
        return false;
    udfvm_pool_shrink_old(life->pool, 0);
    udfvm_pool_trim(life->pool, 1);
    return calls(life, life->layer, SEALED + 1);
}

/* ---- Every step ---- */

static int count_descriptors(void)
{
    int count = 0;
    DIR *opened = opendir("/proc/self/fd");
    while (opened && readdir(opened))
        count++;
    closedir(opened);
    return count;
}

static void end(struct life *life)
{
    udfvm_vm_close(life->vm);
    udfvm_pool_close(life->pool);
    udfvm_image_close(life->layer);
    udfvm_image_close(life->base);
}

static void remove_files(void)
{
    static const char *const kinds[] = { "base", "layer", "base.verified", "layer.verified" };
    char path[512];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        path_of(path, kinds[i]);
        unlink(path);
    }
}

/* False where the life has so few steps that all of it succeeded. */
static bool live(long step, bool goes_on)
{
    struct life life = { .base = NULL };
    remove_files();
    atomic_store(&failed_in_any, false);
    atomic_store(&failing_goes_on, goes_on);
    atomic_store(&left_of_all, step);
    const bool whole = builds(&life) && works(&life);
    atomic_store(&left_of_all, -1);
    const bool more = atomic_load(&failed_in_any);
    check(more || whole, "a life in which nothing failed: %s", life.error.message);
    for (int i = 0; i < 2 && life.pool; i++)
        calls(&life, life.layer, SEALED + 1);
    check(!life.pool || whole || calls(&life, life.base, 1), "the next call: %s",
          life.error.message);
    end(&life);
    return more;
}

static void at_each_step(bool goes_on)
{
    const int before = failures;
    live(1000000, false); /* what is made once in a process is there */
    const int descriptors = count_descriptors();
    const long mapped = mapped_bytes;
    long step = 0;
    for (bool more = true; more && step < 100000; step++) {
        const int failures_before = failures;
        more = live(step, goes_on);
        check_number(count_descriptors() == descriptors, "descriptors leak", count_descriptors());
        check_number(mapped_bytes == mapped, "mappings leak", mapped_bytes - mapped);
        if (failures != failures_before)
            printf("at step %ld, %s%s\n", step, more ? failed_call : "none",
                   goes_on ? " and all after it" : "");
        fflush(stdout);
    }
    remove_files();
    check(access(directory, F_OK) == 0 && rmdir(directory) == 0, "files were left");
    check(mkdir(directory, 0700) == 0, "the directory");
    printf("%s, %ld steps: %s\n", goes_on ? "from each step on" : "at each step", step,
           failures == before ? "holds" : "FAILED");
    fflush(stdout);
}

int main(int count, char **arguments)
{
    const int fd = count > 1 ? __real_open(arguments[1], O_RDONLY) : -1;
    const ssize_t length = fd < 0 ? -1 : __real_read(fd, kernel, sizeof kernel);
    if (length <= 0 || !mkdtemp(directory))
        return 2;
    close(fd);
    kernel_length = (size_t)length;
    at_each_step(count > 2);
    rmdir(directory);
    return failures != 0;
}
