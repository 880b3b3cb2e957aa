#include "rewrite/instruction.h"
#include "rewrite/opcodes.h"

struct decoder {
    const uint8_t *code;
    size_t offset, end;
    struct instruction *instruction;
    uint8_t rex;
    bool operand_size, address_size, repeat, lock; /* prefixes 66, 67, F2 or F3, F0 */
    uint8_t modrm;
};

static bool take(struct decoder *decoder, uint8_t *byte)
{
    if (decoder->offset == decoder->end)
        return false;
    *byte = decoder->code[decoder->offset++];
    return true;
}

static bool skip(struct decoder *decoder, size_t bytes)
{
    if (decoder->end - decoder->offset < bytes)
        return false;
    decoder->offset += bytes;
    return true;
}

/* ModRM, SIB, displacement: Intel SDM, volume 2, 2.1.5 and 2.2.1. */
static bool take_operand(struct decoder *decoder)
{
    uint8_t sib = 0;
    if (!take(decoder, &decoder->modrm))
        return false;
    const uint8_t mode = decoder->modrm >> 6, rm = decoder->modrm & 7;
    if (mode == 3)
        return true;
    if (rm == 4 && !take(decoder, &sib))
        return false;
    decoder->instruction->rip_relative = mode == 0 && rm == 5;
    if (mode == 1)
        return skip(decoder, 1);
    if (mode == 2 || rm == 5 || (rm == 4 && (sib & 7) == 5))
        return skip(decoder, 4);
    return true;
}

static bool take_displacement(struct decoder *decoder, size_t bytes)
{
    uint32_t value = 0;
    if (!skip(decoder, bytes))
        return false;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint32_t)decoder->code[decoder->offset - bytes + i] << 8 * i;
    decoder->instruction->displacement = bytes == 1 ? (int8_t)value : (int32_t)value;
    return true;
}

/* Bytes of the immediates and of an absolute address. */
static size_t immediate_bytes(const struct decoder *decoder, uint8_t what)
{
    const bool rex_w = decoder->rex & 8, narrow = decoder->operand_size && !rex_w;
    size_t bytes = (what & IMM8 ? 1u : 0) + (what & IMM16 ? 2u : 0);
    if (what & (IMMZ | IMMV))
        bytes += narrow ? 2 : (what & IMMV) && rex_w ? 8 : 4;
    if (what & MOFFS)
        bytes += decoder->address_size ? 4 : 8;
    return bytes;
}

static bool take_rest(struct decoder *decoder, uint8_t what)
{
    const bool narrow = decoder->operand_size && !(decoder->rex & 8);
    if (what == BAD || ((what & MODRM) && !take_operand(decoder)))
        return false;
    if (what & REL8)
        return take_displacement(decoder, 1);
    if (what & RELZ) /* with prefix 66, Intel's processors take 4 bytes, AMD's 2 */
        return !narrow && take_displacement(decoder, 4);
    return skip(decoder, immediate_bytes(decoder, what));
}

/* Notes a prefix; false where the byte is none. */
static bool note_prefix(struct decoder *decoder, uint8_t byte)
{
    switch (byte) {
    case 0x66:
        decoder->operand_size = true;
        return true;
    case 0x67:
        decoder->address_size = true;
        return true;
    case 0xf2:
    case 0xf3:
        decoder->repeat = true;
        return true;
    case 0xf0:
        decoder->lock = true;
        return true;
    default: /* segments */
        return (byte & 0xe7) == 0x26 || byte == 0x64 || byte == 0x65;
    }
}

static bool take_prefixes(struct decoder *decoder, uint8_t *opcode)
{
    while (take(decoder, opcode)) {
        if ((*opcode & 0xf0) == 0x40) {
            decoder->rex = *opcode; /* counts only directly before the opcode */
            continue;
        }
        if (!note_prefix(decoder, *opcode))
            return true;
        decoder->rex = 0;
    }
    return false;
}

static bool ends_flow(uint8_t opcode)
{
    switch (opcode) {
    case 0xc2:
    case 0xc3:
    case 0xca ... 0xcc:
    case 0xcf:
    case 0xf4:
        return true;
    default:
        return false;
    }
}

/* Where the flow goes behind an instruction of one byte. */
static enum flow one_byte_flow(uint8_t opcode, uint8_t extension)
{
    switch (opcode) {
    case 0x70 ... 0x7f:
    case 0xe0 ... 0xe3:
        return FLOW_BRANCH;
    case 0xe9:
    case 0xeb:
        return FLOW_JUMP;
    case 0xff:
        return extension == 4 || extension == 5 ? FLOW_INDIRECT : FLOW_NEXT;
    default:
        return ends_flow(opcode) ? FLOW_END : FLOW_NEXT;
    }
}

static bool is_call(uint8_t opcode, uint8_t extension)
{
    return opcode == 0xe8 || (opcode == 0xff && (extension == 2 || extension == 3));
}

static bool decode_one_byte(struct decoder *decoder, uint8_t opcode)
{
    struct instruction *instruction = decoder->instruction;
    if (!take_rest(decoder, one_byte[opcode]))
        return false;
    const uint8_t extension = decoder->modrm >> 3 & 7;
    if ((opcode == 0xf6 || opcode == 0xf7) && extension < 2 &&
        !take_rest(decoder, opcode == 0xf6 ? IMM8 : IMMZ))
        return false;
    if (opcode == 0xc7 && decoder->modrm == 0xf8)
        return false; /* xbegin: the immediate is where an abort goes */
    instruction->flow = (uint8_t)one_byte_flow(opcode, extension);
    instruction->is_call = is_call(opcode, extension);
    return opcode != 0xff || extension != 7;
}

