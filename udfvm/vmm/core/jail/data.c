/* Data of jailed VMs: the process gets a descriptor of each file, and maps it itself. */
#include <string.h>

#include "base/error.h"
#include "jail/open.h"
#include "machine/data.h"

int udfvm_cell_give_data(struct cell *cell, struct udfvm_data *data, struct udfvm_error *error)
{
    for (size_t i = 0; i < data->count; i++) {
        int files[MAX_JAIL_FILES] = { data->files[i].fd, -1, -1, -1 };
        const struct jail_message message = {
            .kind = JAIL_DATA, .files = 1, .slot = (uint32_t)i, .bytes = data->count
        };
        memcpy(cell->data, data->files[i].name, sizeof data->files[i].name);
        UDFVM_TRY(udfvm_cell_operate(cell, &message, files, JAIL_SOON_NS, error));
    }
    memset(cell->data, 0, sizeof data->files[0].name);
    cell->vm.machine.data = udfvm_data_retain(data);
    return UDFVM_OK;
}
