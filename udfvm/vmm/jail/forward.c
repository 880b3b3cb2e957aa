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

/* Asks. What comes back is `length` bytes at the most, as many as the result says; or, with `stat`,
 * that. */
static int64_t ask_for_file(struct jail *jail, const char *path, const struct jail_answer *question,
                            struct udfvm_stat *stat, void *buffer, uint64_t length)
{
    if (!take_turn(jail))
        return -EINTR;
    if (path)
        strcpy((char *)jail->data, path); /* at most UDFVM_MAX_PATH bytes */
    const struct jail_message *got = ask_program(jail, question);
    const int64_t result = got->failed ? -EINTR : got->result;
    if (result >= 0 && stat)
        memcpy(stat, jail->data, sizeof *stat);
    if (result > 0 && length)
        memcpy(buffer, jail->data, (uint64_t)result < length ? (uint64_t)result : length);
    end_turn(jail);
    return result;
}

static int64_t file_open(void *context, const char *path, struct udfvm_stat *stat)
{
    const struct jail_answer question = { .kind = JAIL_FILE_OPEN };
    return ask_for_file(context, path, &question, stat, NULL, 0);
}

static int64_t file_stat(void *context, const char *path, int follow, struct udfvm_stat *stat)
{
    const struct jail_answer question = { .kind = JAIL_FILE_STAT, .values = { follow != 0 } };
    return ask_for_file(context, path, &question, stat, NULL, 0);
}

static int64_t file_read(void *context, int64_t handle, uint64_t offset, void *buffer,
                         uint64_t length)
{
    const struct jail_answer question = { .kind = JAIL_FILE_READ,
                                          .length = at_most(length),
                                          .values = { (uint64_t)handle, offset } };
    return ask_for_file(context, NULL, &question, NULL, buffer, length);
}

static int64_t file_close(void *context, int64_t handle)
{
    struct jail *jail = context;
    const struct jail_answer question = { .kind = JAIL_FILE_CLOSE, .values = { (uint64_t)handle } };
    return jail->silent ? 0 : ask_for_file(jail, NULL, &question, NULL, NULL, 0);
}

static int64_t file_list(void *context, const char *path, uint64_t first, void *buffer,
                         uint64_t length)
{
    const struct jail_answer question = { .kind = JAIL_FILE_LIST,
                                          .length = at_most(length),
                                          .values = { first } };
    return ask_for_file(context, path, &question, NULL, buffer, length);
}

static int64_t file_readlink(void *context, const char *path, char *buffer, uint64_t length)
{
    const struct jail_answer question = { .kind = JAIL_FILE_READLINK, .length = at_most(length) };
    return ask_for_file(context, path, &question, NULL, buffer, length);
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
