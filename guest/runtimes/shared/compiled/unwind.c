/* See unwind.h. Call frame information: DWARF 5, 6.4; .eh_frame and .eh_frame_hdr: Linux Standard
 * Base Core 5.0, 10.6. Where an object has none, frames are taken to be chained by RBP.
 *
 * A damaged table must not make a second crash of the first: reads of it are bounded by its
 * segment, reads of the stack by what is mapped. Rules that are expressions (of procedure linkage
 * tables and signal trampolines, mostly) end the backtrace.
 */
#include "shared/compiled/unwind.h"

#include <string.h>

#include "shared/compiled/objects.h"

#define MAX_FRAME_TABLE (64ull << 20)
#define MAX_SAVED_RULES 8

/* DW_EH_PE_: how a pointer is written. */
enum {
    ENCODED_ABSOLUTE = 0x00,
    ENCODED_OMITTED = 0xff,
    ENCODED_PC_RELATIVE = 0x10,
    ENCODED_DATA_RELATIVE = 0x30
};

enum rule { SAME, UNDEFINED, AT_OFFSET, IS_OFFSET, IN_REGISTER, UNKNOWN };

struct reader {
    const uint8_t *at, *end;
    bool overrun;
};

struct rules {
    struct {
        enum rule rule;
        int64_t value;
    } registers[UNWIND_REGISTERS];
    uint64_t frame_register;
    int64_t frame_offset;
    bool frame_unknown;
};

struct description {           /* of a function: its FDE and the CIE that it refers to */
    struct reader common, own; /* their instructions */
    uint64_t code_factor;
    int64_t data_factor;
    uint64_t start, length, return_register;
};

/* ---- Numbers ---- */

static uint64_t fixed(struct reader *reader, size_t size)
{
    uint64_t value = 0;
    if ((size_t)(reader->end - reader->at) < size) {
        reader->overrun = true;
        return 0;
    }
    memcpy(&value, reader->at, size);
    reader->at += size;
    return value;
}

static uint64_t leb(struct reader *reader, bool is_signed)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        byte = (uint8_t)fixed(reader, 1);
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        shift += 7;
    } while (byte & 0x80 && !reader->overrun);
    return is_signed && shift < 64 && byte & 0x40 ? value | ~0ull << shift : value;
}

static uint64_t encoded(struct reader *reader, uint8_t encoding, uint64_t data)
{
    const uint64_t place = (uint64_t)reader->at;
    uint64_t value;
    switch (encoding & 0x0f) {
    case 0x00:
    case 0x04:
    case 0x0c:
        value = fixed(reader, 8);
        break;
    case 0x01:
        value = leb(reader, false);
        break;
    case 0x02:
        value = fixed(reader, 2);
        break;
    case 0x03:
        value = fixed(reader, 4);
        break;
    case 0x09:
        value = leb(reader, true);
        break;
    case 0x0a:
        value = (uint64_t)(int16_t)fixed(reader, 2);
        break;
    case 0x0b:
        value = (uint64_t)(int32_t)fixed(reader, 4);
        break;
    default:
        reader->overrun = true;
        return 0;
    }
    switch (encoding & 0x70) {
    case ENCODED_ABSOLUTE:
        return value;
    case ENCODED_PC_RELATIVE:
        return value + place;
    case ENCODED_DATA_RELATIVE:
        return value + data;
    default:
        reader->overrun = true;
        return 0;
    }
}

/* ---- Finding a function's description ---- */

static struct reader entry_at(const uint8_t *at, const uint8_t *limit)
{
    struct reader reader = { at, limit, false };
    const uint64_t length = fixed(&reader, 4);
    if (length == 0 || length == 0xffffffff || length > (uint64_t)(limit - reader.at))
        reader.overrun = true; /* the end, or more than an object of this size needs */
    else
        reader.end = reader.at + length;
    return reader;
}

