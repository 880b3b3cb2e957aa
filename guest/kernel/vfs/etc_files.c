/* The files of /etc that programs and the C library read. They say what holds in every VM, and
 * nothing of the host: one user, root, whose home is where the programs' is, and one host name. */
#include "host/exit.h"
#include "lib/string.h"
#include "vfs/tmpfs.h"

struct text_file {
    const char *path, *text;
};

static const struct text_file files[] = {
    { "/etc/group", "root:x:0:\n"
                    "nogroup:x:65534:\n" },
    { "/etc/hostname", "udfvm\n" },
    { "/etc/hosts", "127.0.0.1\tlocalhost udfvm\n"
                    "::1\tlocalhost ip6-localhost ip6-loopback\n" },
    { "/etc/nsswitch.conf", "passwd: files\n"
                            "group: files\n"
                            "shadow: files\n"
                            "hosts: files\n"
                            "networks: files\n"
                            "protocols: files\n"
                            "services: files\n" },
    { "/etc/os-release", "ID=udfvm\n"
                         "NAME=\"udfvm\"\n"
                         "PRETTY_NAME=\"udfvm micro-VM\"\n" },
    { "/etc/passwd", "root:x:0:0:root:/tmp:/bin/sh\n"
                     "nobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n" },
    { "/etc/protocols", "ip\t0\tIP\n"
                        "icmp\t1\tICMP\n"
                        "tcp\t6\tTCP\n"
                        "udp\t17\tUDP\n"
                        "ipv6\t41\tIPv6\n"
                        "ipv6-icmp\t58\tIPv6-ICMP\n" },
    { "/etc/services", "echo\t7/tcp\n"
                       "echo\t7/udp\n"
                       "daytime\t13/tcp\n"
                       "ftp\t21/tcp\n"
                       "ssh\t22/tcp\n"
                       "telnet\t23/tcp\n"
                       "smtp\t25/tcp\tmail\n"
                       "domain\t53/tcp\n"
                       "domain\t53/udp\n"
                       "http\t80/tcp\twww\n"
                       "pop3\t110/tcp\tpop-3\n"
                       "ntp\t123/udp\n"
                       "imap2\t143/tcp\timap\n"
                       "https\t443/tcp\n"
                       "https\t443/udp\n"
                       "imaps\t993/tcp\n"
                       "mysql\t3306/tcp\n"
                       "postgresql\t5432/tcp\tpostgres\n" },
};

static int64_t make_file(const struct text_file *file)
{
    const char *name;
    int64_t error = 0;
    const size_t length = strlen(file->text);
    struct node *directory = node_parent(file->path, &name, &error);
    struct node *node = directory ? node_create(S_IFREG | 0644) : NULL;
    if (!node)
        return -ENOMEM;
    uint8_t *page = file_memory_reserve(&node->memory, 1) ? NULL
                                                          : file_memory_provide(&node->memory, 0);
    if (!page)
        return -ENOMEM;
    memcpy(page, file->text, length);
    node->size = length;
    return entry_add(directory, name, node);
}

void etc_files_init(void)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (make_file(&files[i]))
            kernel_panic("no memory for the files of /etc");
}
