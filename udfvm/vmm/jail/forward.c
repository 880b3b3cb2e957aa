/* What a guest asks its host for goes to the program: host functions, files, output. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "jail.h"

static uint64_t at_most(uint64_t length)
{
    return length < MAX_JAIL_DATA ? length : MAX_JAIL_DATA;
}

static int64_t host_call(void *context, const char *name, const void *arguments, uint64_t length,
                         void *reply, uint64_t capacity, char *failure)
{
    struct jail *jail = context;
    const struct jail_answer question = { .kind = JAIL_HOST_CALL,
                                          .length = length,
                                          .values = { capacity } };
    strcpy((char *)jail->data, name); /* at most UDFVM_MAX_HOST_NAME bytes */
    memcpy(jail->data + JAIL_NAME_BYTES, arguments, length);
    const struct jail_message *got = ask_program(jail, &question);
    failure[0] = 0;
    if (got->failed)
        return UDFVM_HOST_FUNCTION_FAILED;
    if (got->result == -ENOENT)
        return UDFVM_NO_HOST_FUNCTION;
    if (got->result < 0) /* a reply that is too long, or no memory for one */
        return (int64_t)capacity + 1;
    memcpy(reply, jail->data + JAIL_NAME_BYTES, got->length);
    return got->result;
}

static int take_log(void *context, const struct udfvm_log *log, int failed, char *failure)
{
    struct jail *jail = context;
    (void)failed;
    for (uint64_t i = 0, start = log->given; i < log->part_count && start < log->length; i++) {
        const uint64_t end = log->parts[i].end;
        if (end <= start)
            continue;
        for (uint64_t length; start < end; start += length) {
            length = at_most(end - start);
            const struct jail_answer question = { .kind = JAIL_LOG,
                                                  .length = length,
                                                  .values = { (uint64_t)log->parts[i].stream } };
            memcpy(jail->data, log->text + start, length);
            if (ask_program(jail, &question)->failed) {
                failure[0] = 0;
                return 1;
            }
        }
    }
    return 0;
}

/* ---- Files ---- */

static int64_t result_of(const struct jail_message *got)
{
    return got->failed ? -EINTR : got->result;
}

static int64_t ask_with_path(struct jail *jail, enum jail_reply kind, const char *path,
                             uint64_t value, uint64_t length)
{
    const struct jail_answer question = { .kind = kind, .length = length, .values = { value } };
    strcpy((char *)jail->data, path); /* at most UDFVM_MAX_PATH bytes */
    return result_of(ask_program(jail, &question));
}

/* What came back, of a result that says how much that is. */
static int64_t take_data(const struct jail *jail, int64_t result, void *buffer, uint64_t length)
{
    if (result > 0)
        memcpy(buffer, jail->data, (uint64_t)result < length ? (uint64_t)result : length);
    return result;
}

static int64_t file_open(void *context, const char *path, struct udfvm_stat *stat)
{
    struct jail *jail = context;
    const int64_t handle = ask_with_path(jail, JAIL_FILE_OPEN, path, 0, 0);
    if (handle >= 0)
        memcpy(stat, jail->data, sizeof *stat);
    return handle;
}

static int64_t file_stat(void *context, const char *path, int follow, struct udfvm_stat *stat)
{
    struct jail *jail = context;
    const int64_t result = ask_with_path(jail, JAIL_FILE_STAT, path, follow != 0, 0);
    if (result >= 0)
        memcpy(stat, jail->data, sizeof *stat);
    return result;
}

static int64_t file_read(void *context, int64_t handle, uint64_t offset, void *buffer,
                         uint64_t length)
{
    struct jail *jail = context;
    const struct jail_answer question = { .kind = JAIL_FILE_READ,
                                          .length = at_most(length),
                                          .values = { (uint64_t)handle, offset } };
    return take_data(jail, result_of(ask_program(jail, &question)), buffer, question.length);
}

static int64_t file_close(void *context, int64_t handle)
{
    struct jail *jail = context;
    if (jail->silent)
        return 0;
    const struct jail_answer question = { .kind = JAIL_FILE_CLOSE, .values = { (uint64_t)handle } };
    return result_of(ask_program(jail, &question));
}

static int64_t file_list(void *context, const char *path, uint64_t first, void *buffer,
                         uint64_t length)
{
    const uint64_t most = at_most(length);
    return take_data(context, ask_with_path(context, JAIL_FILE_LIST, path, first, most), buffer,
                     most);
}

static int64_t file_readlink(void *context, const char *path, char *buffer, uint64_t length)
{
    const uint64_t most = at_most(length);
    return take_data(context, ask_with_path(context, JAIL_FILE_READLINK, path, 0, most), buffer,
                     most);
}

void bind_forwards(struct jail *jail)
{
    jail->host_functions = (struct udfvm_host_functions){ .context = jail, .call = host_call };
    jail->log_sink = (struct udfvm_log_sink){ .context = jail, .take = take_log };
    jail->files = (struct udfvm_files){
        .context = jail,
        .open = file_open,
        .stat = file_stat,
        .read = file_read,
        .close = file_close,
        .list = file_list,
        .readlink = file_readlink,
    };
}
