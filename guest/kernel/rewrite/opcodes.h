/* What follows an opcode of one byte, or of 0F and one byte: Intel SDM, volume 2, appendix A.2.
 * Only instruction.c includes this. */
#ifndef UDFVM_OPCODES_H
#define UDFVM_OPCODES_H

#include <stdint.h>

enum {
    NONE = 0,  /* nothing follows */
    MODRM = 1, /* a ModRM byte, with SIB and displacement as that says */
    IMM8 = 2,
    IMM16 = 4,
    IMMZ = 8,   /* 2 or 4 bytes, by operand size */
    IMMV = 16,  /* 2, 4 or 8 bytes, by operand size */
    MOFFS = 32, /* an address: 8 or 4 bytes, by address size */
    REL8 = 64,
    RELZ = 128,
    BAD = 255,
};

static const uint8_t one_byte[256] = {
#define ARITHMETIC(opcode)                                                    \
    [opcode... opcode + 3] = MODRM, [opcode + 4] = IMM8, [opcode + 5] = IMMZ, \
                        [opcode + 6 ... opcode + 7] = BAD
    ARITHMETIC(0x00),
    ARITHMETIC(0x08),
    ARITHMETIC(0x10),
    ARITHMETIC(0x18),
    ARITHMETIC(0x20),
    ARITHMETIC(0x28),
    ARITHMETIC(0x30),
    ARITHMETIC(0x38),
#undef ARITHMETIC
    [0x60 ... 0x62] = BAD,
    [0x63] = MODRM,
    [0x68] = IMMZ,
    [0x69] = MODRM | IMMZ,
    [0x6a] = IMM8,
    [0x6b] = MODRM | IMM8,
    [0x70 ... 0x7f] = REL8,
    [0x80] = MODRM | IMM8,
    [0x81] = MODRM | IMMZ,
    [0x82] = BAD,
    [0x83] = MODRM | IMM8,
    [0x84 ... 0x8f] = MODRM,
    [0x9a] = BAD,
    [0xa0 ... 0xa3] = MOFFS,
    [0xa8] = IMM8,
    [0xa9] = IMMZ,
    [0xb0 ... 0xb7] = IMM8,
    [0xb8 ... 0xbf] = IMMV,
    [0xc0 ... 0xc1] = MODRM | IMM8,
    [0xc2] = IMM16,
    [0xc4 ... 0xc5] = BAD,
    [0xc6] = MODRM | IMM8,
    [0xc7] = MODRM | IMMZ,
    [0xc8] = IMM16 | IMM8,
    [0xca] = IMM16,
    [0xcd] = IMM8,
    [0xce] = BAD,
    [0xd0 ... 0xd3] = MODRM,
    [0xd4 ... 0xd6] = BAD,
    [0xd8 ... 0xdf] = MODRM,
    [0xe0 ... 0xe3] = REL8,
    [0xe4 ... 0xe7] = IMM8,
    [0xe8 ... 0xe9] = RELZ,
    [0xea] = BAD,
    [0xeb] = REL8,
    [0xf6 ... 0xf7] = MODRM,
    [0xfe ... 0xff] = MODRM,
};

static const uint8_t two_byte[256] = {
    /* 0F */
    [0x00 ... 0x03] = MODRM,
    [0x04] = BAD,
    [0x0a] = BAD,
    [0x0c] = BAD,
    [0x0d] = MODRM,
    [0x0f] = MODRM | IMM8,
    [0x10 ... 0x1f] = MODRM,
    [0x20 ... 0x27] = BAD,
    [0x28 ... 0x2f] = MODRM,
    [0x36] = BAD,
    [0x38 ... 0x3f] = BAD,
    [0x40 ... 0x6f] = MODRM,
    [0x70 ... 0x73] = MODRM | IMM8,
    [0x74 ... 0x76] = MODRM,
    [0x78 ... 0x7b] = BAD,
    [0x7c ... 0x7f] = MODRM,
    [0x80 ... 0x8f] = RELZ,
    [0x90 ... 0x9f] = MODRM,
    [0xa3] = MODRM,
    [0xa4] = MODRM | IMM8,
    [0xa5 ... 0xa7] = MODRM,
    [0xab] = MODRM,
    [0xac] = MODRM | IMM8,
    [0xad ... 0xb9] = MODRM,
    [0xba] = MODRM | IMM8,
    [0xbb ... 0xc1] = MODRM,
    [0xc2] = MODRM | IMM8,
    [0xc3] = MODRM,
    [0xc4 ... 0xc6] = MODRM | IMM8,
    [0xc7] = MODRM,
    [0xd0 ... 0xff] = MODRM,
};

#endif