/* Where the flow goes behind an instruction of two bytes. */
static enum flow two_byte_flow(uint8_t opcode)
{
    switch (opcode) {
    case 0x80 ... 0x8f:
        return FLOW_BRANCH;
    case 0x07:
    case 0x0b:
    case 0x35:
    case 0xb9:
    case 0xff:
        return FLOW_END;
    default:
        return FLOW_NEXT;
    }
}

static bool decode_two_byte(struct decoder *decoder)
{
    struct instruction *instruction = decoder->instruction;
    uint8_t opcode;
    if (!take(decoder, &opcode))
        return false;
    if (opcode == 0x38 || opcode == 0x3a) {
        const uint8_t what = opcode == 0x38 ? MODRM : MODRM | IMM8;
        return take(decoder, &opcode) && take_rest(decoder, what);
    }
    instruction->flow = (uint8_t)two_byte_flow(opcode);
    instruction->is_syscall = opcode == 0x05;
    return (opcode != 0xb8 || decoder->repeat) && take_rest(decoder, two_byte[opcode]);
}

static bool has_prefixes(const struct decoder *decoder)
{
    return decoder->rex || decoder->operand_size || decoder->repeat || decoder->lock;
}

static bool has_operand_only(uint8_t map)
{
    return map == 2 || map == 5 || map == 6 || map == 9;
}

/* Opcode and the rest behind a VEX, EVEX or XOP prefix. */
static bool decode_mapped(struct decoder *decoder, uint8_t map)
{
    uint8_t opcode;
    if (has_prefixes(decoder) || !take(decoder, &opcode))
        return false;
    switch (map) {
    case 1:
        if (opcode == 0x77)
            return true; /* vzeroupper */
        return take_rest(decoder, two_byte[opcode] & IMM8 ? MODRM | IMM8 : MODRM);
    case 3:
    case 8:
        return take_rest(decoder, MODRM | IMM8);
    case 10:
        return take_rest(decoder, MODRM) && skip(decoder, 4);
    default:
        return has_operand_only(map) && take_rest(decoder, MODRM);
    }
}

static bool decode_vex(struct decoder *decoder, uint8_t opcode)
{
    uint8_t first, second;
    if (!take(decoder, &first))
        return false;
    if (opcode == 0xc5)
        return decode_mapped(decoder, 1);
    if ((first & 31) > 3 || !take(decoder, &second))
        return false;
    return decode_mapped(decoder, first & 31);
}

/* 62 P0 P1 P2: Intel SDM, volume 2, 2.7.1. A set bit 3 of P0, or a clear bit 2 of P1, is APX's. */
static bool decode_evex(struct decoder *decoder)
{
    uint8_t prefix[3];
    for (size_t i = 0; i < sizeof prefix; i++)
        if (!take(decoder, &prefix[i]))
            return false;
    const uint8_t map = prefix[0] & 7;
    return !(prefix[0] & 8) && (prefix[1] & 4) && decode_mapped(decoder, map);
}

/* 8F is `pop` where the bits that choose a map of XOP are below 8. */
static bool decode_8f(struct decoder *decoder)
{
    uint8_t first, second;
    if (decoder->offset == decoder->end)
        return false;
    first = decoder->code[decoder->offset];
    if ((first & 31) < 8)
        return (first & 0x38) == 0 && take_rest(decoder, MODRM);
    return skip(decoder, 1) && take(decoder, &second) && decode_mapped(decoder, first & 31);
}

bool instruction_decode(const uint8_t *code, size_t available, struct instruction *instruction)
{
    struct decoder decoder = {
        .code = code,
        .end = available < MAX_INSTRUCTION ? available : MAX_INSTRUCTION,
        .instruction = instruction,
    };
    uint8_t opcode;
    bool decoded;
    *instruction = (struct instruction){ .length = 0 };
    if (!take_prefixes(&decoder, &opcode))
        return false;
    if (opcode == 0x0f)
        decoded = decode_two_byte(&decoder);
    else if (opcode == 0xc4 || opcode == 0xc5)
        decoded = decode_vex(&decoder, opcode);
    else if (opcode == 0x62)
        decoded = decode_evex(&decoder);
    else if (opcode == 0x8f)
        decoded = decode_8f(&decoder);
    else
        decoded = decode_one_byte(&decoder, opcode);
    instruction->length = (uint8_t)decoder.offset;
    return decoded;
}

/* 90, 66 90, 0F 1F /0 (the recommended multi-byte forms, prefixes 66 and 2E in front) and int3. */
static size_t one_padding(const uint8_t *code, size_t available)
{
    struct instruction instruction;
    size_t prefixes = 0;
    if (available && code[0] == 0xcc)
        return 1;
    if (!instruction_decode(code, available, &instruction))
        return 0;
    while (code[prefixes] == 0x66 || code[prefixes] == 0x2e)
        prefixes++;
    const uint8_t *opcode = code + prefixes;
    const bool is_nop = opcode[0] == 0x90 ||
                        (opcode[0] == 0x0f && opcode[1] == 0x1f && (opcode[2] & 0x38) == 0);
    return is_nop ? instruction.length : 0;
}

size_t instruction_padding(const uint8_t *code, size_t available)
{
    size_t length = 0, more;
    while ((more = one_padding(code + length, available - length)) != 0)
        length += more;
    return length;
}
