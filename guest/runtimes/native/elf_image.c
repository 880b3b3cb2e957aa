/* See elf_image.h. Format: System V ABI, chapter 5, and its supplement for x86-64. Every number of
 * the file is checked before it is used. */
#include "native/elf_image.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf_format.h"
#include "shared/compiled/failure.h"

#define PAGE                4096ull
#define MAX_DYNAMIC_ENTRIES 512 /* entries of a dynamic section that are looked at */

static uint64_t page_down(uint64_t value)
{
    return value & ~(PAGE - 1);
}
static uint64_t page_up(uint64_t value)
{
    return page_down(value + PAGE - 1);
}

static bool read_exactly(const struct elf_image *image, uint64_t offset, void *to, size_t length)
{
    return offset < ELF_ADDRESS_LIMIT &&
           pread(image->descriptor, to, length, (off_t)offset) == (ssize_t)length;
}

static const char *read_header(struct elf_image *image)
{
    const Elf64_Ehdr *header = &image->header;
    if (!read_exactly(image, 0, &image->header, sizeof image->header) || !elf_has_magic(header))
        return "is not an ELF file";
    if (!elf_is_x86_64(header))
        return "is not for x86-64 (64 bits): build it for x86_64-linux";
    if (!elf_is_loadable(header))
        return "is neither an executable nor a shared object: link it";
    if (!elf_has_segments(header, MAX_SEGMENTS) ||
        !read_exactly(image, header->e_phoff, image->segments,
                      header->e_phnum * sizeof(Elf64_Phdr)))
        return "has bad program headers";
    return NULL;
}

static const char *measure(struct elf_image *image)
{
    image->low = UINT64_MAX;
    image->high = 0;
    image->align = PAGE;
    for (int i = 0; i < image->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &image->segments[i];
        if (segment->p_type != PT_LOAD || segment->p_memsz == 0)
            continue;
        if (!elf_segment_is_sound(segment, PAGE, ELF_ADDRESS_LIMIT) ||
            segment->p_vaddr < image->high)
            return "has bad segments";
        if (image->low == UINT64_MAX)
            image->low = page_down(segment->p_vaddr);
        image->high = segment->p_vaddr + segment->p_memsz;
        image->align = segment->p_align > image->align ? segment->p_align : image->align;
    }
    image->high = page_up(image->high);
    return image->high ? NULL : "has nothing to load";
}

/* A position-independent program is marked in its dynamic section (DF_1_PIE). Older linkers do not
 * mark it. Then a file is one if it has an interpreter and no name to be linked with (DT_SONAME);
 * the C library, a shared object that can be run, has both. */
static bool is_program(const struct elf_image *image, const Elf64_Phdr *dynamic)
{
    Elf64_Dyn entries[MAX_DYNAMIC_ENTRIES] = { 0 };
    bool named = false;
    if (image->header.e_type == ET_EXEC)
        return true;
    const size_t length = !dynamic                             ? 0
                          : dynamic->p_filesz < sizeof entries ? dynamic->p_filesz
                                                               : sizeof entries;
    if (!read_exactly(image, dynamic ? dynamic->p_offset : 0, entries, length))
        return false;
    for (size_t i = 0; i < length / sizeof *entries && entries[i].d_tag != DT_NULL; i++) {
        if (entries[i].d_tag == DT_FLAGS_1 && (entries[i].d_un.d_val & DF_1_PIE))
            return true;
        named |= entries[i].d_tag == DT_SONAME;
    }
    return image->interpreter[0] && !named;
}

static const char *read_rest(struct elf_image *image)
{
    const Elf64_Phdr *dynamic = NULL;
    for (int i = 0; i < image->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &image->segments[i];
        if (segment->p_type == PT_DYNAMIC)
            dynamic = segment;
        if (segment->p_type != PT_INTERP)
            continue;
        if (segment->p_filesz == 0 || segment->p_filesz > sizeof image->interpreter ||
            !read_exactly(image, segment->p_offset, image->interpreter, segment->p_filesz) ||
            image->interpreter[segment->p_filesz - 1] != 0)
            return "has a bad interpreter path";
    }
    image->executable = is_program(image, dynamic);
    return NULL;
}

bool elf_image_open(struct elf_image *image, const char *path, const char *what)
{
    *image = (struct elf_image){ .descriptor = open(path, O_RDONLY | O_CLOEXEC) };
    const char *error = image->descriptor < 0 ? "cannot be opened" : read_header(image);
    error = error ? error : measure(image);
    error = error ? error : read_rest(image);
    if (!error)
        return true;
    failure_set("ImportError", "%s %s", what, error);
    elf_image_close(image);
    return false;
}

static int protection_of(const Elf64_Phdr *segment)
{
    return (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
           (segment->p_flags & PF_X ? PROT_EXEC : 0);
}

static bool map_segment(const struct elf_image *image, const Elf64_Phdr *segment, uint64_t bias)
{
    const int protection = protection_of(segment), flags = MAP_PRIVATE | MAP_FIXED;
    const uint64_t start = page_down(segment->p_vaddr + bias),
                   inside = segment->p_vaddr & (PAGE - 1);
    const uint64_t file_end = segment->p_vaddr + bias + segment->p_filesz,
                   end = page_up(segment->p_vaddr + bias + segment->p_memsz);
    const uint64_t mapped_end = segment->p_filesz ? page_up(file_end) : start;
    if (segment->p_filesz &&
        mmap((void *)start, inside + segment->p_filesz, protection, flags, image->descriptor,
             (off_t)(segment->p_offset - inside)) == MAP_FAILED)
        return false;
    if (segment->p_memsz > segment->p_filesz && mapped_end > file_end)
        memset((void *)file_end, 0,
               mapped_end -
                   file_end); /* the guest's memory can be written whatever its protection */
    return end <= mapped_end || mmap((void *)mapped_end, end - mapped_end, protection,
                                     flags | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

bool elf_image_map(struct elf_image *image, uint64_t bias)
{
    for (int i = 0; i < image->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &image->segments[i];
        if (segment->p_type == PT_LOAD && segment->p_memsz && !map_segment(image, segment, bias))
            return failure_set("MemoryError",
                               "the program does not fit the micro-VM's memory: raise memory=");
    }
    image->bias = bias;
    return true;
}

uint64_t elf_image_headers(const struct elf_image *image)
{
    const uint64_t offset = image->header.e_phoff;
    for (int i = 0; i < image->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &image->segments[i];
        if (segment->p_type == PT_LOAD && offset >= segment->p_offset &&
            offset - segment->p_offset < segment->p_filesz)
            return segment->p_vaddr + (offset - segment->p_offset) + image->bias;
    }
    return 0;
}

void elf_image_close(struct elf_image *image)
{
    if (image->descriptor >= 0)
        close(image->descriptor);
    image->descriptor = -1;
}
