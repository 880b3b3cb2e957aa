/* Data: files that guests read where the host maps them. See data.c. */
#ifndef UDFVM_MACHINE_DATA_H
#define UDFVM_MACHINE_DATA_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "udfvm_abi.h"

#include "api.h"

struct machine;

/* Shared by all VMs that have it. `mapped` is [UDFVM_DATA_BASE, UDFVM_DATA_BASE + bytes) of each:
 * struct udfvm_data_directory, then the files, each from a multiple of 2 MiB on. Nobody can write
 * to it, the host neither; and nobody in this process reads it, because a file may become shorter.
 */
struct udfvm_data {
    atomic_int references;
    uint64_t bytes;
    const uint8_t *mapped;
    size_t count;
    struct data_file {
        int fd;
        char name[UDFVM_MAX_DATA_NAME + 1];
        uint64_t address, size;
        struct timespec modified;
    } files[];
};

/* Fails if guests on a processor have no physical addresses for data, which lie below 2^39. */
int udfvm_data_check_processor(unsigned physical_bits, struct udfvm_error *error);

/* Lets the guest of a machine read data. It has none yet, and does not run. The machine keeps a
 * reference. */
int udfvm_machine_give_data(struct machine *machine, struct udfvm_data *data,
                            struct udfvm_error *error);

#endif
