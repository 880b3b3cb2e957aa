/* Layers that were made, or put, to be another's. Usage: test_layer raw_guest.bin */
#include "base/pages.h"
#include "image/image.h"
#include "raw_image.h"

/* A layer of no pages, with a valid digest. */
static FILE *forged_layer(const udfvm_image *base, uint64_t memory)
{
    struct image_header *header = malloc(sizeof *header);
    FILE *file = tmpfile();
    *header = *base->header;
    header->kind = IMAGE_LAYER;
    header->page_count = 0;
    header->config.memory = memory;
    memcpy(header->base_digest, base->header->digest, sizeof header->base_digest);
    udfvm_image_header_digest(header, header->digest);
    if (pwrite(fileno(file), header, sizeof *header, 0) != (ssize_t)sizeof *header ||
        ftruncate(fileno(file), (off_t)base->mapped) != 0)
        exit(2);
    free(header);
    return file;
}

static bool opens(FILE *file, udfvm_image *base)
{
    struct udfvm_error error;
    udfvm_image *layer = udfvm_image_open(fileno(file), base, &error);
    if (!layer && error.code != UDFVM_E_IMAGE)
        exit(3);
    udfvm_image_close(layer);
    fclose(file);
    return layer != NULL;
}

static bool opens_with_memory(uint64_t memory)
{
    return opens(forged_layer(image, memory), image);
}

static void test_the_bases_memory(void)
{
    check(opens_with_memory(MEMORY), "a layer of the base's memory is refused");
}

static void test_more_memory(void)
{
    check(!opens_with_memory(MEMORY + HUGE_PAGE), "a layer of more memory opens");
}

static void test_less_memory(void)
{
    check(!opens_with_memory(MEMORY - HUGE_PAGE), "a layer of less memory opens");
}

static void test_maximum_memory(void)
{
    check(!opens_with_memory(64ull << 30), "a layer of the maximum of memory opens");
}

/* Whether an image that was sealed as abcd00... opens from a file of this name. */
static bool opens_as(const char *file_name)
{
    static const uint8_t name[32] = { 0xab, 0xcd };
    char directory[] = "/tmp/test_layer.XXXXXX", path[512], note[528];
    if (!mkdtemp(directory))
        exit(2);
    snprintf(path, sizeof path, "%s/%s", directory, file_name);
    snprintf(note, sizeof note, "%s.verified", path);
    struct udfvm_error error;
    udfvm_vm *vm = boot_raw_guest();
    const int file = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    check(udfvm_vm_seal_named(vm, file, name, "raw", 3, &error) == UDFVM_OK, "sealing");
    close(file);
    udfvm_vm_close(vm);
    udfvm_image *opened = udfvm_image_open_cached(directory, file_name, NULL, &error);
    udfvm_image_close(opened);
    unlink(path);
    unlink(note); /* of an image that opened */
    check(rmdir(directory) == 0, "opening left other files than its note");
    return opened != NULL;
}

static void test_its_name(void)
{
    char name[80];
    snprintf(name, sizeof name, "abcd%060d.base", 0);
    check(opens_as(name), "an image under its name is refused");
}

static void test_another_name(void)
{
    char name[80];
    snprintf(name, sizeof name, "abce%060d.base", 0);
    check(!opens_as(name), "an image under another name opens");
}

static void test_no_name(void)
{
    check(!opens_as("base.base"), "an image under no name opens");
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "a layer of the base's memory", test_the_bases_memory },
        { "a layer of more memory", test_more_memory },
        { "a layer of less memory", test_less_memory },
        { "a layer of the maximum of memory", test_maximum_memory },
        { "an image under its name", test_its_name },
        { "an image under another name", test_another_name },
        { "an image under no name", test_no_name },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
