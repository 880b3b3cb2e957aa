"""Programs of WASI, in C: a command, whose first argument says what it does, and a reactor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = r"""
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int copy(FILE *from, int (*change)(int))
{
    int character;
    if (!from) {
        perror("open");
        return 4;
    }
    while ((character = getc(from)) != EOF)
        putchar(change ? change(character) : character);
    return 0;
}

/* Makes, renames, lists and removes files in a folder, and prints the length of one that every call
 * appends to. */
static int files(const char *folder)
{
    FILE *file;
    if (chdir(folder) || !(file = fopen("kept", "a")) || fputs("x", file) < 0 || fflush(file))
        return perror(folder), 4;
    printf("%ld", ftell(file));
    if (fclose(file) || mkdir("made", 0700) || rename("kept", "made/moved") ||
        symlink("made/moved", "link") || truncate("link", 5) || unlink("link"))
        return perror("files"), 4;
    DIR *made = opendir("made");
    for (struct dirent *entry; made && (entry = readdir(made));)
        if (entry->d_name[0] != '.')
            printf(" %s", entry->d_name);
    if (!made || closedir(made) || rmdir("made") == 0 || rename("made/moved", "kept") ||
        rmdir("made"))
        return perror("removing"), 4;
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "upper", *more = count > 2 ? arguments[2] : "";
    if (strcmp(what, "upper") == 0)
        exit(copy(stdin, toupper));
    if (strcmp(what, "read") == 0)
        return copy(fopen(more, "r"), NULL);
    if (strcmp(what, "write") == 0)
        return fopen(more, "w") ? 0 : (perror("open"), 4);
    if (strcmp(what, "files") == 0)
        return files(more);
    if (strcmp(what, "variable") == 0)
        return printf("%s", getenv(more) ? getenv(more) : "(none)") < 0;
    if (strcmp(what, "program") == 0)
        return puts(arguments[0]) < 0;
    if (strcmp(what, "time") == 0)
        return printf("%lld", (long long)time(NULL)) < 0;
    if (strcmp(what, "bytes") == 0)
        return fwrite("\xff\0\xfe", 1, 3, stdout) != 3;
    if (strcmp(what, "random") == 0) {
        unsigned long long number;
        getentropy(&number, sizeof number);
        return printf("%llx", number) < 0;
    }
    if (strcmp(what, "trap") == 0)
        __builtin_trap();
    fprintf(stderr, "what is %s?\n", what);
    return 3;
}
"""

REACTOR = r"""
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int ready;
static long size;

__attribute__((constructor)) static void begin(void)
{
    FILE *file = fopen("/table/numbers.txt", "r");
    ready = 42;
    while (file && getc(file) != EOF)
        size++;
}

__attribute__((export_name("ready_and_size"))) long long ready_and_size(int unused)
{
    return ready * 1000 + size + unused;
}
__attribute__((export_name("random"))) int random_number(int unused)
{
    getentropy(&unused, sizeof unused);
    return unused;
}
__attribute__((export_name("now"))) long long now(int unused) { return time(NULL) + unused; }
__attribute__((export_name("say"))) int say(int number)
{
    for (int i = 0; i < number; i++)
        puts("something");
    fflush(stdout);
    return number;
}
__attribute__((export_name("panic"))) int panic(int number)
{
    if (number < 0)
        write(2, "ab\xff\0\xc3", 5);
    for (int i = 0; i < number && number >= 1000; i++)
        fprintf(stderr, "line %d: \u00f1\n", i);
    fprintf(stderr, "panicked at number %d\n", number);
    if (number != 1)
        __builtin_trap();
    return number;
}
"""


def compiled(folder: Path, name: str, source: str, *flags: str) -> Path:
    (folder / f"{name}.c").write_text(source)
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        "wasm32-wasi",
        "-O2",
        "-s",
        "-Wl,-z,stack-size=65536",
        *flags,
        "-o",
        f"{name}.wasm",
        f"{name}.c",
    ]
    subprocess.run(command, cwd=folder, check=True, timeout=300)
    return folder / f"{name}.wasm"
