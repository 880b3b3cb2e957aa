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
    if (!in_reserve(address, 1))
        return true;
    reserve_fill_range(address, address + length);
    return length == 0 || user_may_access(address);
}

bool user_may_access(uint64_t address)
{
    if (address > program_end && !in_reserve(address, 1))
        return user_range_exists(address, 1);
    const size_t index = region_find(address);
    return index < region_count() && region_at(index)->start <= address &&
           region_at(index)->protection != PROT_NONE;
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
