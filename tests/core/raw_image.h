/* The image of the raw guest, VMs of it, and calls of them, for programs that test one idea each.
 * They print what holds and what failed. */
#ifndef RAW_IMAGE_H
#define RAW_IMAGE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../guest/include/udfvm_abi.h"
#include "api.h"
#include "check.h"
#include "raw_guest.h"

#define MEMORY  (32ull << 20)
#define WINDOW  (4ull << 20)
#define SCRATCH (6ull << 20)

static udfvm_image *image;
static const char *guest_path;
static int quick; /* fewer rounds, for valgrind */

struct outcome {
    int code;
    uint64_t length;
    uint64_t words[512];
    struct udfvm_error error;
};

static inline struct outcome fresh(udfvm_vm *vm, const struct udfvm_limits *limits,
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

static inline udfvm_vm *open_vm(udfvm_image *of)
{
    struct udfvm_error error;
    udfvm_vm *vm = udfvm_vm_open(of, NULL, &error);
    if (!vm) {
        printf("cannot open a VM: %s\n", error.message);
        exit(1);
    }
    return vm;
}

static inline udfvm_image *sealed(udfvm_vm *vm, udfvm_image *base, const char *metadata)
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

static inline ssize_t read_raw_guest(char *kernel, size_t capacity)
{
    int fd = open(guest_path, O_RDONLY);
    ssize_t length = read(fd, kernel, capacity);
    close(fd);
    if (length <= 0) {
        printf("cannot read the raw guest: %s\n", guest_path);
        exit(1);
    }
    return length;
}

static const struct udfvm_config raw_config = { .memory = MEMORY,
                                                .input_window = WINDOW,
                                                .output_window = WINDOW,
                                                .scratch = SCRATCH };

static inline udfvm_vm *boot_raw_guest(void)
{
    static char kernel[1 << 20];
    const size_t length = (size_t)read_raw_guest(kernel, sizeof kernel);
    const struct udfvm_boot boot = { .memory_end = MEMORY };
    struct udfvm_error error;
    udfvm_vm *vm = udfvm_vm_boot(&raw_config, kernel, length, &boot, sizeof boot, NULL, NULL, NULL,
                                 &error);
    if (!vm) {
        printf("cannot boot the raw guest: %s\n", error.message);
        exit(1);
    }
    return vm;
}

static inline uint64_t exchange(udfvm_vm *vm)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    const uint64_t request = RAW_COUNT;
    int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, &request, 8, NULL, &reply, &error);
    check(code == 0 && reply.length == 8, "count: %s", error.message);
    return code == 0 ? *(const uint64_t *)reply.data : 0;
}

static inline udfvm_image *layer(uint64_t value)
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

/* Usage of each such program: raw_guest.bin [--quick]. */
static inline int run_on_raw_image_but(int count, char **arguments, const struct test *tests,
                                       size_t test_count, void (*left_out_if_quick)(void))
{
    if (count < 2)
        return 2;
    guest_path = arguments[1];
    quick = count > 2;
    udfvm_vm *vm = boot_raw_guest();
    image = sealed(vm, NULL, "raw");
    udfvm_vm_close(vm);
    run_tests(tests, test_count, quick ? left_out_if_quick : NULL);
    udfvm_image_close(image);
    return failures != 0;
}

static inline int run_on_raw_image(int count, char **arguments, const struct test *tests,
                                   size_t test_count)
{
    return run_on_raw_image_but(count, arguments, tests, test_count, NULL);
}

#endif
