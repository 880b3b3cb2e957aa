/* Hypercalls of any number with any arguments, the files and host functions behind them, output,
 * crash reports, seals and the ends of calls. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "udfvm_abi.h"

#include "guest.h"

#define MAX_EXCHANGES 4u

static udfvm_image *base;
static udfvm_vm *vm;

/* ---- What the embedder offers. It answers with what the input says. ---- */

static int64_t file_open(void *context, const char *path, struct udfvm_stat *stat)
{
    stat->size = strlen(path);
    return input_byte(context) & 1 ? -ENOENT : input_byte(context);
}

static int64_t file_stat(void *context, const char *path, int follow, struct udfvm_stat *stat)
{
    stat->size = strlen(path) + (uint64_t)follow;
    return input_byte(context) & 1 ? -EACCES : 0;
}

static int64_t filled(void *context, void *buffer, uint64_t length)
{
    const uint64_t got = input_number(context);
    const uint64_t written = got < length ? got : length;
    memset(buffer, 'r', written < 65536 ? written : 65536);
    return got <= INT64_MAX ? (int64_t)got : -EIO;
}

static int64_t file_read(void *context, int64_t handle, uint64_t offset, void *buffer,
                         uint64_t length)
{
    (void)handle, (void)offset;
    return filled(context, buffer, length);
}

static int64_t file_close(void *context, int64_t handle)
{
    (void)context, (void)handle;
    return 0;
}

static int64_t file_list(void *context, const char *path, uint64_t first, void *buffer,
                         uint64_t length)
{
    (void)first;
    read_all(path, strlen(path));
    return filled(context, buffer, length);
}

static int64_t file_readlink(void *context, const char *path, char *buffer, uint64_t length)
{
    read_all(path, strlen(path));
    return filled(context, buffer, length);
}

static int64_t host_call(void *context, const char *name, const void *arguments, uint64_t length,
                         void *reply, uint64_t capacity, char *failure)
{
    read_all(arguments, length);
    read_all(name, strlen(name));
    switch (input_byte(context) % 4) {
    case 0:
        return UDFVM_NO_HOST_FUNCTION;
    case 1:
        memset(failure, 'f', 255);
        failure[255] = 0;
        return UDFVM_HOST_FUNCTION_FAILED;
    case 2:
        return (int64_t)(capacity + 1);
    default:
        memset(reply, 'h', capacity);
        return (int64_t)capacity;
    }
}

/* The parts of a log lie one after the other. */
static int take_log(void *context, const struct udfvm_log *log, int failed, char *failure)
{
    uint64_t end = 0;
    for (uint64_t i = 0; i < log->part_count; i++) {
        const struct udfvm_log_part *part = &log->parts[i];
        if (part->end <= end || part->end > log->length || part->stream < 1 || part->stream > 2)
            defect("a log with parts that do not lie one after the other");
        end = part->end;
    }
    if (end != log->length || log->given > log->length)
        defect("a log of another length than its parts");
    read_all(log->text, log->length);
    failure[0] = 0;
    return !failed && input_byte(context) == 255;
}

static const struct udfvm_files files = { &guest.input, file_open, file_stat,    file_read,
                                          file_close,   file_list, file_readlink };
static const struct udfvm_host_functions functions = { &guest.input, host_call, 8 };
static const struct udfvm_log_sink sink = { &guest.input, take_log };

static struct udfvm_limits take_limits(struct input *input)
{
    const uint8_t flags = input_byte(input);
    return (struct udfvm_limits){
        .max_output = flags & 1 ? input_number(input) : 0,
        .max_log = flags & 2 ? input_number(input) : 4096,
        .strict_log = flags >> 2 & 1,
        .files = !(flags >> 3 & 1),
        .deterministic = flags >> 4 & 1,
        .host_functions = flags >> 5 & 1 ? NULL : &functions,
        .log_sink = flags >> 6 & 1 ? NULL : &sink,
    };
}

/* ---- Calls ---- */

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    const int fd = guest_seal_base();
    base = udfvm_image_open(fd, NULL, NULL);
    close(fd);
    vm = base ? udfvm_vm_open(base, &files, NULL) : NULL;
    if (!vm)
        defect("no VM");
    return 0;
}

/* A seal that the guest asked for, and the layer that becomes of it. */
static void seal_layer(void)
{
    struct udfvm_error error;
    const int fd = memfd_create("udfvm-fuzz", MFD_CLOEXEC);
    if (udfvm_vm_seal(vm, fd, "{}", 2, &error) == UDFVM_OK) {
        udfvm_image *layer = udfvm_image_open(fd, base, &error);
        if (!layer || udfvm_image_verify(layer, &error) != UDFVM_OK)
            defect("a layer that was sealed cannot be opened");
        udfvm_image_close(layer);
    }
    close(fd);
}

static void read_reply(const struct udfvm_reply *reply, const struct udfvm_limits *limits)
{
    if (reply->sealed) {
        seal_layer();
        return;
    }
    if (reply->status > UDFVM_STATUS_ERROR ||
        (limits->max_output && reply->length > limits->max_output))
        defect("a reply past its limits");
    if (reply->length && memcmp(reply->data, vm->machine.output, reply->length) != 0)
        defect("a reply that is not what the guest wrote");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    guest = (struct guest){ .kind = GUEST_OBEYS, .input = { data, size } };
    const struct udfvm_limits limits = take_limits(&guest.input);
    const bool loads = input_byte(&guest.input) & 1;
    for (unsigned i = 0; i < MAX_EXCHANGES && (i == 0 || guest.input.left); i++) {
        if (udfvm_vm_call(vm, loads ? UDFVM_REQUEST_LOAD : UDFVM_REQUEST_ROW, "x", 1, &limits,
                          &reply, &error) != UDFVM_OK) {
            if (error.code == UDFVM_OK || memchr(error.message, 0, sizeof error.message) == NULL)
                defect("a failure that does not say why");
            break;
        }
        read_reply(&reply, &limits);
    }
    if (udfvm_vm_restore(vm, &error) != UDFVM_OK)
        defect(error.message);
    guest_check_restored(vm);
    return 0;
}
