/* See object.h. Layouts: System V ABI, chapter 5; Linux Standard Base 5, Core, 10.6 (.eh_frame,
 * .eh_frame_hdr); DWARF 5, 6.4. */
#include "rewrite/object.h"
#include "lib/string.h"
#include "mm/regions.h"

#include "elf_format.h"

#define POINTER_RELATIVE_TO_ITSELF 0x1bu /* DW_EH_PE_pcrel | DW_EH_PE_sdata4 */
#define POINTER_RELATIVE_TO_TABLE  0x3bu /* DW_EH_PE_datarel | DW_EH_PE_sdata4 */
#define POINTER_UNSIGNED_4         0x03u /* DW_EH_PE_udata4 */
#define TABLE_HEADER               12u
#define TABLE_ENTRY                8u

/* Bytes of the file, where a mapping has them unchanged. */
static const uint8_t *file_bytes(const struct region_name *name, uint64_t offset, uint64_t length)
{
    for (size_t index = 0; index < region_count(); index++) {
        const struct region *region = region_at(index);
        const uint64_t inside = offset - region->offset, size = region->end - region->start;
        if (region->name == name && region->pristine && offset >= region->offset && inside < size &&
            length <= size - inside)
            return (const uint8_t *)(region->start + inside);
    }
    return NULL;
}

/* Bytes at an address of the object. */
static const uint8_t *bytes_at(const struct elf_object *object, uint64_t address, uint64_t length)
{
    for (size_t i = 0; i < object->segment_count; i++) {
        const Elf64_Phdr *segment = &object->segments[i];
        const uint64_t inside = address - segment->p_vaddr;
        if (address >= segment->p_vaddr && inside < segment->p_filesz &&
            length <= segment->p_filesz - inside)
            return file_bytes(object->name, segment->p_offset + inside, length);
    }
    return NULL;
}

static uint32_t read_u32(const uint8_t *at)
{
    uint32_t value;
    __builtin_memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t relative_to(uint64_t address, const uint8_t *at)
{
    return address + (uint64_t)(int64_t)(int32_t)read_u32(at);
}

static bool open_table(struct elf_object *object, const Elf64_Phdr *segment)
{
    const uint8_t *header = bytes_at(object, segment->p_vaddr, segment->p_filesz);
    if (!header || segment->p_filesz < TABLE_HEADER || header[0] != 1 ||
        header[1] != POINTER_RELATIVE_TO_ITSELF || header[2] != POINTER_UNSIGNED_4 ||
        header[3] != POINTER_RELATIVE_TO_TABLE)
        return false;
    object->table_address = segment->p_vaddr;
    object->table = header + TABLE_HEADER;
    object->table_count = read_u32(header + 8);
    return object->table_count > 0 &&
           object->table_count <= (segment->p_filesz - TABLE_HEADER) / TABLE_ENTRY;
}

bool object_open(struct elf_object *object, const struct region_name *name)
{
    const Elf64_Phdr *table = NULL, *segments;
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)file_bytes(name, 0, sizeof *header);
    *object = (struct elf_object){ .name = name };
    if (!header || !elf_has_magic(header) || !elf_is_x86_64(header) ||
        !elf_has_segments(header, MAX_OBJECT_SEGMENTS))
        return false;
    segments = (const Elf64_Phdr *)file_bytes(name, header->e_phoff,
                                              header->e_phnum * sizeof *segments);
    if (!segments)
        return false;
    for (size_t i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type == PT_LOAD)
            object->segments[object->segment_count++] = segments[i];
        else if (segments[i].p_type == PT_GNU_EH_FRAME)
            table = &segments[i];
    }
    return table && open_table(object, table);
}

static uint64_t entry_start(const struct elf_object *object, size_t index)
{
    return relative_to(object->table_address, object->table + index * TABLE_ENTRY);
}

/* Index of the last entry that begins at or below the address; table_count where there is none. */
static size_t find_entry(const struct elf_object *object, uint64_t address)
{
    size_t low = 0, high = object->table_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (entry_start(object, middle) > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low ? low - 1 : object->table_count;
}

static const uint8_t *skip_leb128(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at & 0x80))
        at++;
    return at + 1;
}

/* Bytes of an encoded pointer: DWARF's DW_EH_PE_ formats. */
static size_t pointer_size(uint8_t encoding)
{
    static const uint8_t sizes[8] = { 8, 4, 2, 4, 8, 4, 4, 4 };
    return sizes[encoding & 7];
}

/* The common part of frame descriptions: true where its code pointers are of the usual form and the
 * code is no signal trampoline, whose bytes unwinders compare. */
static bool has_usual_pointers(const uint8_t *entry, size_t length)
{
    const uint8_t *end = entry + length, *letters = entry + 9, *at = letters;
    if (read_u32(entry + 4) != 0 || entry[8] != 1 || *letters != 'z')
        return false;
    while (at < end && *at)
        at++;
    at = skip_leb128(skip_leb128(at + 1, end), end) +
         1;                    /* alignments of code and data, return address */
    at = skip_leb128(at, end); /* length of what the letters stand for */
    bool usual = false;
    for (letters++; at < end && *letters; letters++) {
        if (*letters == 'R')
            usual = *at++ == POINTER_RELATIVE_TO_ITSELF;
        else if (*letters == 'P')
            at += 1 + pointer_size(*at);
        else if (*letters == 'L')
            at++;
        else
            return false; /* among them S: a signal frame */
    }
    return usual;
}

static bool usual_common_part(const struct elf_object *object, uint64_t address)
{
    const uint8_t *entry = bytes_at(object, address, 4);
    const uint32_t length = entry ? read_u32(entry) : 0;
    if (length < 12 || length > 256)
        return false;
    entry = bytes_at(object, address, length + 4);
    return entry && has_usual_pointers(entry, length + 4);
}

bool object_function(const struct elf_object *object, uint64_t address,
                     struct function_range *function)
{
    const size_t index = find_entry(object, address);
    if (index == object->table_count)
        return false;
    const uint64_t entry = relative_to(object->table_address,
                                       object->table + index * TABLE_ENTRY + 4);
    const uint8_t *bytes = bytes_at(object, entry,
                                    16); /* length, distance to the common part, start, size */
    if (!bytes || read_u32(bytes) < 12 || read_u32(bytes) == UINT32_MAX)
        return false;
    function->start = relative_to(entry + 8, bytes + 8);
    function->end = function->start + read_u32(bytes + 12);
    function->next = index + 1 < object->table_count ? entry_start(object, index + 1) : 0;
    return function->start == entry_start(object, index) && address >= function->start &&
           address < function->end && (!function->next || function->next >= function->end) &&
           usual_common_part(object, entry + 4 - read_u32(bytes + 4));
}
