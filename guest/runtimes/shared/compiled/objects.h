/* Finds the mapped file at an address, whoever mapped it. It reads /proc/self/maps, for reports of
 * crashes, and allocates nothing. */
#ifndef UDFVM_COMPILED_OBJECTS_H
#define UDFVM_COMPILED_OBJECTS_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A loaded ELF file. */
struct object {
    char path[256];
    uint64_t bias;              /* added to addresses as linked */
    const Elf64_Phdr *segments; /* in the object's memory */
    size_t segment_count;
};

/* Reads the maps anew. */
void objects_read(void);
/* Finds the object whose mapping holds the address. */
bool object_at(uint64_t address, struct object *object);
/* Returns true if something is mapped there. */
bool address_is_mapped(uint64_t address, uint64_t length);

/* An object's file, mapped for reading. */
struct object_file {
    const uint8_t *bytes;
    uint64_t length;
};

/* Maps the file. The result has no bytes if the file cannot be read. */
struct object_file object_file_map(const char *path);
void object_file_unmap(struct object_file *file);
/* Returns `length` bytes at an offset; NULL if the file does not have so many. */
const void *object_file_part(const struct object_file *file, uint64_t offset, uint64_t length);
/* Its header, if it is an ELF file for x86-64. */
const Elf64_Ehdr *object_file_header(const struct object_file *file);
/* Returns a section's header; NULL if there is no section of that number. */
const Elf64_Shdr *object_file_section(const struct object_file *file, const Elf64_Ehdr *header,
                                      uint32_t index);

#endif
