/* See elf_image.h. elf_format.h reads and checks the file. */
#include "native/elf_image.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/compiled/failure.h"

#define MAX_DYNAMIC_ENTRIES 512 /* entries of a dynamic section that are looked at */

static bool read_exactly(void *descriptor, uint64_t offset, void *to, size_t length)
{
    return offset < ELF_ADDRESS_LIMIT &&
           pread(*(const int *)descriptor, to, length, (off_t)offset) == (ssize_t)length;
}

static const Elf64_Phdr *dynamic_section(const struct elf_file *file)
{
    for (size_t i = 0; i < file->header.e_phnum; i++)
        if (file->segments[i].p_type == PT_DYNAMIC)
            return &file->segments[i];
    return NULL;
}

/* A position-independent program is marked in its dynamic section (DF_1_PIE). Older linkers do not
 * mark it. Then a file is one if it has an interpreter and no name to be linked with (DT_SONAME);
 * the C library, a shared object that can be run, has both. */
static bool is_program(struct elf_image *image)
{
    Elf64_Dyn entries[MAX_DYNAMIC_ENTRIES] = { 0 };
    const Elf64_Phdr *dynamic = dynamic_section(&image->file);
    bool named = false;
    if (image->file.header.e_type == ET_EXEC)
        return true;
    const size_t length = !dynamic                             ? 0
                          : dynamic->p_filesz < sizeof entries ? dynamic->p_filesz
                                                               : sizeof entries;
    if (!read_exactly(&image->descriptor, dynamic ? dynamic->p_offset : 0, entries, length))
        return false;
    for (size_t i = 0; i < length / sizeof *entries && entries[i].d_tag != DT_NULL; i++) {
        if (entries[i].d_tag == DT_FLAGS_1 && (entries[i].d_un.d_val & DF_1_PIE))
            return true;
        named |= entries[i].d_tag == DT_SONAME;
    }
    return image->file.interpreter[0] && !named;
}

/* Returns true if the file has the last byte of each segment. */
static bool is_whole(struct elf_image *image)
{
    bool whole = true;
    for (size_t i = 0; i < image->file.header.e_phnum && whole; i++) {
        const Elf64_Phdr *segment = &image->file.segments[i];
        char last;
        whole = !elf_is_loaded(segment) || segment->p_filesz == 0 ||
                read_exactly(&image->descriptor, segment->p_offset + segment->p_filesz - 1, &last,
                             1);
    }
    return whole;
}

static const char *check(struct elf_image *image)
{
    if (image->descriptor < 0)
        return "cannot be opened";
    const char *error = elf_open(&image->file, read_exactly, &image->descriptor);
    return error || is_whole(image) ? error : "is cut short: it ends before its segments do";
}

bool elf_image_open(struct elf_image *image, const char *path, const char *what)
{
    *image = (struct elf_image){ .descriptor = open(path, O_RDONLY | O_CLOEXEC) };
    const char *error = check(image);
    if (error) {
        failure_set("ImportError", "%s %s", what, error);
        elf_image_close(image);
        return false;
    }
    image->executable = is_program(image);
    return true;
}

static bool map_segment(const struct elf_image *image, const Elf64_Phdr *segment, uint64_t bias)
{
    const int flags = MAP_PRIVATE | MAP_FIXED;
    const struct elf_mapping mapping = elf_map_segment(segment, bias);
    if (mapping.file_length &&
        mmap((void *)mapping.start, mapping.file_length, mapping.protection, flags,
             image->descriptor, (off_t)mapping.file_offset) == MAP_FAILED)
        return false;
    /* The guest's memory can be written whatever its protection. */
    if (mapping.clear_length)
        memset((void *)mapping.clear, 0, mapping.clear_length);
    return !mapping.zeros_length ||
           mmap((void *)mapping.zeros, mapping.zeros_length, mapping.protection,
                flags | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

bool elf_image_map(struct elf_image *image, uint64_t bias)
{
    for (size_t i = 0; i < image->file.header.e_phnum; i++) {
        const Elf64_Phdr *segment = &image->file.segments[i];
        if (elf_is_loaded(segment) && !map_segment(image, segment, bias))
            return failure_set("MemoryError",
                               "the program does not fit the micro-VM's memory: raise memory=");
    }
    image->bias = bias;
    return true;
}

void elf_image_close(struct elf_image *image)
{
    if (image->descriptor >= 0)
        close(image->descriptor);
    image->descriptor = -1;
}
