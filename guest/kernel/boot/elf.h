/* Loading ELF programs; inside the kernel only. */
#ifndef UDFVM_ELF_H
#define UDFVM_ELF_H

#include "kernel.h"

struct elf_image {
    uint64_t bias; /* added to the file's addresses */
    uint64_t entry;
    uint64_t headers; /* address of the program headers, 0 where they are not loaded */
    uint64_t header_count;
    uint64_t end;          /* of the highest segment */
    char interpreter[256]; /* path, empty for a static program */
};

/* Maps a program (at its place, or, position-independent, at the start of program memory) or its
 * interpreter (anywhere). Returns NULL, or what is wrong with the file. */
const char *elf_load(const char *path, bool is_interpreter, struct elf_image *image);

#endif
