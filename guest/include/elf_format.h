/* ELF files as the guest kernel and the runtimes read them (System V ABI, chapters 4 and 5;
 * supplement for x86-64): every number of a file is checked before it is used. Mapping is left to
 * whoever reads. Include <elf.h> or <linux/elf.h>, and a header with PROT_x, before.
 */
#ifndef UDFVM_ELF_FORMAT_H
#define UDFVM_ELF_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_PAGE          4096ull
#define ELF_MAX_SEGMENTS  64u
#define ELF_MAX_ALIGNMENT (1ull << 30)
/* Addresses below are canonical, and no sum of two of them overflows. */
#define ELF_ADDRESS_LIMIT (1ull << 47)

/* A loadable file. */
struct elf_file {
    Elf64_Ehdr header;
    Elf64_Phdr segments[ELF_MAX_SEGMENTS];
    uint64_t low, high; /* bounds of its loadable segments, as linked, in whole pages */
    uint64_t align;
    char interpreter[256]; /* path; empty: none */
};

/* Reads all of `length` bytes at an offset of a file, or fails. */
typedef bool elf_read(void *source, uint64_t offset, void *to, size_t length);

/* What a segment is mapped to. */
struct elf_mapping {
    uint64_t start, file_length, file_offset; /* of the file: from a whole page on */
    uint64_t clear, clear_length;             /* zeros behind them, on their last page */
    uint64_t zeros, zeros_length;             /* whole pages of zeros */
    int protection;
};

static inline uint64_t elf_page_down(uint64_t address)
{
    return address & ~(ELF_PAGE - 1);
}

static inline uint64_t elf_page_up(uint64_t address)
{
    return elf_page_down(address + ELF_PAGE - 1);
}

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

/* It has between 1 and `limit` program headers, of the usual size. */
static inline bool elf_has_segments(const Elf64_Ehdr *header, unsigned limit)
{
    return header->e_phentsize == sizeof(Elf64_Phdr) && header->e_phnum > 0 &&
           header->e_phnum <= limit;
}

static inline bool elf_is_loaded(const Elf64_Phdr *segment)
{
    return segment->p_type == PT_LOAD && segment->p_memsz > 0;
}

/* A loadable segment can be mapped by whole pages, at addresses that the processor has. */
static inline bool elf_segment_is_sound(const Elf64_Phdr *segment)
{
    return segment->p_filesz <= segment->p_memsz && segment->p_vaddr < ELF_ADDRESS_LIMIT &&
           segment->p_memsz < ELF_ADDRESS_LIMIT && segment->p_offset < ELF_ADDRESS_LIMIT &&
           ((segment->p_vaddr ^ segment->p_offset) & (ELF_PAGE - 1)) == 0 &&
           segment->p_align <= ELF_MAX_ALIGNMENT &&
           (segment->p_align & (segment->p_align - 1)) == 0;
}

static inline const char *elf_read_headers(struct elf_file *file, elf_read *read, void *source)
{
    const Elf64_Ehdr *header = &file->header;
    if (!read(source, 0, &file->header, sizeof file->header) || !elf_has_magic(header))
        return "is not an ELF file";
    if (!elf_is_x86_64(header))
        return "is not for x86-64 (64 bits): build it for x86_64-linux";
    if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
        return "is neither an executable nor a shared object: link it";
    if (!elf_has_segments(header, ELF_MAX_SEGMENTS) || header->e_phoff >= ELF_ADDRESS_LIMIT ||
        !read(source, header->e_phoff, file->segments, header->e_phnum * sizeof(Elf64_Phdr)))
        return "has bad program headers";
    return NULL;
}

static inline const char *elf_measure(struct elf_file *file)
{
    file->low = UINT64_MAX;
    file->high = 0;
    file->align = ELF_PAGE;
    for (size_t i = 0; i < file->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &file->segments[i];
        if (!elf_is_loaded(segment))
            continue;
        if (!elf_segment_is_sound(segment) || segment->p_vaddr < file->high)
            return "has bad segments";
        if (file->low == UINT64_MAX)
            file->low = elf_page_down(segment->p_vaddr);
        file->high = segment->p_vaddr + segment->p_memsz;
        file->align = segment->p_align > file->align ? segment->p_align : file->align;
    }
    file->high = elf_page_up(file->high);
    return file->high ? NULL : "has nothing to load";
}

static inline const char *elf_read_interpreter(struct elf_file *file, elf_read *read, void *source)
{
    for (size_t i = 0; i < file->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &file->segments[i];
        const uint64_t length = segment->p_filesz;
        if (segment->p_type != PT_INTERP)
            continue;
        if (length == 0 || length > sizeof file->interpreter ||
            segment->p_offset >= ELF_ADDRESS_LIMIT ||
            !read(source, segment->p_offset, file->interpreter, length) ||
            file->interpreter[length - 1] != 0)
            return "has a bad interpreter path";
        return NULL;
    }
    file->interpreter[0] = 0;
    return NULL;
}

/* Reads and checks a file. Returns NULL, or what is wrong with it. */
static inline const char *elf_open(struct elf_file *file, elf_read *read, void *source)
{
    const char *error = elf_read_headers(file, read, source);
    error = error ? error : elf_measure(file);
    return error ? error : elf_read_interpreter(file, read, source);
}

/* What to map for a segment of a file that lies `bias` above its own addresses. */
static inline struct elf_mapping elf_map_segment(const Elf64_Phdr *segment, uint64_t bias)
{
    const uint64_t address = segment->p_vaddr + bias, file_end = address + segment->p_filesz;
    const uint64_t start = elf_page_down(address), inside = address - start;
    const uint64_t end = elf_page_up(address + segment->p_memsz);
    const uint64_t file_pages_end = segment->p_filesz ? elf_page_up(file_end) : start;
    struct elf_mapping mapping = {
        .start = start,
        .zeros = file_pages_end,
        .zeros_length = end > file_pages_end ? end - file_pages_end : 0,
        .protection = (segment->p_flags & PF_R ? PROT_READ : 0) |
                      (segment->p_flags & PF_W ? PROT_WRITE : 0) |
                      (segment->p_flags & PF_X ? PROT_EXEC : 0),
    };
    if (segment->p_filesz) {
        mapping.file_length = inside + segment->p_filesz;
        mapping.file_offset = segment->p_offset - inside;
    }
    if (segment->p_memsz > segment->p_filesz && file_pages_end > file_end) {
        mapping.clear = file_end;
        mapping.clear_length = file_pages_end - file_end;
    }
    return mapping;
}

/* The address of the program headers, in a file that is mapped; 0 where no segment holds them. */
static inline uint64_t elf_headers_address(const struct elf_file *file, uint64_t bias)
{
    const uint64_t offset = file->header.e_phoff;
    for (size_t i = 0; i < file->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &file->segments[i];
        if (segment->p_type == PT_LOAD && offset >= segment->p_offset &&
            offset - segment->p_offset < segment->p_filesz)
            return segment->p_vaddr + (offset - segment->p_offset) + bias;
    }
    return 0;
}

#endif
