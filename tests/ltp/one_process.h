/* LTP's lib/tst_test.c runs each test in a child, and watches it. Where it is compiled with this
 * file, it calls these functions in place of the C library's and of its own: see one_process.c. */
#ifndef ONE_PROCESS_H
#define ONE_PROCESS_H

#define alarm                      one_process_alarm
#define fork                       one_process_fork
#define getpid                     one_process_getpid
#define getppid                    one_process_getppid
#define kill                       one_process_kill
#define safe_setpgid               one_process_setpgid
#define safe_waitpid               one_process_waitpid
#define tst_disable_oom_protection one_process_oom_protection
#define tst_enable_oom_protection  one_process_oom_protection

#endif
