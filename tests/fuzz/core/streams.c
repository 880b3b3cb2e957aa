/* Replies of streaming calls: headers that lie, come twice, late or not at all, or change while
 * they are read; and hypercalls in their midst. */
#include <string.h>
#include <unistd.h>

#include "udfvm_abi.h"

#include "guest.h"

#define MAX_EXCHANGES 6u
#define TIMEOUT_NS    4000000u /* of a request that has no reply */

static udfvm_image *base;
static udfvm_vm *vm;

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    const int fd = guest_seal_base();
    base = udfvm_image_open(fd, NULL, NULL);
    close(fd);
    vm = base ? udfvm_vm_open(base, NULL, NULL) : NULL;
    if (!vm)
        defect("no VM");
    return 0;
}

static void read_reply(const struct udfvm_reply *reply, const struct udfvm_limits *limits)
{
    if (reply->status > UDFVM_STATUS_ERROR || reply->length > limits->max_output)
        defect("a reply past its limits");
    read_all(reply->data, reply->length);
}

/* The caller's requests are of many sizes, in the call page and in the window. */
static int exchange(const struct udfvm_limits *limits, unsigned number)
{
    static const char request[300] = "a request";
    struct udfvm_reply reply;
    const uint64_t length = number % 2 ? sizeof request : number + 1;
    int code = udfvm_vm_stream_send(vm, UDFVM_REQUEST_ROW, request, length, limits, NULL);
    if (code == UDFVM_OK)
        code = udfvm_vm_stream_receive(vm, &reply, NULL);
    if (code == UDFVM_OK)
        read_reply(&reply, limits);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct udfvm_reply reply;
    struct udfvm_error error;
    guest = (struct guest){ .kind = GUEST_STREAMS, .input = { data, size } };
    const struct udfvm_limits limits = { .timeout_ns = TIMEOUT_NS,
                                         .max_output = input_byte(&guest.input) * 64u + 1,
                                         .max_log = 64 };
    const unsigned exchanges = 1 + input_byte(&guest.input) % MAX_EXCHANGES;
    if (udfvm_vm_call(vm, UDFVM_REQUEST_ROW, "x", 1, NULL, &reply, &error) != UDFVM_OK)
        defect(error.message);
    for (unsigned i = 0; i < exchanges && exchange(&limits, i) == UDFVM_OK; i++)
        ;
    if (udfvm_vm_restore(vm, &error) != UDFVM_OK)
        defect(error.message);
    guest_check_restored(vm);
    return 0;
}
