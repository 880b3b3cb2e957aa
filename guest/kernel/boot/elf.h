/* Loading ELF programs. */
#ifndef UDFVM_ELF_H
#define UDFVM_ELF_H

#include "kernel.h"

struct loaded_elf {
    uint64_t bias; /* added to the file's addresses */
    uint64_t entry;
    uint64_t headers; /* address of the program headers, 0 where they are not loaded */
    uint64_t header_count;
    uint64_t end;          /* of the highest segment, a whole page */
    char interpreter[256]; /* path, empty for a static program */
};

#define ELF_ANYWHERE UINT64_MAX

/* Maps a program at its own addresses or, if it is position-independent, as low as possible from
 * `lowest` on; an interpreter with ELF_ANYWHERE. Returns NULL, or what is wrong with the file. */
const char *elf_load(const char *path, uint64_t lowest, struct loaded_elf *loaded);

#endif