static bool read_common(const uint8_t *at, const uint8_t *limit, struct description *description,
                        uint8_t *encoding, bool *augmented)
{
    struct reader reader = entry_at(at, limit);
    const bool is_common = fixed(&reader, 4) == 0;
    const uint8_t version = (uint8_t)fixed(&reader, 1);
    const char *letters = (const char *)reader.at;
    while (fixed(&reader, 1) != 0 && !reader.overrun) {
    }
    if (!is_common || reader.overrun || (version != 1 && version != 3))
        return false;
    description->code_factor = leb(&reader, false);
    description->data_factor = (int64_t)leb(&reader, true);
    description->return_register = version == 1 ? fixed(&reader, 1) : leb(&reader, false);
    *augmented = letters[0] == 'z';
    *encoding = ENCODED_ABSOLUTE;
    const uint64_t length = *augmented ? leb(&reader, false) : 0;
    if (reader.overrun || length > (uint64_t)(reader.end - reader.at) ||
        (letters[0] && !*augmented))
        return false;
    const uint8_t *instructions = reader.at + length;
    for (const char *letter = letters + 1; *augmented && *letter; letter++) {
        if (*letter == 'R')
            *encoding = (uint8_t)fixed(&reader, 1);
        else if (*letter == 'L')
            fixed(&reader, 1);
        else if (*letter == 'P')
            encoded(&reader, (uint8_t)fixed(&reader, 1) & 0x0f, 0);
    }
    description->common = (struct reader){ instructions, reader.end, false };
    return !reader.overrun;
}

/* The FDE at an address. */
static bool read_own(const uint8_t *at, const uint8_t *first, const uint8_t *limit,
                     struct description *description)
{
    struct reader reader = entry_at(at, limit);
    uint8_t encoding;
    bool augmented;
    const uint8_t *place = reader.at;
    const uint64_t distance = fixed(&reader, 4);
    if (reader.overrun || distance == 0 || distance > (uint64_t)(place - first) ||
        !read_common(place - distance, limit, description, &encoding, &augmented))
        return false;
    description->start = encoded(&reader, encoding, 0);
    description->length = encoded(&reader, encoding & 0x0f, 0);
    const uint64_t skipped = augmented ? leb(&reader, false) : 0;
    if (reader.overrun || skipped > (uint64_t)(reader.end - reader.at))
        return false;
    description->own = (struct reader){ reader.at + skipped, reader.end, false };
    return true;
}

static bool covers(const struct description *description, uint64_t address)
{
    return address - description->start < description->length;
}

/* By the sorted table of .eh_frame_hdr: pairs of a function's start and its FDE, both relative to
 * the header. */
static bool find_sorted(const uint8_t *table, const uint8_t *limit, uint64_t address,
                        struct description *description)
{
    struct reader reader = { table, limit, false };
    const uint32_t head = (uint32_t)fixed(&reader, 4);
    if ((head & 0xff) != 1 || head >> 24 != (ENCODED_DATA_RELATIVE | 0x0b))
        return false;
    encoded(&reader, (uint8_t)(head >> 8), (uint64_t)table);
    const uint64_t count = encoded(&reader, (uint8_t)(head >> 16), (uint64_t)table);
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
    int32_t place;
    memcpy(&place, reader.at + low * 8 + 4, sizeof place);
    const uint8_t *entry = table + place;
    return address_is_mapped((uint64_t)entry, 4) &&
           read_own(entry, entry - MAX_FRAME_TABLE, entry + MAX_FRAME_TABLE, description) &&
           covers(description, address);
}

/* One after the other, in the section .eh_frame, which only the file's section headers name. */
static bool find_listed(const struct object *object, uint64_t address,
                        struct description *description)
{
    struct object_file file = object_file_map(object->path);
    const Elf64_Ehdr *header = object_file_header(&file);
    const Elf64_Shdr *names = header ? object_file_section(&file, header, header->e_shstrndx)
                                     : NULL;
    uint64_t start = 0, length = 0;
    for (uint32_t i = 0; names && i < header->e_shnum; i++) {
        const Elf64_Shdr *section = object_file_section(&file, header, i);
        const char *name = section ? object_file_part(&file, names->sh_offset + section->sh_name,
                                                      sizeof ".eh_frame")
                                   : NULL;
        if (name && memcmp(name, ".eh_frame", sizeof ".eh_frame") == 0) {
            start = section->sh_addr + object->bias;
            length = section->sh_size;
        }
    }
    object_file_unmap(&file);
    if (!length || !address_is_mapped(start, length))
        return false;
    const uint8_t *first = (const uint8_t *)start, *limit = first + length;
    for (const uint8_t *at = first; at < limit;) {
        const struct reader entry = entry_at(at, limit);
        if (entry.overrun)
            return false;
        if (read_own(at, first, limit, description) && covers(description, address))
            return true;
        at = entry.end;
    }
    return false;
}

