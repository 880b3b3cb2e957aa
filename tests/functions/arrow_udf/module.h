/* What every module for arrow-udf has: its version, its memory, and answers. */
#ifndef MODULE_H
#define MODULE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>

struct slice {
    const void *bytes;
    uint32_t length;
};
__attribute__((export_name("ARROWUDF_VERSION_3_0"))) void version(void)
{
}
__attribute__((export_name("alloc"))) void *export_alloc(uint32_t length, uint32_t align)
{
    return aligned_alloc(8, (length + 15) & ~7u);
}
static int freed;
__attribute__((export_name("dealloc"))) void export_dealloc(void *bytes, uint32_t length,
                                                            uint32_t align)
{
    free(bytes);
    freed++;
}
static int answer(struct slice *out, const void *bytes, uint32_t length, int status)
{
    void *made = malloc(length + 1);
    memcpy(made, bytes, length);
    *out = (struct slice){ made, length };
    return status;
}
static int fail(struct slice *out, const char *text)
{
    return answer(out, text, strlen(text), -1);
}

#endif
