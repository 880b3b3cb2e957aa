/* Names from .symtab and .dynsym of the objects' files, read here, and from the C library for its
 * own objects where their files cannot be read. Format: ELF-64 object file format, elf(5). */
#include "shared/compiled/symbols.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "shared/compiled/demangle.h"
#include "shared/compiled/objects.h"

#define MAX_READABLE 256 /* bytes of a function's name */

struct symbol_table {
    const Elf64_Sym *symbols;
    size_t count;
    const char *strings; /* NUL-terminated */
    uint64_t strings_length;
};

/* Finds the file's next symbol table, from section *index on. */
static bool next_table(const struct object_file *file, uint32_t *index, struct symbol_table *table)
{
    const Elf64_Ehdr *header = object_file_header(file);
    for (; header && *index < header->e_shnum; ++*index) {
        const Elf64_Shdr *found = object_file_section(file, header, *index);
        if (!found || (found->sh_type != SHT_SYMTAB && found->sh_type != SHT_DYNSYM))
            continue;
        const Elf64_Shdr *strings = object_file_section(file, header, found->sh_link);
        if (!strings || strings->sh_size == 0)
            continue;
        *table = (struct symbol_table){
            object_file_part(file, found->sh_offset, found->sh_size),
            found->sh_size / sizeof(Elf64_Sym),
            object_file_part(file, strings->sh_offset, strings->sh_size), strings->sh_size
        };
        if (!table->symbols || !table->strings || table->strings[table->strings_length - 1] != 0)
            continue;
        ++*index;
        return true;
    }
    return false;
}

static const char *name_of(const struct symbol_table *table, const Elf64_Sym *symbol)
{
    const bool function = ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
                          symbol->st_shndx != SHN_UNDEF;
    return function && symbol->st_name < table->strings_length ? table->strings + symbol->st_name
                                                               : NULL;
}

/* Returns the function at an address as linked. Functions without a size, mostly in assembly, serve
 * only if no function with a size does. */
static const char *name_at(const struct object_file *file, uint64_t address, uint64_t *start)
{
    struct symbol_table table;
    const char *best = NULL;
    uint64_t nearest = 0;
    for (uint32_t index = 0; next_table(file, &index, &table);)
        for (size_t i = 0; i < table.count; i++) {
            const Elf64_Sym *symbol = &table.symbols[i];
            const char *name = address >= symbol->st_value ? name_of(&table, symbol) : NULL;
            if (name && address - symbol->st_value < symbol->st_size) {
                *start = symbol->st_value;
                return name;
            }
            if (name && symbol->st_size == 0 && symbol->st_value > nearest) {
                best = name;
                *start = nearest = symbol->st_value;
            }
        }
    return best;
}

bool symbol_find(const char *path, const char *name, uint64_t *value)
{
    struct object_file file = object_file_map(path);
    struct symbol_table table;
    size_t local = 0, global = 0;
    for (uint32_t index = 0; global == 0 && next_table(&file, &index, &table);)
        for (size_t i = 0; global == 0 && i < table.count; i++) {
            const char *found = name_of(&table, &table.symbols[i]);
            if (!found || strcmp(found, name) != 0)
                continue;
            if (ELF64_ST_BIND(table.symbols[i].st_info) == STB_LOCAL)
                local++;
            else
                global++;
            *value = table.symbols[i].st_value;
        }
    object_file_unmap(&file);
    return global || local == 1;
}

static bool has_symbol(const struct symbol_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        const Elf64_Sym *symbol = &table->symbols[i];
        const bool weak = ELF64_ST_BIND(symbol->st_info) == STB_WEAK;
        if (symbol->st_name < table->strings_length && !(weak && symbol->st_shndx == SHN_UNDEF) &&
            strcmp(table->strings + symbol->st_name, name) == 0)
            return true;
    }
    return false;
}

size_t symbol_first_of(const char *path, const char *const *names, size_t count)
{
    struct object_file file = object_file_map(path);
    struct symbol_table table;
    size_t first = count;
    for (uint32_t index = 0; next_table(&file, &index, &table);)
        for (size_t i = 0; i < first; i++)
            if (has_symbol(&table, names[i]))
                first = i;
    object_file_unmap(&file);
    return first;
}

/* Visits the symbols of a table that other objects can refer to. */
static void visit_exported(const struct symbol_table *table, symbol_visitor *visit, void *context)
{
    for (size_t i = 0; i < table->count; i++) {
        const Elf64_Sym *symbol = &table->symbols[i];
        const unsigned type = ELF64_ST_TYPE(symbol->st_info);
        if (ELF64_ST_BIND(symbol->st_info) != STB_LOCAL && symbol->st_shndx != SHN_UNDEF &&
            symbol->st_name < table->strings_length && (type == STT_FUNC || type == STT_OBJECT))
            visit(context, table->strings + symbol->st_name, type == STT_FUNC);
    }
}

void symbols_exported(const char *path, symbol_visitor *visit, void *context)
{
    struct object_file file = object_file_map(path);
    struct symbol_table table;
    for (uint32_t index = 0; next_table(&file, &index, &table);) {
        const Elf64_Shdr *section = object_file_section(&file, object_file_header(&file),
                                                        index - 1);
        if (section && section->sh_type == SHT_DYNSYM)
            visit_exported(&table, visit, context);
    }
    object_file_unmap(&file);
}

/* Returns the C library's name for an address in an object that it loaded, if there is no file to
 * read. */
static const char *exported_name(uint64_t address, uint64_t *start)
{
    Dl_info info;
    if (!dladdr((const void *)address, &info) || !info.dli_sname)
        return NULL;
    *start = (uint64_t)info.dli_saddr;
    return info.dli_sname;
}

void symbol_describe(uint64_t address, char *text, size_t size)
{
    struct object object;
    uint64_t start = 0;
    if (!object_at(address, &object)) {
        snprintf(text, size, "in no loaded object");
        return;
    }
    const char *slash = strrchr(object.path, '/'), *file_name = slash ? slash + 1 : object.path;
    struct object_file file = object_file_map(object.path);
    const char *name = name_at(&file, address - object.bias, &start);
    start += object.bias;
    if (!name)
        name = exported_name(address, &start);
    if (name) {
        char readable[MAX_READABLE];
        demangle(name, strlen(name), readable, sizeof readable);
        snprintf(text, size, "%s+0x%llx (%s)", readable, (unsigned long long)(address - start),
                 file_name);
    } else {
        snprintf(text, size, "%s+0x%llx", file_name, (unsigned long long)(address - object.bias));
    }
    object_file_unmap(&file);
}
