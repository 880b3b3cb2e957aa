/* Image files: layers that were made, or put, to be another's; what a base stores; how a new VM
 * gets the pages of a layer. Usage: test_layer raw_guest.bin */
#include "base/pages.h"
#include "image/image.h"
#include "memory/memory.h"
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

#define PROGRAM_PAGES ((MEMORY - SYSTEM_SIZE) / PAGE)

/* Writes an image of memory; a layer of the first `pages`, or a base where there are none. */
static udfvm_image *written(const uint8_t *memory, udfvm_image *base, uint64_t pages)
{
    static const uint32_t numbers[] = { 0, 1, 2, 3, 4 };
    const struct image_content content = {
        .config = &image->header->config,
        .state = &image->header->state,
        .memory = memory,
        .base = base,
        .numbers = numbers,
        .count = pages,
    };
    struct udfvm_error error = { .code = UDFVM_OK };
    FILE *file = tmpfile();
    const int code = udfvm_image_write(fileno(file), &content, &error);
    udfvm_image *made = code == UDFVM_OK ? udfvm_image_open(fileno(file), base, &error) : NULL;
    check(made && udfvm_image_verify(made, &error) == UDFVM_OK, "an image: %s", error.message);
    fclose(file);
    if (!made)
        exit(1);
    return made;
}

/* Opening an image takes a while for each hole, so a few pages of zeros are none. */
static void test_holes(void)
{
    uint8_t *memory = calloc(PROGRAM_PAGES, PAGE);
    memory[0] = memory[16 * PAGE] = memory[40 * PAGE] = 1;
    memory[(PROGRAM_PAGES - 1) * PAGE] = 1;
    udfvm_image *made = written(memory, NULL, 0);
    check(made->header->page_count == 4, "pages of zeros count");
    check(!udfvm_image_is_hole(made, 0) && !udfvm_image_is_hole(made, 15), "a small hole");
    check(udfvm_image_is_hole(made, 17) && udfvm_image_is_hole(made, 39), "no large hole");
    check(!udfvm_image_is_hole(made, 40) && udfvm_image_is_hole(made, 41), "no hole to the end");
    check(udfvm_image_page(made, 15)[0] == 0 && udfvm_image_page(made, 16)[0] == 1, "pages");
    udfvm_image_close(made);
    free(memory);
}

/* The first VM of a process tries things in the first pages while the layer's are put: they wait
 * until that is over. */
static void test_pages_that_are_tried(void)
{
    struct machine machine;
    struct guest_memory memory;
    struct filling filling;
    struct udfvm_error error;
    uint8_t *content = malloc(5 * PAGE);
    memset(content, 0xab, 5 * PAGE);
    udfvm_image *layer = written(content, image, 5);
    check(udfvm_machine_map(&machine, &image->header->config, image->fd,
                            image->header->pages_offset, NULL, &error) == UDFVM_OK &&
              udfvm_memory_create(&memory, &machine, image, &error) == UDFVM_OK,
          "memory: %s", error.message);
    udfvm_memory_begin_filling(&filling, &memory, layer);
    udfvm_work_finish(&filling.work);
    for (uint32_t page = 0; page < TRIED_PAGES; page++)
        check(memcmp(machine.memory + page * PAGE, content, PAGE) != 0, "page %u is put", page);
    check(memcmp(machine.memory + TRIED_PAGES * PAGE, content, PAGE) == 0, "a page is not put");
    udfvm_memory_end_filling(&filling);
    check(memcmp(machine.memory, content, 5 * PAGE) == 0, "the layer's pages are not put");
    udfvm_memory_destroy(&memory, false);
    udfvm_machine_destroy(&machine);
    udfvm_image_close(layer);
    free(content);
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
        { "holes of a base", test_holes },
        { "pages that are tried", test_pages_that_are_tried },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
