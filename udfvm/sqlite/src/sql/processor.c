/* See processor.h. */
#include "sql/processor.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"

#define MAX_PROCESSOR 65536 /* bytes of a line */

static bool is_about_code(const char *line)
{
    static const char *const names[] = { "vendor_id", "cpu family", "model\t", "model name",
                                         "flags" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(line, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

bool processor_digest(char text[65])
{
    struct udfvm_sha256 hash;
    uint8_t digest[32];
    bool first = true;
    char *line = malloc(MAX_PROCESSOR);
    FILE *file = line ? fopen("/proc/cpuinfo", "re") : NULL;
    if (!file) {
        free(line);
        return false;
    }
    udfvm_sha256_start(&hash);
    while (fgets(line, MAX_PROCESSOR, file) && line[0] != '\n') {
        size_t length = strlen(line);
        if (!is_about_code(line))
            continue;
        while (length > 0 && strchr(" \t\n", line[length - 1]))
            length--;
        if (!first)
            udfvm_sha256_add(&hash, "\n", 1);
        udfvm_sha256_add(&hash, line, length);
        first = false;
    }
    fclose(file);
    free(line);
    udfvm_sha256_end(&hash, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return true;
}