static bool find(uint64_t address, struct description *description)
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

/* ---- Running its instructions ---- */

struct machine {
    const struct description *description;
    struct rules rules, initial, kept[MAX_SAVED_RULES];
    size_t depth;
    uint64_t location;
    bool failed;
};

static void set_rule(struct machine *machine, uint64_t number, enum rule rule, int64_t value)
{
    if (number >= UNWIND_REGISTERS)
        return; /* a vector register: nobody asks for it */
    machine->rules.registers[number].rule = rule;
    machine->rules.registers[number].value = value;
}

static void restore(struct machine *machine, uint64_t number)
{
    if (number < UNWIND_REGISTERS)
        machine->rules.registers[number] = machine->initial.registers[number];
}

static void keep_or_go_back(struct machine *machine, bool keep)
{
    if (keep && machine->depth < MAX_SAVED_RULES)
        machine->kept[machine->depth++] = machine->rules;
    else if (!keep && machine->depth > 0)
        machine->rules = machine->kept[--machine->depth];
    else
        machine->failed = true;
}

static void skip_block(struct reader *reader)
{
    const uint64_t length = leb(reader, false);
    if (length > (uint64_t)(reader->end - reader->at))
        reader->overrun = true;
    else
        reader->at += length;
}

/* DW_CFA_: those that have a whole byte for themselves and set the rule of a register. */
static void set_by_extended(struct machine *machine, uint8_t code, struct reader *reader)
{
    const int64_t factor = machine->description->data_factor;
    const uint64_t number = leb(reader, false);
    switch (code) {
    case 0x05:
        set_rule(machine, number, AT_OFFSET, (int64_t)leb(reader, false) * factor);
        break;
    case 0x06:
        restore(machine, number);
        break;
    case 0x07:
        set_rule(machine, number, UNDEFINED, 0);
        break;
    case 0x08:
        set_rule(machine, number, SAME, 0);
        break;
    case 0x09:
        set_rule(machine, number, IN_REGISTER, (int64_t)leb(reader, false));
        break;
    case 0x10:
    case 0x16:
        skip_block(reader);
        set_rule(machine, number, UNKNOWN, 0);
        break;
    case 0x11:
        set_rule(machine, number, AT_OFFSET, (int64_t)leb(reader, true) * factor);
        break;
    case 0x14:
        set_rule(machine, number, IS_OFFSET, (int64_t)leb(reader, false) * factor);
        break;
    case 0x15:
        set_rule(machine, number, IS_OFFSET, (int64_t)leb(reader, true) * factor);
        break;
    default:
        machine->failed = true;
    }
}

static void step_extended(struct machine *machine, uint8_t code, struct reader *reader)
{
    const int64_t factor = machine->description->data_factor;
    struct rules *rules = &machine->rules;
    switch (code) {
    case 0x00:
        break; /* nop */
    case 0x02:
        machine->location += fixed(reader, 1) * machine->description->code_factor;
        break;
    case 0x03:
        machine->location += fixed(reader, 2) * machine->description->code_factor;
        break;
    case 0x04:
        machine->location += fixed(reader, 4) * machine->description->code_factor;
        break;
    case 0x0a:
        keep_or_go_back(machine, true);
        break;
    case 0x0b:
        keep_or_go_back(machine, false);
        break;
    case 0x0c: /* def_cfa */
        rules->frame_register = leb(reader, false);
        rules->frame_offset = (int64_t)leb(reader, false);
        rules->frame_unknown = false;
        break;
    case 0x0d:
        rules->frame_register = leb(reader, false);
        break;
    case 0x0e:
        rules->frame_offset = (int64_t)leb(reader, false);
        break;
    case 0x0f:
        skip_block(reader);
        rules->frame_unknown = true;
        break;
    case 0x12: /* def_cfa_sf */
        rules->frame_register = leb(reader, false);
        rules->frame_offset = (int64_t)leb(reader, true) * factor;
        rules->frame_unknown = false;
        break;
    case 0x13:
        rules->frame_offset = (int64_t)leb(reader, true) * factor;
        break;
    case 0x2e:
        leb(reader, false);
        break; /* GNU_args_size */
    default:
        set_by_extended(machine, code, reader);
    }
}

