/* VMs come and go: nothing of a thousand is left, and wrong arguments leave them whole. */
#include <dirent.h>
#include "raw_image.h"

static int count_lines(const char *directory, const char *file)
{
    int count = 0;
    char line[1024];
    DIR *open_directory = directory ? opendir(directory) : NULL;
    while (open_directory && readdir(open_directory))
        count++;
    if (open_directory)
        closedir(open_directory);
    FILE *stream = file ? fopen(file, "r") : NULL;
    while (stream && fgets(line, sizeof line, stream))
        count++;
    if (stream)
        fclose(stream);
    return count;
}

static void test_a_thousand_vms_leak_nothing(void)
{
    int descriptors = 0, mappings = 0;
    for (int i = 0; i < (quick ? 20 : 1000); i++) {
        if (i == 3) {
            descriptors = count_lines("/proc/self/fd", NULL);
            mappings = count_lines(NULL, "/proc/self/maps");
        }
        udfvm_vm *vm = open_vm(image);
        check(CALL(vm, NULL, RAW_COUNT).words[0] == 1, "VM %d", i);
        udfvm_vm_close(vm);
    }
    check(count_lines("/proc/self/fd", NULL) == descriptors, "descriptors leak");
    check(count_lines(NULL, "/proc/self/maps") <= mappings + 4, "mappings leak");
}

static void test_arguments(void)
{
    struct udfvm_error error;
    struct udfvm_reply reply;
    struct udfvm_config config = {
        .memory = MEMORY + 4096, .input_window = WINDOW, .output_window = WINDOW, .scratch = SCRATCH
    };
    check(!udfvm_vm_boot(&config, "", 0, "", 0, NULL, NULL, NULL, &error) &&
              error.code == UDFVM_E_ARGUMENT,
          "odd memory size");
    udfvm_vm *vm = open_vm(image);
    check(udfvm_vm_call(vm, UDFVM_REQUEST_ROW, "", WINDOW, NULL, &reply, &error) == UDFVM_E_INPUT,
          "input larger than the window");
    check(udfvm_vm_seal(vm, 0, "", 0, &error) == UDFVM_E_ARGUMENT, "sealing a VM that did not ask");
    check(CALL(vm, NULL, RAW_COUNT).words[0] == 1, "VM unusable after wrong arguments");
    udfvm_vm_close(vm);
    udfvm_vm_close(NULL);
    udfvm_image_close(NULL);
    udfvm_pool_close(NULL);
}

int main(int count, char **arguments)
{
    static const struct test tests[] = {
        { "leaks", test_a_thousand_vms_leak_nothing },
        { "arguments", test_arguments },
    };
    return run_on_raw_image(count, arguments, tests, sizeof tests / sizeof *tests);
}
