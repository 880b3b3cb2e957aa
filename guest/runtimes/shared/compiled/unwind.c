/* See unwind.h. Call frame instructions: DWARF 5, 6.4.2. If an object has no description of a
 * frame, frames are assumed to be chained by RBP.
 *
 * Reads of the stack are bounded by what is mapped. Rules that are expressions (mostly of procedure
 * linkage tables and signal trampolines) end the backtrace.
 */
#include "shared/compiled/unwind.h"

#include <string.h>

#include "shared/compiled/frame_table.h"
#include "shared/compiled/objects.h"

#define MAX_SAVED_RULES 8

enum rule { SAME, UNDEFINED, AT_OFFSET, IS_OFFSET, IN_REGISTER, UNKNOWN };

struct rules {
    struct {
        enum rule rule;
        int64_t value;
    } registers[UNWIND_REGISTERS];
    uint64_t frame_register;
    int64_t frame_offset;
    bool frame_unknown;
};

/* ---- Running its instructions ---- */

struct rule_machine {
    const struct frame_description *description;
    struct rules rules, initial, kept[MAX_SAVED_RULES];
    size_t depth;
    uint64_t location;
    bool failed;
};

static void set_rule(struct rule_machine *machine, uint64_t number, enum rule rule, int64_t value)
{
    if (number >= UNWIND_REGISTERS)
        return; /* a vector register, which backtraces do not need */
    machine->rules.registers[number].rule = rule;
    machine->rules.registers[number].value = value;
}

static void restore(struct rule_machine *machine, uint64_t number)
{
    if (number < UNWIND_REGISTERS)
        machine->rules.registers[number] = machine->initial.registers[number];
}

static void keep_or_go_back(struct rule_machine *machine, bool keep)
{
    if (keep && machine->depth < MAX_SAVED_RULES)
        machine->kept[machine->depth++] = machine->rules;
    else if (!keep && machine->depth > 0)
        machine->rules = machine->kept[--machine->depth];
    else
        machine->failed = true;
}

/* DW_CFA_: those that have a whole byte for themselves and set the rule of a register. */
static void set_by_extended(struct rule_machine *machine, uint8_t code, struct dwarf_reader *reader)
{
    const int64_t factor = machine->description->data_factor;
    const uint64_t number = dwarf_unsigned(reader);
    switch (code) {
    case 0x05:
        set_rule(machine, number, AT_OFFSET, (int64_t)dwarf_unsigned(reader) * factor);
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
        set_rule(machine, number, IN_REGISTER, (int64_t)dwarf_unsigned(reader));
        break;
    case 0x10:
    case 0x16:
        dwarf_skip(reader, dwarf_unsigned(reader));
        set_rule(machine, number, UNKNOWN, 0);
        break;
    case 0x11:
        set_rule(machine, number, AT_OFFSET, dwarf_signed(reader) * factor);
        break;
    case 0x14:
        set_rule(machine, number, IS_OFFSET, (int64_t)dwarf_unsigned(reader) * factor);
        break;
    case 0x15:
        set_rule(machine, number, IS_OFFSET, dwarf_signed(reader) * factor);
        break;
    default:
        machine->failed = true;
    }
}

/* DW_CFA_: those that set where the frame is. false: it is none of them. */
static bool set_frame(struct rule_machine *machine, uint8_t code, struct dwarf_reader *reader)
{
    const int64_t factor = machine->description->data_factor;
    struct rules *rules = &machine->rules;
    switch (code) {
    case 0x0c: /* def_cfa */
        rules->frame_register = dwarf_unsigned(reader);
        rules->frame_offset = (int64_t)dwarf_unsigned(reader);
        rules->frame_unknown = false;
        return true;
    case 0x0d: /* def_cfa_register */
        rules->frame_register = dwarf_unsigned(reader);
        return true;
    case 0x0e: /* def_cfa_offset */
        rules->frame_offset = (int64_t)dwarf_unsigned(reader);
        return true;
    case 0x0f: /* def_cfa_expression */
        dwarf_skip(reader, dwarf_unsigned(reader));
        rules->frame_unknown = true;
        return true;
    case 0x12: /* def_cfa_sf */
        rules->frame_register = dwarf_unsigned(reader);
        rules->frame_offset = dwarf_signed(reader) * factor;
        rules->frame_unknown = false;
        return true;
    case 0x13: /* def_cfa_offset_sf */
        rules->frame_offset = dwarf_signed(reader) * factor;
        return true;
    default:
        return false;
    }
}

static void step_extended(struct rule_machine *machine, uint8_t code, struct dwarf_reader *reader)
{
    const uint64_t factor = machine->description->code_factor;
    switch (code) {
    case 0x00: /* nop */
        break;
    case 0x02: /* advance_loc1, 2, 4 */
        machine->location += dwarf_fixed(reader, 1) * factor;
        break;
    case 0x03:
        machine->location += dwarf_fixed(reader, 2) * factor;
        break;
    case 0x04:
        machine->location += dwarf_fixed(reader, 4) * factor;
        break;
    case 0x0a: /* remember_state */
        keep_or_go_back(machine, true);
        break;
    case 0x0b: /* restore_state */
        keep_or_go_back(machine, false);
        break;
    case 0x2e: /* GNU_args_size */
        dwarf_unsigned(reader);
        break;
    default:
        if (!set_frame(machine, code, reader))
            set_by_extended(machine, code, reader);
    }
}

/* Up to where the code of `address` begins. */
static bool run(struct rule_machine *machine, struct dwarf_reader reader, uint64_t address)
{
    while (reader.at < reader.end && machine->location <= address && !machine->failed &&
           !reader.overrun) {
        const uint8_t code = (uint8_t)dwarf_fixed(&reader, 1), operand = code & 0x3f;
        switch (code >> 6) {
        case 1:
            machine->location += operand * machine->description->code_factor;
            break;
        case 2:
            set_rule(machine, operand, AT_OFFSET,
                     (int64_t)dwarf_unsigned(&reader) * machine->description->data_factor);
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
            /* the register keeps its value; nothing uses a register whose value is unknown */
            break;
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
    static struct rule_machine machine; /* the stack for reports is not large */
    struct frame_description description = { .length = 0 };
    /* A call may be its function's last instruction, so a return address may lie past the
     * function. */
    const uint64_t address = frame->registers[UNWIND_RIP] - (frame->exact ? 0 : 1);
    const bool exact = frame->exact;
    frame->exact = false;
    /* A call to an unmapped address only pushed the return address. */
    if (exact && !address_is_mapped(address, 1)) {
        if (!load(frame->registers[UNWIND_RSP], &frame->registers[UNWIND_RIP]))
            return false;
        frame->registers[UNWIND_RSP] += 8;
        return true;
    }
    if (!frame_table_find(address, &description))
        return step_by_chain(frame);
    machine = (struct rule_machine){ .description = &description };
    if (!run(&machine, description.common, UINT64_MAX))
        return false;
    machine.initial = machine.rules;
    machine.location = description.start;
    return run(&machine, description.own, address) &&
           apply(&machine.rules, description.return_register, frame);
}
