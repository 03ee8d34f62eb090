/*
 * -netdev tap: a network interface of the host (Documentation/networking/tuntap.rst of Linux). Each read and write is a
 * frame.
 * SPDX-License-Identifier: MIT
 */
#include "net/backend.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define READS_IN_A_TURN 64

typedef struct Tap {
    int fd;
    char name[IFNAMSIZ];
    bool pending; /* never: what the host does not take at once is lost, as on a wire */
    NetPoll *poll;
    uint8_t frame[NET_FRAME_MAX];
} Tap;

static void tap_ready(Netdev *n, GIOCondition condition)
{
    Tap *t = n->state;
    for (unsigned i = 0; i < READS_IN_A_TURN && net_has_room(n); i++) {
        ssize_t len = read(t->fd, t->frame, sizeof(t->frame));
        if (len <= 0) {
            if (!len || (errno != EAGAIN && errno != EINTR))
                g_clear_pointer(&t->poll, net_poll_free); /* the interface is gone */
            break;
        }
        net_deliver(n, t->frame, len);
    }
    net_flush(n);
}

static void tap_send(Netdev *n, const uint8_t *frame, size_t len)
{
    const Tap *t = n->state;
    if (write(t->fd, frame, len) < 0)
        n->dropped += errno != EIO; /* EIO: the interface is down */
}

static bool make_interface(Tap *t, const char *name, GError **err)
{
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
    if (strlen(name) >= sizeof(request.ifr_name))
        return error_set(err, "-netdev tap: ifname=%s is longer than %zu characters", name,
                         sizeof(request.ifr_name) - 1);
    strcpy(request.ifr_name, name);
    t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (t->fd < 0)
        return error_set_errno(err, errno, "-netdev tap: /dev/net/tun");
    if (ioctl(t->fd, TUNSETIFF, &request)) {
        bool refused = errno == EPERM || errno == EBUSY;
        error_set_errno(err, errno, "-netdev tap: interface '%s'%s", name,
                        refused ? " (it takes CAP_NET_ADMIN, or one that 'ip tuntap add' made for this user)" : "");
        return false;
    }
    g_strlcpy(t->name, request.ifr_name, sizeof(t->name));
    return true;
}

static bool tap_open(Netdev *n, Opts *opts, GError **err)
{
    Tap *t = n->state = g_new0(Tap, 1);
    t->fd = -1;
    uint64_t fd = UINT64_MAX;
    const char *name = opts_string(opts, "ifname", ""), *script = opts_string(opts, "script", "no"),
               *down = opts_string(opts, "downscript", "no");
    if (!opts_uint(opts, "fd", &fd, 0, INT32_MAX, err) || !net_keys_done(n->type, opts, err))
        return false;
    if (strcmp(script, "no") || strcmp(down, "no"))
        return error_set(err,
                         "-netdev tap: scripts are not run; script=no,downscript=no, and set the interface up before");
    if (fd != UINT64_MAX) {
        t->fd = fd;
        if (fcntl(t->fd, F_SETFL, O_NONBLOCK) || fcntl(t->fd, F_SETFD, FD_CLOEXEC)) {
            t->fd = -1;
            return error_set_errno(err, errno, "-netdev tap: fd=%u", (unsigned)fd);
        }
    } else if (!make_interface(t, name, err)) {
        return false;
    }
    t->poll = net_poll_new(n, t->fd, tap_ready, &t->pending);
    return true;
}

static void tap_close(Netdev *n)
{
    Tap *t = n->state;
    net_poll_free(t->poll);
    if (t->fd >= 0)
        close(t->fd);
    g_free(t);
}

static void tap_describe(Netdev *n, GString *out)
{
    g_string_append_printf(out, ",ifname=%s", ((const Tap *)n->state)->name);
}

static const char *const keys[] = { "ifname", "fd", "script", "downscript", NULL };

const NetdevType net_tap = {
    .name = "tap",
    .desc = "a TAP interface of the host",
    .keys = keys,
    .open = tap_open,
    .close = tap_close,
    .send = tap_send,
    .describe = tap_describe,
};
