/* Data: see data.h. Nothing of it is kept from call to call: the host says what there is. */
#include "host/data.h"
#include "host/call.h"
#include "lib/string.h"

const struct udfvm_data_directory *data_directory(void)
{
    return call_page()->flags & UDFVM_CALL_DATA
               ? (const struct udfvm_data_directory *)UDFVM_DATA_BASE
               : NULL;
}

const struct udfvm_data_file *data_find(const char *name, size_t length)
{
    const struct udfvm_data_directory *directory = data_directory();
    for (uint64_t i = 0; directory && i < directory->count; i++) {
        const struct udfvm_data_file *file = &directory->files[i];
        if (strlen(file->name) == length && strncmp(file->name, name, length) == 0)
            return file;
    }
    return NULL;
}

bool in_data(uint64_t address, uint64_t length)
{
    if (address < UDFVM_DATA_BASE || address >= UDFVM_DATA_END)
        return false;
    const struct udfvm_data_directory *directory = data_directory();
    for (uint64_t i = 0; directory && i < directory->count; i++) {
        const struct udfvm_data_file *file = &directory->files[i];
        const uint64_t bytes = page_up(file->size);
        if (address >= file->address && address - file->address <= bytes)
            return length <= bytes - (address - file->address);
    }
    return false;
}