/* Up to where the code of `address` begins. */
static bool run(struct machine *machine, struct reader reader, uint64_t address)
{
    while (reader.at < reader.end && machine->location <= address && !machine->failed &&
           !reader.overrun) {
        const uint8_t code = (uint8_t)fixed(&reader, 1), operand = code & 0x3f;
        switch (code >> 6) {
        case 1:
            machine->location += operand * machine->description->code_factor;
            break;
        case 2:
            set_rule(machine, operand, AT_OFFSET,
                     (int64_t)leb(&reader, false) * machine->description->data_factor);
            break;
        case 3:
            restore(machine, operand);
            break;
        default:
            step_extended(machine, code, &reader);
        }
    }
    return !machine->failed && !reader.overrun;
}

/* ---- Stepping ---- */

static bool load(uint64_t address, uint64_t *value)
{
    if (!address_is_mapped(address, sizeof *value))
        return false;
    memcpy(value, (const void *)address, sizeof *value);
    return true;
}

static bool apply(const struct rules *rules, uint64_t return_register, struct unwind_frame *frame)
{
    const struct unwind_frame old = *frame;
    if (rules->frame_unknown || rules->frame_register >= UNWIND_REGISTERS ||
        return_register != UNWIND_RIP || rules->registers[UNWIND_RIP].rule != AT_OFFSET)
        return false;
    const uint64_t base = old.registers[rules->frame_register] + (uint64_t)rules->frame_offset;
    frame->registers[UNWIND_RSP] = base;
    for (size_t i = 0; i < UNWIND_REGISTERS; i++) {
        const uint64_t value = (uint64_t)rules->registers[i].value;
        switch (rules->registers[i].rule) {
        case AT_OFFSET:
            if (!load(base + value, &frame->registers[i]))
                return false;
            break;
        case IS_OFFSET:
            frame->registers[i] = base + value;
            break;
        case IN_REGISTER:
            frame->registers[i] = value < UNWIND_REGISTERS ? old.registers[value] : 0;
            break;
        default:
            break; /* as it was; nobody uses those of which nothing is known */
        }
    }
    return frame->registers[UNWIND_RIP] != 0;
}

static bool step_by_chain(struct unwind_frame *frame)
{
    const uint64_t base = frame->registers[UNWIND_RBP];
    if (base < frame->registers[UNWIND_RSP] || base % 8 != 0 ||
        !load(base, &frame->registers[UNWIND_RBP]) ||
        !load(base + 8, &frame->registers[UNWIND_RIP]))
        return false;
    frame->registers[UNWIND_RSP] = base + 16;
    return frame->registers[UNWIND_RIP] != 0;
}

bool unwind_step(struct unwind_frame *frame)
{
    static struct machine machine; /* the stack for reports is not large */
    struct description description = { .length = 0 };
    const uint64_t address = frame->registers[UNWIND_RIP] -
                             (frame->exact ? 0 : 1); /* a call may be the last of its function */
    const bool exact = frame->exact;
    frame->exact = false;
    if (exact && !address_is_mapped(
                     address, 1)) { /* a call to nowhere: the return address was pushed last */
        if (!load(frame->registers[UNWIND_RSP], &frame->registers[UNWIND_RIP]))
            return false;
        frame->registers[UNWIND_RSP] += 8;
        return true;
    }
    if (!find(address, &description))
        return step_by_chain(frame);
    machine = (struct machine){ .description = &description };
    if (!run(&machine, description.common, UINT64_MAX))
        return false;
    machine.initial = machine.rules;
    machine.location = description.start;
    return run(&machine, description.own, address) &&
           apply(&machine.rules, description.return_register, frame);
}
