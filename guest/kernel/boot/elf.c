/* ELF files (System V ABI, chapter 5; x86-64 supplement): every number in them is checked before it
 * is used. */
#include "boot/elf.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "rewrite/rewrite.h"
#include "vfs/vfs.h"

#include <linux/elf.h>
#include <linux/fcntl.h>

#include "elf_format.h"

#define MAX_SEGMENTS  64u
#define MAX_ALIGNMENT (1ull << 30)

struct elf_file {
    struct file *file;
    struct backing backing;
    Elf64_Ehdr header;
    Elf64_Phdr segments[MAX_SEGMENTS];
    uint64_t low, high; /* bounds of the loadable segments */
    uint64_t align;
};

static bool read_exactly(struct file *file, uint64_t offset, void *buffer, size_t length)
{
    return file_read_at(file, offset, buffer, length) == (int64_t)length;
}

static const char *read_headers(struct elf_file *elf)
{
    const Elf64_Ehdr *header = &elf->header;
    if (!read_exactly(elf->file, 0, &elf->header, sizeof elf->header) || !elf_has_magic(header))
        return "is not an ELF file";
    if (!elf_is_x86_64(header))
        return "is not an x86-64 ELF file";
    if (!elf_is_loadable(header))
        return "is not an executable ELF file";
    if (!elf_has_segments(header, MAX_SEGMENTS) ||
        !read_exactly(elf->file, header->e_phoff, elf->segments,
                      header->e_phnum * sizeof(Elf64_Phdr)))
        return "has bad ELF program headers";
    return NULL;
}

/* Checks the loadable segments and finds the bounds of the image. */
static const char *measure(struct elf_file *elf)
{
    elf->low = UINT64_MAX;
    elf->high = 0;
    elf->align = PAGE_SIZE;
    for (int i = 0; i < elf->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        if (segment->p_type != PT_LOAD || segment->p_memsz == 0)
            continue;
        if (!elf_segment_is_sound(segment, PAGE_SIZE, MAX_ALIGNMENT) ||
            segment->p_vaddr < elf->high)
            return "has bad ELF segments";
        elf->low = minimum(elf->low, page_down(segment->p_vaddr));
        elf->high = segment->p_vaddr + segment->p_memsz;
        elf->align = maximum(elf->align, segment->p_align);
    }
    return elf->high ? NULL : "has no loadable ELF segment";
}

static int protection_of(const Elf64_Phdr *segment)
{
    return (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
           (segment->p_flags & PF_X ? PROT_EXEC : 0);
}

static bool map_segment(const struct elf_file *elf, const Elf64_Phdr *segment, uint64_t bias)
{
    const int flags = MAP_PRIVATE | MAP_FIXED, protection = protection_of(segment);
    const uint64_t start = page_down(segment->p_vaddr + bias),
                   inside = segment->p_vaddr & PAGE_MASK;
    const uint64_t file_end = segment->p_vaddr + bias + segment->p_filesz,
                   end = page_up(segment->p_vaddr + bias + segment->p_memsz);
    const uint64_t mapped_end = segment->p_filesz ? page_up(file_end) : start;
    if (segment->p_filesz && memory_map(start, inside + segment->p_filesz, protection, flags,
                                        &elf->backing, segment->p_offset - inside) < 0)
        return false;
    if (segment->p_memsz > segment->p_filesz && mapped_end > file_end)
        memset((void *)file_end, 0, mapped_end - file_end);
    return end <= mapped_end || memory_map(mapped_end, end - mapped_end, protection,
                                           flags | MAP_ANONYMOUS, NULL, 0) >= 0;
}

/* Finds the address of the image. If it may lie anywhere, all of it is reserved, to keep its
 * segments together. */
static bool find_bias(const struct elf_file *elf, uint64_t lowest, uint64_t *bias)
{
    *bias = 0;
    if (elf->header.e_type == ET_EXEC)
        return true;
    if (lowest != ELF_ANYWHERE) {
        *bias = ((lowest + elf->align - 1) & ~(elf->align - 1)) - (elf->low & ~(elf->align - 1));
        return true;
    }
    int64_t at = memory_map(0, elf->high - elf->low, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, NULL, 0);
    *bias = (uint64_t)at - elf->low;
    return at > 0;
}

static uint64_t headers_address(const struct elf_file *elf, uint64_t bias)
{
    const uint64_t offset = elf->header.e_phoff;
    for (int i = 0; i < elf->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        if (segment->p_type == PT_LOAD && offset >= segment->p_offset &&
            offset - segment->p_offset < segment->p_filesz)
            return segment->p_vaddr + (offset - segment->p_offset) + bias;
    }
    return 0;
}

static const char *read_interpreter(const struct elf_file *elf, struct elf_image *image)
{
    for (int i = 0; i < elf->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        if (segment->p_type != PT_INTERP)
            continue;
        if (segment->p_filesz == 0 || segment->p_filesz > sizeof image->interpreter ||
            !read_exactly(elf->file, segment->p_offset, image->interpreter, segment->p_filesz) ||
            image->interpreter[segment->p_filesz - 1] != 0)
            return "has a bad ELF interpreter path";
        break;
    }
    return NULL;
}

static void rewrite_text(const struct elf_file *elf, uint64_t bias)
{
    for (int i = 0; i < elf->header.e_phnum && elf->backing.constant; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        const uint64_t start = page_down(segment->p_vaddr + bias);
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) && segment->p_filesz)
            rewrite_syscalls(start, page_up(segment->p_vaddr + bias + segment->p_filesz) - start);
    }
}

static const char *load(struct elf_file *elf, uint64_t lowest, struct elf_image *image)
{
    const char *error = read_headers(elf);
    error = error ? error : measure(elf);
    error = error || lowest == ELF_ANYWHERE ? error : read_interpreter(elf, image);
    if (error)
        return error;
    if (!find_bias(elf, lowest, &image->bias))
        return "does not fit the memory of the VM";
    for (int i = 0; i < elf->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        if (segment->p_type == PT_LOAD && segment->p_memsz &&
            !map_segment(elf, segment, image->bias))
            return "does not fit the memory of the VM, or could not be read";
    }
    rewrite_text(elf, image->bias);
    image->entry = elf->header.e_entry + image->bias;
    image->headers = headers_address(elf, image->bias);
    image->header_count = elf->header.e_phnum;
    image->end = elf->high + image->bias;
    return NULL;
}

const char *elf_load(const char *path, uint64_t lowest, struct elf_image *image)
{
    int64_t failure = 0;
    struct elf_file *elf = kernel_alloc(sizeof *elf);
    if (!elf)
        return "does not fit the memory of the VM";
    *image = (struct elf_image){ .bias = 0 };
    elf->file = vfs_open(path, O_RDONLY | O_CLOEXEC, 0, &failure);
    const char *error = "cannot be opened";
    if (elf->file) {
        elf->backing = file_backing(elf->file);
        error = load(elf, lowest, image);
        file_put(elf->file);
    }
    kernel_free(elf);
    return error;
}
