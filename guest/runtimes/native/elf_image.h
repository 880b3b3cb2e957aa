/* ELF files of programs, and of the interpreters (ld.so) that they name: read, checked, mapped. */
#ifndef UDFVM_NATIVE_ELF_IMAGE_H
#define UDFVM_NATIVE_ELF_IMAGE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#include "elf_format.h"

struct elf_image {
    int descriptor;
    struct elf_file file;
    uint64_t bias;   /* added to addresses as linked: 0 until it is mapped */
    bool executable; /* a program, not a shared object */
};

/* Opens and reads a file. Returns false with a failure that begins with `what`. */
bool elf_image_open(struct elf_image *image, const char *path, const char *what);
/* Maps its segments over [low + bias, high + bias), which the caller has reserved. Returns false
 * with a failure. */
bool elf_image_map(struct elf_image *image, uint64_t bias);
void elf_image_close(struct elf_image *image);

#endif
