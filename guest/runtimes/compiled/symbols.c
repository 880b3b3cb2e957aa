/* Names from the dynamic symbols, which the C library looks up, and from .symtab, read here. Format: ELF-64 object file format, elf(5). */
#include "symbols.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    const uint8_t *bytes;
    uint64_t length;
};

static const void *part(const struct file *file, uint64_t offset, uint64_t length)
{
    return offset <= file->length && length <= file->length - offset ? file->bytes + offset : NULL;
}

static const Elf64_Shdr *section(const struct file *file, const Elf64_Ehdr *header, uint32_t index)
{
    if (index >= header->e_shnum || header->e_shentsize != sizeof(Elf64_Shdr))
        return NULL;
    return part(file, header->e_shoff + (uint64_t)index * sizeof(Elf64_Shdr), sizeof(Elf64_Shdr));
}

/* The function of a symbol table that `offset`, relative to the load address, lies in. */
static const char *name_in(const struct file *file, const Elf64_Shdr *table, const Elf64_Shdr *strings, uint64_t offset, uint64_t *start)
{
    const Elf64_Sym *symbols = part(file, table->sh_offset, table->sh_size);
    const char *text = part(file, strings->sh_offset, strings->sh_size);
    if (!symbols || !text || strings->sh_size == 0 || text[strings->sh_size - 1] != 0)
        return NULL;
    for (uint64_t i = 0; i < table->sh_size / sizeof *symbols; i++) {
        const Elf64_Sym *symbol = &symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || offset < symbol->st_value || offset - symbol->st_value >= symbol->st_size
            || symbol->st_name >= strings->sh_size)
            continue;
        *start = symbol->st_value;
        return text + symbol->st_name;
    }
    return NULL;
}

static const char *static_name(const struct file *file, uint64_t offset, uint64_t *start)
{
    const Elf64_Ehdr *header = part(file, 0, sizeof *header);
    if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return NULL;
    for (uint32_t i = 0; i < header->e_shnum; i++) {
        const Elf64_Shdr *table = section(file, header, i);
        const Elf64_Shdr *strings = table && table->sh_type == SHT_SYMTAB ? section(file, header, table->sh_link) : NULL;
        const char *name = strings ? name_in(file, table, strings, offset, start) : NULL;
        if (name)
            return name;
    }
    return NULL;
}

static struct file map(const char *path)
{
    struct file file = { NULL, 0 };
    struct stat status;
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return file;
    if (fstat(descriptor, &status) == 0 && status.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (bytes != MAP_FAILED)
            file = (struct file){ bytes, (uint64_t)status.st_size };
    }
    close(descriptor);
    return file;
}

void symbol_describe(uint64_t address, char *text, size_t size)
{
    Dl_info info;
    if (!dladdr((const void *)address, &info) || !info.dli_fname) {
        snprintf(text, size, "in no loaded object");
        return;
    }
    const uint64_t base = (uint64_t)info.dli_fbase;
    const char *slash = strrchr(info.dli_fname, '/'), *object = slash ? slash + 1 : info.dli_fname, *name = info.dli_sname;
    uint64_t start = (uint64_t)info.dli_saddr - base;
    struct file file = map(info.dli_fname);
    const char *precise = file.bytes ? static_name(&file, address - base, &start) : NULL;
    if (precise || name)
        snprintf(text, size, "%s+0x%llx (%s)", precise ? precise : name, (unsigned long long)(address - base - start), object);
    else
        snprintf(text, size, "%s+0x%llx", object, (unsigned long long)(address - base));
    if (file.bytes)
        munmap((void *)file.bytes, file.length);
}
