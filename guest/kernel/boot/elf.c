/* See elf.h. elf_format.h reads and checks the file; here it is mapped and its text rewritten. */
#include "boot/elf.h"
#include "lib/string.h"
#include "mm/alloc.h"
#include "rewrite/rewrite.h"
#include "vfs/vfs.h"

#include <linux/elf.h>
#include <linux/fcntl.h>

#include "elf_format.h"

struct elf_loader {
    struct file *file;
    struct backing backing;
    struct elf_file elf;
};

static bool read_exactly(void *file, uint64_t offset, void *to, size_t length)
{
    return file_read_at(file, offset, to, length) == (int64_t)length;
}

static bool map_segment(const struct elf_loader *loader, const Elf64_Phdr *segment, uint64_t bias)
{
    const int flags = MAP_PRIVATE | MAP_FIXED;
    const struct elf_mapping mapping = elf_map_segment(segment, bias);
    if (mapping.file_length && memory_map(mapping.start, mapping.file_length, mapping.protection,
                                          flags, &loader->backing, mapping.file_offset) < 0)
        return false;
    if (mapping.clear_length)
        memset((void *)mapping.clear, 0, mapping.clear_length);
    return !mapping.zeros_length ||
           memory_map(mapping.zeros, mapping.zeros_length, mapping.protection,
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
    int64_t address = memory_map(0, elf->high - elf->low, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, NULL, 0);
    *bias = (uint64_t)address - elf->low;
    return address > 0;
}

static void rewrite_text(const struct elf_loader *loader, uint64_t bias)
{
    for (size_t i = 0; i < loader->elf.header.e_phnum && loader->backing.constant; i++) {
        const Elf64_Phdr *segment = &loader->elf.segments[i];
        const uint64_t start = page_down(segment->p_vaddr + bias);
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) && segment->p_filesz)
            rewrite_syscalls(start, page_up(segment->p_vaddr + bias + segment->p_filesz) - start);
    }
}

static const char *load(struct elf_loader *loader, uint64_t lowest, struct loaded_elf *loaded)
{
    const struct elf_file *elf = &loader->elf;
    const char *error = elf_open(&loader->elf, read_exactly, loader->file);
    if (error)
        return error;
    if (!find_bias(elf, lowest, &loaded->bias))
        return "does not fit the memory of the VM";
    for (size_t i = 0; i < elf->header.e_phnum; i++)
        if (elf_is_loaded(&elf->segments[i]) &&
            !map_segment(loader, &elf->segments[i], loaded->bias))
            return "does not fit the memory of the VM, or could not be read";
    rewrite_text(loader, loaded->bias);
    loaded->entry = elf->header.e_entry + loaded->bias;
    loaded->headers = elf_headers_address(elf, loaded->bias);
    loaded->header_count = elf->header.e_phnum;
    loaded->end = elf->high + loaded->bias;
    memcpy(loaded->interpreter, elf->interpreter, sizeof loaded->interpreter);
    return NULL;
}

const char *elf_load(const char *path, uint64_t lowest, struct loaded_elf *loaded)
{
    int64_t failure = 0;
    struct elf_loader *loader = kernel_alloc(sizeof *loader);
    if (!loader)
        return "does not fit the memory of the VM";
    *loaded = (struct loaded_elf){ .bias = 0 };
    loader->file = vfs_open(path, O_RDONLY | O_CLOEXEC, 0, &failure);
    const char *error = "cannot be opened";
    if (loader->file) {
        loader->backing = file_backing(loader->file);
        error = load(loader, lowest, loaded);
        file_put(loader->file);
    }
    kernel_free(loader);
    return error;
}
