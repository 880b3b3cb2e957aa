/* See frame_table.h. A damaged table must not cause a second crash: reads of it are bounded by its
 * segment. */
#include "shared/compiled/frame_table.h"

#include <string.h>

#include "shared/compiled/objects.h"

#define MAX_FRAME_TABLE (64ull << 20)

static struct dwarf_reader entry_at(const uint8_t *at, const uint8_t *limit)
{
    struct dwarf_reader reader = { at, limit, false };
    const uint64_t length = dwarf_fixed(&reader, 4);
    if (length == 0 || length == 0xffffffff || length > (uint64_t)(limit - reader.at))
        reader.overrun = true; /* the end of the table, or a 64-bit entry */
    else
        reader.end = reader.at + length;
    return reader;
}

/* Reads augmentation data; the letters after 'z' describe it. Returns false if the data are
 * damaged. */
static bool read_augmentation(struct dwarf_reader *reader, const char *letters, uint8_t *encoding)
{
    const uint64_t length = dwarf_unsigned(reader);
    struct dwarf_reader data = *reader;
    dwarf_skip(reader, length);
    for (; *letters; letters++) {
        if (*letters == 'R')
            *encoding = (uint8_t)dwarf_fixed(&data, 1);
        else if (*letters == 'L')
            dwarf_fixed(&data, 1);
        else if (*letters == 'P')
            dwarf_pointer(&data, (uint8_t)dwarf_fixed(&data, 1) & 0x0f, 0);
    }
    return !data.overrun && !reader->overrun;
}

/* Reads the CIE at an address. *augmented is true if its FDEs have augmentation data. */
static bool read_common(const uint8_t *at, const uint8_t *limit,
                        struct frame_description *description, uint8_t *encoding, bool *augmented)
{
    struct dwarf_reader reader = entry_at(at, limit);
    const bool is_common = dwarf_fixed(&reader, 4) == 0;
    const uint8_t version = (uint8_t)dwarf_fixed(&reader, 1);
    const char *letters = (const char *)reader.at;
    while (dwarf_fixed(&reader, 1) != 0 && !reader.overrun) {
    }
    if (!is_common || reader.overrun || (version != 1 && version != 3))
        return false;
    *augmented = letters[0] == 'z';
    description->code_factor = dwarf_unsigned(&reader);
    description->data_factor = dwarf_signed(&reader);
    description->return_register = version == 1 ? dwarf_fixed(&reader, 1) : dwarf_unsigned(&reader);
    *encoding = ENCODED_ABSOLUTE;
    if (letters[0] && (!*augmented || !read_augmentation(&reader, letters + 1, encoding)))
        return false;
    description->common = reader;
    return !reader.overrun;
}

/* Reads the FDE at an address. */
static bool read_own(const uint8_t *at, const uint8_t *first, const uint8_t *limit,
                     struct frame_description *description)
{
    struct dwarf_reader reader = entry_at(at, limit);
    uint8_t encoding;
    bool augmented;
    const uint8_t *pointer = reader.at; /* the CIE pointer holds the distance back to the CIE */
    const uint64_t distance = dwarf_fixed(&reader, 4);
    if (reader.overrun || distance == 0 || distance > (uint64_t)(pointer - first) ||
        !read_common(pointer - distance, limit, description, &encoding, &augmented))
        return false;
    description->start = dwarf_pointer(&reader, encoding, 0);
    description->length = dwarf_pointer(&reader, encoding & 0x0f, 0);
    const uint64_t skipped = augmented ? dwarf_unsigned(&reader) : 0;
    if (reader.overrun || skipped > (uint64_t)(reader.end - reader.at))
        return false;
    description->own = (struct dwarf_reader){ reader.at + skipped, reader.end, false };
    return true;
}

static bool covers(const struct frame_description *description, uint64_t address)
{
    return address - description->start < description->length;
}

/* Searches the sorted table of .eh_frame_hdr. It has pairs of a function's start and its FDE,
 * both relative to the header. */
static bool find_sorted(const uint8_t *table, const uint8_t *limit, uint64_t address,
                        struct frame_description *description)
{
    struct dwarf_reader reader = { table, limit, false };
    const uint32_t head = (uint32_t)dwarf_fixed(&reader, 4);
    if ((head & 0xff) != 1 || head >> 24 != (ENCODED_DATA_RELATIVE | 0x0b))
        return false;
    dwarf_pointer(&reader, (uint8_t)(head >> 8), (uint64_t)table);
    const uint64_t count = dwarf_pointer(&reader, (uint8_t)(head >> 16), (uint64_t)table);
    if (reader.overrun || count == 0 || count > (uint64_t)(limit - reader.at) / 8)
        return false;
    uint64_t low = 0, high = count;
    while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        int32_t start;
        memcpy(&start, reader.at + middle * 8, sizeof start);
        if (address < (uint64_t)table + (uint64_t)(int64_t)start)
            high = middle;
        else
            low = middle;
    }
    int32_t entry_offset;
    memcpy(&entry_offset, reader.at + low * 8 + 4, sizeof entry_offset);
    const uint8_t *entry = table + entry_offset;
    return address_is_mapped((uint64_t)entry, 4) &&
           read_own(entry, entry - MAX_FRAME_TABLE, entry + MAX_FRAME_TABLE, description) &&
           covers(description, address);
}

/* Returns the address of the section .eh_frame in memory. Only the file's section headers name
 * it. *length is 0 if there is none. */
static uint64_t find_section(const struct object *object, uint64_t *length)
{
    static const char wanted[] = ".eh_frame";
    struct object_file file = object_file_map(object->path);
    const Elf64_Ehdr *header = object_file_header(&file);
    const Elf64_Shdr *names = header ? object_file_section(&file, header, header->e_shstrndx)
                                     : NULL;
    uint64_t start = 0;
    *length = 0;
    for (uint32_t i = 0; names && i < header->e_shnum; i++) {
        const Elf64_Shdr *section = object_file_section(&file, header, i);
        const char *name = section ? object_file_part(&file, names->sh_offset + section->sh_name,
                                                      sizeof wanted)
                                   : NULL;
        if (name && memcmp(name, wanted, sizeof wanted) == 0) {
            start = section->sh_addr + object->bias;
            *length = section->sh_size;
        }
    }
    object_file_unmap(&file);
    return start;
}

/* Searches the section .eh_frame, entry by entry. */
static bool find_listed(const struct object *object, uint64_t address,
                        struct frame_description *description)
{
    uint64_t length;
    const uint64_t start = find_section(object, &length);
    if (!length || !address_is_mapped(start, length))
        return false;
    const uint8_t *first = (const uint8_t *)start, *limit = first + length;
    for (const uint8_t *at = first; at < limit;) {
        const struct dwarf_reader entry = entry_at(at, limit);
        if (entry.overrun)
            return false;
        if (read_own(at, first, limit, description) && covers(description, address))
            return true;
        at = entry.end;
    }
    return false;
}

bool frame_table_find(uint64_t address, struct frame_description *description)
{
    struct object object;
    if (!object_at(address, &object))
        return false;
    for (size_t i = 0; i < object.segment_count; i++) {
        const Elf64_Phdr *segment = &object.segments[i];
        if (segment->p_type != PT_GNU_EH_FRAME)
            continue;
        const uint8_t *table = (const uint8_t *)(segment->p_vaddr + object.bias);
        return address_is_mapped((uint64_t)table, segment->p_memsz) &&
               find_sorted(table, table + segment->p_memsz, address, description);
    }
    return find_listed(&object, address, description);
}
