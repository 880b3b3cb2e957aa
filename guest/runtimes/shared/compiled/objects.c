/* See objects.h. Formats: proc(5), /proc/pid/maps; ELF-64 object file format, elf(5). */
#include "shared/compiled/objects.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf_format.h"

static char maps[128 << 10];

struct mapping {
    uint64_t start, end, offset;
    const char *path; /* ends at the end of the line */
    size_t path_length;
};

void objects_read(void)
{
    const int descriptor = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got = 1;
    while (descriptor >= 0 && got > 0 && length < sizeof maps - 1) {
        got = read(descriptor, maps + length, sizeof maps - 1 - length);
        length += got > 0 ? (size_t)got : 0;
    }
    maps[length] = 0;
    if (descriptor >= 0)
        close(descriptor);
}

/* Parses the line at *line, "start-end rwxp offset device inode path", and moves to the next. */
static bool next_mapping(const char **line, struct mapping *mapping)
{
    char *at;
    const char *end = strchr(*line, '\n');
    if (!end)
        return false;
    mapping->start = strtoull(*line, &at, 16);
    mapping->end = strtoull(at + 1, &at, 16);
    mapping->offset = strtoull(at + strcspn(at + 1, " ") + 1, &at, 16);
    for (int skipped = 0; skipped < 2; skipped++) {
        at += strspn(at, " ");
        at += strcspn(at, " \n");
    }
    mapping->path = at + strspn(at, " ");
    mapping->path_length = (size_t)(end - mapping->path);
    while (mapping->path_length && mapping->path[mapping->path_length - 1] == ' ')
        mapping->path_length--;
    *line = end + 1;
    return true;
}

/* Takes the file of a mapping. Its first mapping is the nearest one below that begins with the
 * file, and shows its ELF header. */
static bool take_object(uint64_t base, const struct mapping *mapping, struct object *object)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)base;
    if (!elf_has_magic(header) || !elf_has_segments(header, ELF_MAX_SEGMENTS) ||
        header->e_phoff > ELF_PAGE ||
        header->e_phoff + header->e_phnum * sizeof(Elf64_Phdr) > ELF_PAGE ||
        mapping->path_length >= sizeof object->path)
        return false;
    memcpy(object->path, mapping->path, mapping->path_length);
    object->path[mapping->path_length] = 0;
    object->segments = (const Elf64_Phdr *)(base + header->e_phoff);
    object->segment_count = header->e_phnum;
    for (size_t i = 0; i < object->segment_count; i++)
        if (object->segments[i].p_type == PT_LOAD) {
            object->bias = base - elf_page_down(object->segments[i].p_vaddr);
            return true;
        }
    return false;
}

static bool same_file(const struct mapping *one, const struct mapping *other)
{
    return one->path_length > 0 && one->path_length == other->path_length &&
           memcmp(one->path, other->path, one->path_length) == 0;
}

/* Returns true if a mapping is the first of a file: no other part of the file lies right before
 * it. */
static bool begins_file(const struct mapping *mapping, const struct mapping *before)
{
    return mapping->path_length > 0 && mapping->path[0] == '/' && mapping->offset == 0 &&
           !(same_file(mapping, before) && before->end == mapping->start);
}

static bool has_segment_at(const struct object *object, uint64_t address)
{
    for (size_t i = 0; i < object->segment_count; i++) {
        const Elf64_Phdr *segment = &object->segments[i];
        if (segment->p_type == PT_LOAD &&
            address - (object->bias + elf_page_down(segment->p_vaddr)) <
                segment->p_vaddr + segment->p_memsz - elf_page_down(segment->p_vaddr))
            return true;
    }
    return false;
}

/* The file may be mapped as a whole besides, right before the object: as readers of its symbols
 * do. */
bool object_at(uint64_t address, struct object *object)
{
    struct mapping mapping, first = { 0 }, nearest = { 0 };
    for (const char *line = maps; next_mapping(&line, &mapping);) {
        if (begins_file(&mapping, &first))
            first = mapping;
        if (mapping.offset == 0)
            nearest = mapping;
        if (address < mapping.start || address >= mapping.end)
            continue;
        return (same_file(&mapping, &first) && take_object(first.start, &first, object) &&
                has_segment_at(object, address)) ||
               (same_file(&mapping, &nearest) && take_object(nearest.start, &nearest, object));
    }
    return false;
}

bool address_is_mapped(uint64_t address, uint64_t length)
{
    struct mapping mapping;
    for (const char *line = maps; next_mapping(&line, &mapping);)
        if (address >= mapping.start && address < mapping.end && length <= mapping.end - address)
            return true;
    return false;
}

struct object_file object_file_map(const char *path)
{
    struct object_file file = { NULL, 0 };
    struct stat status;
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return file;
    if (fstat(descriptor, &status) == 0 && status.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (bytes != MAP_FAILED)
            file = (struct object_file){ bytes, (uint64_t)status.st_size };
    }
    close(descriptor);
    return file;
}

void object_file_unmap(struct object_file *file)
{
    if (file->bytes)
        munmap((void *)file->bytes, file->length);
    *file = (struct object_file){ NULL, 0 };
}

const void *object_file_part(const struct object_file *file, uint64_t offset, uint64_t length)
{
    return offset <= file->length && length <= file->length - offset ? file->bytes + offset : NULL;
}

const Elf64_Ehdr *object_file_header(const struct object_file *file)
{
    const Elf64_Ehdr *header = object_file_part(file, 0, sizeof *header);
    return header && elf_has_magic(header) && elf_is_x86_64(header) ? header : NULL;
}

const Elf64_Shdr *object_file_section(const struct object_file *file, const Elf64_Ehdr *header,
                                      uint32_t index)
{
    if (index >= header->e_shnum || header->e_shentsize != sizeof(Elf64_Shdr))
        return NULL;
    return object_file_part(file, header->e_shoff + (uint64_t)index * sizeof(Elf64_Shdr),
                            sizeof(Elf64_Shdr));
}
