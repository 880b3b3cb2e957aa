/* What tests of pools share: an image of the raw guest, and users who take VMs of a pool and check
 * that they have no past. */
#ifndef POOL_USERS_H
#define POOL_USERS_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../guest/include/udfvm_abi.h"
#include "api.h"
#include "check.h"
#include "raw_guest.h"

#define MEMORY  (16ull << 20)
#define WINDOW  (2ull << 20)
#define THREADS 8u
#define SECOND  1000000000ull

static udfvm_image *image;

static inline udfvm_vm *boot(const char *path)
{
    static char kernel[1 << 20];
    const struct udfvm_config config = { .memory = MEMORY,
                                         .input_window = WINDOW,
                                         .output_window = WINDOW };
    const struct udfvm_boot request = { .memory_end = MEMORY };
    const int fd = open(path, O_RDONLY);
    const ssize_t length = fd < 0 ? -1 : read(fd, kernel, sizeof kernel);
    if (length <= 0)
        exit(2);
    close(fd);
    return udfvm_vm_boot(&config, kernel, (size_t)length, &request, sizeof request, NULL, NULL,
                         NULL, NULL);
}

static inline udfvm_image *sealed(udfvm_vm *vm, udfvm_image *base)
{
    FILE *file = tmpfile();
    check_number(udfvm_vm_seal(vm, fileno(file), "raw", 3, NULL) == UDFVM_OK, "sealing", 0);
    udfvm_image *made = udfvm_image_open(fileno(file), base, NULL);
    fclose(file);
    return made;
}

/* ---- Every operation, in an order of chance ---- */

struct rig {
    udfvm_pool *pool;
    unsigned limit;
    atomic_bool shut;
    atomic_uint answered, lent; /* calls, and replies that were borrowed */
};

/* What a taken VM answers: it was restored, whoever had it before. */
static inline void use(struct rig *rig, udfvm_vm *vm)
{
    static const struct udfvm_limits limits = { .timeout_ns = 60 * SECOND };
    const uint64_t request[] = { RAW_COUNT };
    struct udfvm_reply reply;
    const int code = udfvm_vm_call(vm, UDFVM_REQUEST_ROW, request, sizeof request, &limits, &reply,
                                   NULL);
    check_number(code == UDFVM_OK && *(const uint64_t *)reply.data == 1,
                 "a VM of the pool had a past", code);
    atomic_fetch_add(&rig->answered, 1);
}

static inline void take_and_give(struct rig *rig, uint64_t wait_ns)
{
    struct udfvm_error error;
    const bool was_shut = atomic_load(&rig->shut);
    udfvm_vm *vm = udfvm_pool_take(rig->pool, image, wait_ns, &error);
    if (!vm) {
        check_number(error.code == UDFVM_E_CLOSED || (error.code == UDFVM_E_BUSY && !was_shut),
                     "no VM was taken", error.code);
        return;
    }
    check_number(!was_shut, "a VM was taken from a closed pool", 0);
    use(rig, vm);
    udfvm_pool_give(rig->pool, vm);
}

static inline void check_refused(udfvm_pool *pool, uint64_t wait_ns, int code, const char *what)
{
    struct udfvm_error error = { .code = UDFVM_OK };
    const udfvm_vm *vm = udfvm_pool_take(pool, image, wait_ns, &error);
    check_number(!vm && error.code == code, what, error.code);
}

/* Without the one test where the thread sanitizer watches: it does not support threads that start
 * in children. */
static inline int run_with_image(const char *path, const struct test *tests, size_t test_count,
                                 void (*without)(void))
{
    udfvm_vm *vm = boot(path);
    image = sealed(vm, NULL);
    udfvm_vm_close(vm);
    run_tests(tests, test_count, without);
    udfvm_image_close(image);
    return failures != 0;
}

#endif
