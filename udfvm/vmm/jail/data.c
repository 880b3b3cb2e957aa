/* Data of the VM: files that come one by one, and are mapped once all are there. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "jail.h"

static int give_all(struct jail *jail, size_t count, struct udfvm_error *error)
{
    struct udfvm_data_source sources[UDFVM_MAX_DATA_FILES];
    for (size_t i = 0; i < count; i++)
        sources[i] = (struct udfvm_data_source){ jail->sources[i].name, jail->sources[i].fd };
    udfvm_data *data = udfvm_data_open(sources, count, error);
    if (!data)
        return UDFVM_E_DATA;
    const int code = udfvm_vm_give_data(jail->vm, data, error);
    udfvm_data_close(data); /* the VM has a reference */
    return code;
}

int take_data(struct jail *jail, const struct jail_message *message, int file,
              struct udfvm_error *error)
{
    const size_t index = message->slot, count = message->bytes;
    if (count > UDFVM_MAX_DATA_FILES || index >= count || index != jail->source_count)
        return udfvm_fail(error, UDFVM_E_PROTOCOL, "that is not the next data file");
    struct data_source *source = &jail->sources[index];
    memcpy(source->name, jail->data, sizeof source->name);
    source->name[UDFVM_MAX_DATA_NAME] = 0;
    source->fd = fcntl(file, F_DUPFD_CLOEXEC, 0);
    if (source->fd < 0)
        return udfvm_fail_errno(error, "keeping a data file");
    jail->source_count++;
    if (index + 1 < count)
        return UDFVM_OK;
    const int code = give_all(jail, count, error);
    while (jail->source_count)
        close(jail->sources[--jail->source_count].fd);
    return code;
}
