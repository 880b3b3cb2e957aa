/* Images of jailed VMs: the process opens them, moves between them and writes them. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/error.h"
#include "jail/cell.h"
#include "jail/memory.h"
#include "jail/open.h"

#define JAIL_SEAL_NS 120000000000ull /* an image may have gigabytes */

/* ---- Opening, and moving between images ---- */

static int send_image(struct cell *cell, struct jail_message *message, unsigned slot,
                      const struct udfvm_image *image, const struct shared_windows *windows,
                      struct udfvm_error *error)
{
    int file = image->fd, files[MAX_JAIL_FILES] = { -1 };
    bool made = false;
    message->slot = slot;
    message->offset = image->offset;
    message->bytes = image->mapped;
    message->files = windows ? 3 : 1;
    if (file < 0) { /* its file is not kept */
        UDFVM_TRY(udfvm_jail_copy("udfvm-layer", image->header, image->mapped, &file, error));
        made = true;
        message->offset = 0;
    }
    files[0] = file;
    if (windows) {
        files[1] = windows->input;
        files[2] = windows->output;
    }
    const int code = udfvm_cell_operate(cell, message, files, JAIL_SOON_NS, error);
    if (made)
        close(file);
    if (code == UDFVM_OK)
        memcpy(cell->known[slot], image->header->digest, sizeof cell->known[slot]);
    return code;
}

int udfvm_cell_open(struct cell *cell, const struct shared_windows *windows,
                    struct udfvm_error *error)
{
    struct jail_message message = { .kind = JAIL_OPEN, .config = cell->vm.config };
    UDFVM_TRY(send_image(cell, &message, 0, cell->vm.memory.image, windows, error));
    cell->next_known = 1;
    cell->vm.tsc_khz = cell->answer.tsc_khz;
    return UDFVM_OK;
}

int udfvm_cell_bind(struct udfvm_vm *vm, struct udfvm_image *image, struct udfvm_error *error)
{
    struct cell *cell = cell_of(vm);
    struct jail_message message = { .kind = JAIL_BIND };
    unsigned slot = 0;
    while (slot < JAIL_IMAGES &&
           memcmp(cell->known[slot], image->header->digest, sizeof cell->known[slot]) != 0)
        slot++;
    message.slot = slot;
    if (slot < JAIL_IMAGES) {
        UDFVM_TRY(udfvm_cell_operate(cell, &message, NULL, JAIL_SOON_NS, error));
    } else { /* the base image stays in the first place */
        slot = cell->next_known;
        UDFVM_TRY(send_image(cell, &message, slot, image, NULL, error));
        cell->next_known = slot + 1 < JAIL_IMAGES ? slot + 1 : 1;
    }
    udfvm_image_retain(image);
    udfvm_image_close(vm->memory.image);
    vm->memory.image = image;
    return UDFVM_OK;
}

/* ---- Sealing ---- */

/* The process writes to a file of memory. What it wrote is copied, and checked where the image is
 * opened. A base image is mostly holes. */
static int copy_image(int from, int to, struct udfvm_error *error)
{
    const off_t size = lseek(from, 0, SEEK_END);
    for (off_t offset = 0; (offset = lseek(from, offset, SEEK_DATA)) >= 0;) {
        const off_t end = lseek(from, offset, SEEK_HOLE);
        if (lseek(to, offset, SEEK_SET) < 0)
            return udfvm_fail_errno(error, "writing an image");
        while (offset < end) {
            const ssize_t sent = sendfile(to, from, &offset, (size_t)(end - offset));
            if (sent <= 0)
                return udfvm_fail_errno(error, "writing an image");
        }
    }
    return ftruncate(to, size) < 0 ? udfvm_fail_errno(error, "sizing an image") : UDFVM_OK;
}

int udfvm_cell_seal(struct udfvm_vm *vm, int fd, const uint8_t *name, const void *metadata,
                    size_t metadata_length, struct udfvm_error *error)
{
    struct cell *cell = cell_of(vm);
    const struct jail_message message = {
        .kind = JAIL_SEAL, .files = 1, .named = name != NULL, .length = metadata_length
    };
    int file = memfd_create("udfvm-sealed", MFD_CLOEXEC);
    if (file < 0)
        return udfvm_fail_errno(error, "making a file of memory");
    int code = metadata_length > MAX_JAIL_DATA - JAIL_NAME_BYTES
                   ? udfvm_fail(error, UDFVM_E_ARGUMENT, "the metadata of an image are too long")
                   : UDFVM_OK;
    if (code == UDFVM_OK) {
        if (name)
            memcpy(cell->data, name, 32);
        memcpy(cell->data + JAIL_NAME_BYTES, metadata, metadata_length);
        code = udfvm_cell_operate(cell, &message, &file, JAIL_SEAL_NS, error);
        if (!udfvm_vm_forked(&cell->vm)) /* a child has not that memory */
            memset(cell->data, 0, JAIL_NAME_BYTES + metadata_length);
    }
    if (code == UDFVM_OK)
        code = copy_image(file, fd, error);
    close(file);
    return code;
}
