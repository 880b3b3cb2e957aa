#include "mm/user.h"
#include "mm/regions.h"
#include "mm/reserve.h"
#include "mm/scratch.h"

bool user_range_ok(uint64_t address, uint64_t length)
{
    if (address >= program_start && address <= program_end)
        return length <= program_end - address;
    if (in_reserve(address, 1))
        return in_reserve(address, length);
    if (address >= UDFVM_INPUT_BASE && address - UDFVM_INPUT_BASE <= UDFVM_MAX_WINDOW)
        return length <= UDFVM_MAX_WINDOW - (address - UDFVM_INPUT_BASE);
    if (address < UDFVM_OUTPUT_BASE || address - UDFVM_OUTPUT_BASE > UDFVM_MAX_WINDOW ||
        length > UDFVM_MAX_WINDOW - (address - UDFVM_OUTPUT_BASE))
        return false;
    scratch_open_for(address + length); /* the kernel itself must not fault on it */
    return true;
}

int64_t user_string_length(uint64_t address, size_t limit)
{
    for (size_t length = 0; length < limit; length++) {
        if (!user_range_ok(address + length, 1))
            return -EFAULT;
        if (!*(const char *)(address + length))
            return (int64_t)length;
    }
    return -ENAMETOOLONG;
}
