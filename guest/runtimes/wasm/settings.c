/* See settings.h. A setting is a byte for its kind, two 32-bit lengths, and two strings. The
 * strings are: an argument and an empty string; a variable and its value; a file's path and its
 * content; an empty string and a batch of arguments; two empty strings, which say that the
 * code is compiled, that files are writable, or that the function is declared a table function; or
 * those of link_settings.h. */
#include "wasm/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/compiled/failure.h"
#include "size_text.h"
#include "wasm/emitter.h"

#define MAX_PATH_BYTES 4096

struct setting {
    uint8_t kind;
    uint32_t lengths[2];
} __attribute__((packed));

static bool malformed(void)
{
    return failure_set("ValueError", "the settings of the module are malformed");
}

static char *copy(const uint8_t *text, size_t length)
{
    char *made = strndup((const char *)text, length);
    if (!made)
        abort();
    return made;
}

static bool make_folders(char *path)
{
    for (char *slash = strchr(path + strlen(SETTINGS_FOLDER), '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        const bool made = mkdir(path, 0755) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made)
            return false;
    }
    return true;
}

static bool write_all(int descriptor, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        const ssize_t count = write(descriptor, bytes, length);
        if (count <= 0)
            return false;
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

static bool write_file(const uint8_t *name, size_t name_length, const uint8_t *content,
                       size_t length)
{
    char path[MAX_PATH_BYTES] = SETTINGS_FOLDER "/";
    if (name_length > sizeof path - sizeof SETTINGS_FOLDER - 1)
        return malformed();
    memcpy(path + sizeof SETTINGS_FOLDER, name, name_length);
    const int descriptor = make_folders(path)
                               ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)
                               : -1;
    const bool written = descriptor >= 0 && write_all(descriptor, content, length);
    if (!written)
        failure_set("OSError",
                    "the file %s, %s, cannot be written in the micro-VM: %s; raise memory= "
                    "if it is large",
                    path + sizeof SETTINGS_FOLDER, size_text(length).text, strerror(errno));
    if (descriptor >= 0)
        close(descriptor);
    return written;
}

static bool take(struct settings *settings, const struct setting *setting, const uint8_t *text)
{
    const uint8_t *second = text + setting->lengths[0];
    switch (setting->kind) {
    case 'a':
        settings->arguments[settings->argument_count++] = copy(text, setting->lengths[0]);
        return true;
    case 'e':
        settings->names[settings->variable_count] = copy(text, setting->lengths[0]);
        settings->values[settings->variable_count++] = copy(second, setting->lengths[1]);
        return true;
    case 'f':
        settings->files = true;
        return write_file(text, setting->lengths[0], second, setting->lengths[1]);
    case 'b':
        settings->batch = second;
        settings->batch_length = setting->lengths[1];
        return true;
    case 'c':
        settings->compiled = true;
        return true;
    case 'y':
        settings->yields = true;
        return true;
    case 'w':
        settings->writable = true;
        return true;
    default:
        return link_settings_take(&settings->link, setting->kind, text, setting->lengths[0], second,
                                  setting->lengths[1]) ||
               malformed();
    }
}

bool settings_take(struct settings *settings, const struct load *load)
{
    const size_t capacity = load->settings_length / sizeof(struct setting) + MAX_PARAMETERS + 1;
    const uint8_t *at = load->settings, *end = at + load->settings_length;
    *settings = (struct settings){
        .arguments = calloc(capacity, sizeof(char *)),
        .names = calloc(capacity, sizeof(char *)),
        .values = calloc(capacity, sizeof(char *)),
    };
    settings->link.emitter = calloc(1, sizeof *settings->link.emitter);
    if (!settings->arguments || !settings->names || !settings->values || !settings->link.emitter)
        abort();
    mkdir(SETTINGS_FOLDER, 0755);
    mkdir(SCRATCH_FOLDER, 0755);
    while (at < end) {
        struct setting setting;
        if ((size_t)(end - at) < sizeof setting)
            return malformed();
        memcpy(&setting, at, sizeof setting);
        at += sizeof setting;
        const uint64_t length = (uint64_t)setting.lengths[0] + setting.lengths[1];
        if (length > (uint64_t)(end - at))
            return malformed();
        if (!take(settings, &setting, at))
            return false;
        at += length;
    }
    return true;
}

void settings_free(struct settings *settings)
{
    for (size_t i = 0; i < settings->argument_count; i++)
        free((void *)settings->arguments[i]);
    for (size_t i = 0; i < settings->variable_count; i++) {
        free((void *)settings->names[i]);
        free((void *)settings->values[i]);
    }
    free(settings->arguments);
    free(settings->names);
    free(settings->values);
    link_settings_free(&settings->link);
    *settings = (struct settings){ 0 };
}
