/* The text of /proc/cpuinfo: the processor according to CPUID. */
#include "host/call.h"
#include "lib/string.h"
#include "vfs/procfs.h"

#include <cpuid.h>

#define BITS 32
/* CPUID feature bits, with the names that Linux gives them; Intel SDM volume 2A, CPUID. */
static const struct feature_word {
    uint32_t leaf;
    uint8_t output;
    const char *names[BITS];
} feature_words[] = {
    { 1, 3, { "fpu",  "vme",   "de",   "pse",     "tsc",  "msr", "pae",  "mce",
              "cx8",  "apic",  0,      "sep",     "mtrr", "pge", "mca",  "cmov",
              "pat",  "pse36", "pn",   "clflush", 0,      "dts", "acpi", "mmx",
              "fxsr", "sse",   "sse2", "ss",      "ht",   "tm",  0,      "pbe" } },
    { 1, 2, { "pni",    "pclmulqdq", "dtes64", "monitor", "ds_cpl",
              "vmx",    "smx",       "est",    "tm2",     "ssse3",
              0,        "sdbg",      "fma",    "cx16",    "xtpr",
              "pdcm",   0,           "pcid",   "dca",     "sse4_1",
              "sse4_2", "x2apic",    "movbe",  "popcnt",  "tsc_deadline_timer",
              "aes",    "xsave",     0,        "avx",     "f16c",
              "rdrand", "hypervisor" } },
    { 0x80000001,
      3,
      { [11] = "syscall", [20] = "nx", [26] = "pdpe1gb", [27] = "rdtscp", [29] = "lm" } },
    { 0x80000001,
      2,
      { [0] = "lahf_lm",
        [2] = "svm",
        [5] = "abm",
        [6] = "sse4a",
        [8] = "3dnowprefetch",
        [11] = "xop",
        [16] = "fma4",
        [21] = "tbm" } },
    { 7, 1, { "fsgsbase", "tsc_adjust",
              "sgx",      "bmi1",
              "hle",      "avx2",
              0,          "smep",
              "bmi2",     "erms",
              "invpcid",  "rtm",
              0,          0,
              "mpx",      0,
              "avx512f",  "avx512dq",
              "rdseed",   "adx",
              "smap",     "avx512ifma",
              0,          "clflushopt",
              "clwb",     "intel_pt",
              "avx512pf", "avx512er",
              "avx512cd", "sha_ni",
              "avx512bw", "avx512vl" } },
    { 7,
      2,
      { [1] = "avx512vbmi",
        [2] = "umip",
        [3] = "pku",
        [6] = "avx512_vbmi2",
        [8] = "gfni",
        [9] = "vaes",
        [10] = "vpclmulqdq",
        [11] = "avx512_vnni",
        [12] = "avx512_bitalg",
        [14] = "avx512_vpopcntdq" } },
    { 7,
      3,
      { [2] = "avx512_4vnniw",
        [3] = "avx512_4fmaps",
        [4] = "fsrm",
        [8] = "avx512_vp2intersect",
        [22] = "amx_bf16",
        [23] = "avx512_fp16",
        [24] = "amx_tile",
        [25] = "amx_int8" } },
};

static size_t write_features(char *to, size_t size)
{
    size_t length = 0;
    for (size_t i = 0; i < sizeof feature_words / sizeof *feature_words; i++) {
        const struct feature_word *word = &feature_words[i];
        unsigned outputs[4] = { 0 };
        __get_cpuid_count(word->leaf, 0, &outputs[0], &outputs[1], &outputs[2], &outputs[3]);
        for (unsigned bit = 0; bit < BITS; bit++)
            if (word->names[bit] && outputs[word->output] >> bit & 1)
                length += format(to + length, size - length, " %s", word->names[bit]);
    }
    return length;
}

static void processor_names(char vendor[13], char name[49])
{
    unsigned words[12] = { 0 }, leaf;
    __cpuid(0, leaf, words[0], words[2], words[1]);
    memcpy(vendor, words, 12);
    vendor[12] = 0;
    for (leaf = 0; leaf < 3; leaf++)
        __get_cpuid(0x80000002u + leaf, &words[4 * leaf], &words[4 * leaf + 1],
                    &words[4 * leaf + 2], &words[4 * leaf + 3]);
    memcpy(name, words, sizeof words);
    name[48] = 0;
}

size_t procfs_write_processor(char *to, size_t size)
{
    char vendor[13], name[49];
    unsigned version = 0, ignored;
    processor_names(vendor, name);
    __get_cpuid(1, &version, &ignored, &ignored, &ignored);
    const unsigned base_family = version >> 8 & 15;
    const unsigned family = base_family + (base_family == 15 ? version >> 20 & 255 : 0);
    const unsigned model = (version >> 4 & 15) |
                           (base_family == 6 || base_family == 15 ? version >> 12 & 0xf0 : 0);
    const uint32_t khz = call_page()->tsc_khz;
    size_t length = format(to, size,
                           "processor\t: 0\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: "
                           "%u\nmodel name\t: %s\nstepping\t: %u\n"
                           "cpu MHz\t\t: %u.%03u\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: "
                           "0\ncpu cores\t: 1\napicid\t\t: 0\n"
                           "fpu\t\t: yes\ncpuid level\t: %u\nwp\t\t: yes\nflags\t\t:",
                           vendor, family, model, name, version & 15, khz / 1000, khz % 1000,
                           __get_cpuid_max(0, NULL));
    length += write_features(to + length, size - length);
    return length + format(to + length, size - length,
                           "\nbogomips\t: %u.00\nclflush size\t: 64\naddress sizes\t: 46 bits "
                           "physical, 48 bits virtual\n\n",
                           khz / 500);
}
