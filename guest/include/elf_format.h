/* Checks of ELF headers that the guest kernel and the runtimes share (System V ABI, chapters 4 and
 * 5; supplement for x86-64). Include <elf.h> or <linux/elf.h> before.
 */
#ifndef UDFVM_ELF_FORMAT_H
#define UDFVM_ELF_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

/* Addresses below are canonical, and no sum of two of them overflows. */
#define ELF_ADDRESS_LIMIT (1ull << 47)

static inline bool elf_has_magic(const Elf64_Ehdr *header)
{
    const unsigned char *magic = header->e_ident;
    return magic[0] == ELFMAG0 && magic[1] == ELFMAG1 && magic[2] == ELFMAG2 && magic[3] == ELFMAG3;
}

static inline bool elf_is_x86_64(const Elf64_Ehdr *header)
{
    return header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_ident[EI_DATA] == ELFDATA2LSB &&
           header->e_machine == EM_X86_64;
}

static inline bool elf_is_loadable(const Elf64_Ehdr *header)
{
    return header->e_type == ET_EXEC || header->e_type == ET_DYN;
}

/* It has between 1 and `limit` program headers, of the usual size. */
static inline bool elf_has_segments(const Elf64_Ehdr *header, unsigned limit)
{
    return header->e_phentsize == sizeof(Elf64_Phdr) && header->e_phnum > 0 &&
           header->e_phnum <= limit;
}

/* A loadable segment can be mapped by whole pages, at addresses that the processor has. */
static inline bool elf_segment_is_sound(const Elf64_Phdr *segment, uint64_t page_size,
                                        uint64_t max_alignment)
{
    return segment->p_filesz <= segment->p_memsz && segment->p_vaddr < ELF_ADDRESS_LIMIT &&
           segment->p_memsz < ELF_ADDRESS_LIMIT && segment->p_offset < ELF_ADDRESS_LIMIT &&
           ((segment->p_vaddr ^ segment->p_offset) & (page_size - 1)) == 0 &&
           segment->p_align <= max_alignment && (segment->p_align & (segment->p_align - 1)) == 0;
}

#endif
