/*
 * -daemonize: the parent's exit status says whether the machine could be built (see daemon.h).
 * SPDX-License-Identifier: MIT
 */
#include "ui/cli/daemon.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int ready_fd = -1; /* the parent reads a byte from its other end */

bool daemon_begin(GError **err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC))
        return error_set_errno(err, errno, "-daemonize: cannot make a pipe");
    pid_t child = fork();
    if (child < 0)
        return error_set_errno(err, errno, "-daemonize: cannot fork");
    if (child) {
        char byte;
        ssize_t n;
        close(fds[1]);
        do
            n = read(fds[0], &byte, 1);
        while (n < 0 && errno == EINTR);
        _exit(n == 1 ? 0 : 1);
    }
    close(fds[0]);
    ready_fd = fds[1];
    setsid();
    return true;
}

void daemon_ready(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (ready_fd < 0)
        return;
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    if (write(ready_fd, "", 1) < 0)
        g_warning("-daemonize: %s", g_strerror(errno)); /* the parent was killed */
    close(ready_fd);
    ready_fd = -1;
}
