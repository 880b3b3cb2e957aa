/* Images whose sealed state lies, with digests that are right: registers, flags, the address where
 * a call goes on, segment bases, vector state. Their calls end, and VMs on the honest image are
 * right. Usage: sealed_states raw_guest.bin COUNT. Prints what failed. */
#include "image/image.h"
#include "snapshot.h"

static uint64_t state = 0x243f6a8885a308d3;
static udfvm_image *honest;

static uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static uint64_t somewhere(void)
{
    static const uint64_t places[] = { 0,
                                       SYSTEM_GATES,
                                       SYSTEM_STUBS,
                                       SYSTEM_XSAVE,
                                       SYSTEM_PML4,
                                       UDFVM_KERNEL_BASE,
                                       UDFVM_PROGRAM_BASE,
                                       UDFVM_INPUT_BASE,
                                       UDFVM_OUTPUT_BASE,
                                       1ull << 47,
                                       UINT64_MAX };
    return any() % 3 ? places[any() % (sizeof places / sizeof *places)] : any();
}

/* Vector state: any bytes, or a header that no processor accepts. */
static void lie_in_vectors(struct sealed_state *sealed)
{
    uint64_t *const words = (uint64_t *)sealed->xsave;
    switch (any() % 4) {
    case 0:
        for (size_t i = 0; i < sizeof sealed->xsave / 8; i++)
            words[i] = any();
        break;
    case 1:
        words[64] = any(); /* XSTATE_BV */
        break;
    case 2:
        words[65 + any() % 7] = any(); /* XCOMP_BV, and what is reserved */
        break;
    default:
        words[3] = any(); /* MXCSR and its mask */
    }
}

static void lie(struct sealed_state *sealed)
{
    uint64_t *const registers = (uint64_t *)&sealed->registers;
    switch (any() % 6) {
    case 0:
        registers[any() % (sizeof sealed->registers / 8)] = somewhere();
        break;
    case 1:
        sealed->registers.rflags = any();
        break;
    case 2:
        sealed->resume_rip = somewhere();
        break;
    case 3:
        *(any() % 2 ? &sealed->fs_base : &sealed->gs_base) = somewhere();
        break;
    case 4:
        sealed->xsave_length = any();
        break;
    default:
        lie_in_vectors(sealed);
    }
}

static udfvm_image *forge_image(int fd, const struct image_header *header)
{
    static struct image_header changed;
    struct udfvm_error error;
    changed = *header;
    const uint64_t lies = 1 + any() % 3;
    for (uint64_t i = 0; i < lies; i++)
        lie(&changed.state);
    udfvm_image_header_digest(&changed, changed.digest);
    check(pwrite(fd, &changed, sizeof changed, 0) == (ssize_t)sizeof changed, "writing");
    return udfvm_image_open(fd, NULL, &error);
}

/* Any end but one that the host is to blame for. */
static void use(udfvm_image *lying, unsigned round)
{
    struct udfvm_error error = { .code = UDFVM_OK };
    struct udfvm_reply reply;
    udfvm_vm *vm = udfvm_vm_open(lying, NULL, &error);
    check(vm || error.message[0], "round %u: no VM, for no reason", round);
    for (int i = 0; vm && i < 2; i++) {
        const int code = call(vm, &soon, &reply, RAW_COUNT, 0, 0, 0);
        check(code == UDFVM_OK || code == UDFVM_E_PROTOCOL || code == UDFVM_E_TIMEOUT,
              "round %u: code %d", round, code);
        check(udfvm_vm_restore(vm, &error) == UDFVM_OK, "round %u: restore", round);
    }
    udfvm_vm_close(vm);
}

static void check_honest(udfvm_vm *vm, unsigned round)
{
    struct udfvm_reply reply;
    check(call(vm, &usual, &reply, RAW_COUNT, 0, 0, 0) == UDFVM_OK &&
              *(const uint64_t *)reply.data == 1 && udfvm_vm_restore(vm, NULL) == UDFVM_OK,
          "round %u: the honest image", round);
}

int main(int count, char **arguments)
{
    if (count < 3)
        return 2;
    static struct image_header header;
    build(arguments[1]);
    honest = image;
    udfvm_vm *vm = open_vm();
    const unsigned rounds = (unsigned)strtoul(arguments[2], NULL, 10);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", honest->fd);
    const int fd = open(path, O_RDWR);
    check(pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header, "reading the image");
    FILE *file = tmpfile();
    char command[160];
    snprintf(command, sizeof command, "cp --sparse=always /proc/%d/fd/%d /proc/%d/fd/%d", getpid(),
             fd, getpid(), fileno(file));
    check(system(command) == 0, "copying the image");
    for (unsigned round = 0; round < rounds && failures == 0; round++) {
        udfvm_image *lying = forge_image(fileno(file), &header);
        check(lying != NULL, "round %u: not opened", round);
        if (lying)
            use(lying, round);
        udfvm_image_close(lying);
        check_honest(vm, round);
    }
    udfvm_vm_close(vm);
    fclose(file);
    close(fd);
    printf("sealed states: %s\n", failures ? "FAILED" : "holds");
    return failures != 0;
}
