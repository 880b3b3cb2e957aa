#include "mm/user.h"
#include "host/data.h"
#include "mm/regions.h"
#include "mm/reserve.h"
#include "mm/scratch.h"

bool user_range_exists(uint64_t address, uint64_t length)
{
    if (address >= program_start && address <= program_end)
        return length <= program_end - address;
    if (in_reserve(address, 1))
        return in_reserve(address, length);
    if (address >= UDFVM_DATA_BASE)
        return in_data(address, length);
    const uint64_t window = address < UDFVM_OUTPUT_BASE ? UDFVM_INPUT_BASE : UDFVM_OUTPUT_BASE;
    return address >= window && address - window <= UDFVM_MAX_WINDOW &&
           length <= UDFVM_MAX_WINDOW - (address - window);
}

/* The kernel itself must not fault on it. */
bool user_range_ok(uint64_t address, uint64_t length)
{
    if (!user_range_exists(address, length))
        return false;
    if (address >= UDFVM_OUTPUT_BASE && address < UDFVM_DATA_BASE)
        scratch_open_for(address + length);
    else if (in_reserve(address, 1))
        reserve_fill_range(address, address + length);
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
