/*
 * -netdev user: a network inside the process (libslirp). The guest reaches out through the host's sockets, gets its
 * address by DHCP, and is reached where hostfwd= says.
 *
 * libslirp runs on the main loop's thread only; its clock is the machine's, so that connections outlive a pause.
 * SPDX-License-Identifier: MIT
 */
#include "net/backend.h"
#include "util/error.h"
#include "util/log.h"
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <slirp/libslirp.h>
#include <string.h>

#define NAME_MAX_BYTES 32  /* of what DHCP hands out */
#define FILE_MAX_BYTES 127 /* of a boot file's name */

typedef struct UserTimer {
    SlirpTimerId id;
    void *opaque;
    int64_t deadline_ms; /* of net_time; INT64_MAX: not armed */
} UserTimer;

typedef struct User {
    GSource source; /* first: the main loop knows it as this */
    Netdev *n;
    Slirp *slirp;
    struct in_addr net, mask, host, dhcp, dns;
    bool restricted;
    GArray *fds;    /* GPollFD: the sockets that are watched */
    GArray *wanted; /* those that libslirp asks for in this turn */
    GSList *timers; /* UserTimer * */
    int64_t due_us; /* when libslirp wants to be called, whatever the sockets say */
} User;

/* ---- what libslirp calls ---- */

static ssize_t send_packet(const void *buf, size_t len, void *opaque)
{
    const User *u = opaque;
    net_deliver(u->n, buf, len);
    return len;
}

static void slirp_guest_error(const char *message, void *opaque)
{
    const User *u = opaque;
    if (log_on(LOG_GUEST_ERRORS))
        log_write("netdev %s: %s\n", u->n->id, message);
}

static int64_t clock_get_ns(void *opaque)
{
    const User *u = opaque;
    return net_time(u->n);
}

static void *timer_new(SlirpTimerId id, void *timer_opaque, void *opaque)
{
    User *u = opaque;
    UserTimer *t = g_new(UserTimer, 1);
    *t = (UserTimer){ id, timer_opaque, INT64_MAX };
    u->timers = g_slist_prepend(u->timers, t);
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    User *u = opaque;
    u->timers = g_slist_remove(u->timers, timer);
    g_free(timer);
}

static void timer_mod(void *timer, int64_t deadline_ms, void *opaque)
{
    ((UserTimer *)timer)->deadline_ms = deadline_ms;
}

/* Nothing to do for these: sockets are asked for anew in each turn of the main loop, which this thread runs. */
static void poll_fd_changed(int fd, void *opaque) {}
static void notify(void *opaque) {}
static void init_completed(Slirp *slirp, void *opaque) {}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = slirp_guest_error,
    .clock_get_ns = clock_get_ns,
    .timer_new_opaque = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = poll_fd_changed,
    .unregister_poll_fd = poll_fd_changed,
    .notify = notify,
    .init_completed = init_completed,
};

/* ---- its sockets in the main loop ---- */

static const struct {
    int slirp;
    GIOCondition condition;
} conditions[] = { { SLIRP_POLL_IN, G_IO_IN },
                   { SLIRP_POLL_OUT, G_IO_OUT },
                   { SLIRP_POLL_PRI, G_IO_PRI },
                   { SLIRP_POLL_ERR, G_IO_ERR },
                   { SLIRP_POLL_HUP, G_IO_HUP } };

static int add_poll(int fd, int events, void *opaque)
{
    User *u = opaque;
    GPollFD p = { .fd = fd };
    for (unsigned i = 0; i < G_N_ELEMENTS(conditions); i++)
        p.events |= events & conditions[i].slirp ? conditions[i].condition : 0;
    g_array_append_val(u->wanted, p);
    return u->wanted->len - 1;
}

static int get_revents(int index, void *opaque)
{
    const User *u = opaque;
    int events = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(conditions); i++) {
        if (g_array_index(u->fds, GPollFD, index).revents & conditions[i].condition)
            events |= conditions[i].slirp;
    }
    return events;
}

/* Watch those that are wanted. What does not change is left alone: a main loop that is given something to watch does
 * not sleep in that turn. */
static void watch_wanted(User *u)
{
    bool same = u->fds->len == u->wanted->len;
    for (guint i = 0; same && i < u->fds->len; i++) {
        const GPollFD *old = &g_array_index(u->fds, GPollFD, i), *new = &g_array_index(u->wanted, GPollFD, i);
        same = old->fd == new->fd && old->events == new->events;
    }
    if (same)
        return;
    for (guint i = 0; i < u->fds->len; i++)
        g_source_remove_poll(&u->source, &g_array_index(u->fds, GPollFD, i));
    GArray *swap = u->fds;
    u->fds = u->wanted;
    u->wanted = swap;
    for (guint i = 0; i < u->fds->len; i++)
        g_source_add_poll(&u->source, &g_array_index(u->fds, GPollFD, i));
}

static gboolean user_prepare(GSource *source, gint *timeout)
{
    User *u = (User *)source;
    uint32_t wait_ms = 1000; /* the machine's clock may start meanwhile */
    g_array_set_size(u->wanted, 0);
    *timeout = -1;
    if (!u->slirp || !net_has_room(u->n)) {
        watch_wanted(u);
        return FALSE; /* what comes in waits in its socket */
    }
    slirp_pollfds_fill(u->slirp, &wait_ms, add_poll, u);
    int64_t now_ms = net_time(u->n) / 1000000;
    for (GSList *link = u->timers; link; link = link->next) {
        const UserTimer *t = link->data;
        if (t->deadline_ms != INT64_MAX)
            wait_ms = MIN(wait_ms, (uint64_t)MAX(t->deadline_ms - now_ms, 1));
    }
    watch_wanted(u);
    u->due_us = g_get_monotonic_time() + wait_ms * INT64_C(1000);
    *timeout = wait_ms;
    return FALSE;
}

static gboolean user_check(GSource *source)
{
    const User *u = (User *)source;
    bool ready = u->slirp && g_get_monotonic_time() >= u->due_us && net_has_room(u->n);
    for (guint i = 0; i < u->fds->len && !ready; i++)
        ready = g_array_index(u->fds, GPollFD, i).revents;
    return ready;
}

static gboolean user_dispatch(GSource *source, GSourceFunc fn, gpointer opaque)
{
    User *u = (User *)source;
    int64_t now_ms = net_time(u->n) / 1000000;
    slirp_pollfds_poll(u->slirp, 0, get_revents, u);
    for (GSList *link = u->timers, *next; link; link = next) {
        UserTimer *t = link->data;
        next = link->next;
        if (t->deadline_ms <= now_ms) {
            t->deadline_ms = INT64_MAX;
            slirp_handle_timer(u->slirp, t->id, t->opaque);
        }
    }
    net_flush(u->n);
    return G_SOURCE_CONTINUE;
}

/* ---- the front end's frames ---- */

static void user_send(Netdev *n, const uint8_t *frame, size_t len)
{
    const User *u = n->state;
    slirp_input(u->slirp, frame, len);
}

/* ---- addresses ---- */

static bool parse_address(const char *option, const char *key, const char *text, struct in_addr *address, GError **err)
{
    return inet_pton(AF_INET, text, address) == 1 ||
           error_set(err, "%s user: %s: '%s' is not an IPv4 address like 10.0.2.2", option, key, text);
}

/* ADDR, ADDR/BITS or ADDR/MASK; without a mask that of the address's class. */
static bool parse_net(const char *option, const char *text, struct in_addr *net, struct in_addr *mask, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 2);
    uint64_t bits = 0;
    if (!parts[0] || !parse_address(option, "net", parts[0], net, err))
        return parts[0] ? false : error_set(err, "%s user: net: an address is needed, as in 10.0.2.0/24", option);
    uint32_t addr = ntohl(net->s_addr);
    if (!parts[1]) {
        bits = addr >> 31 == 0 ? 8 : addr >> 30 == 2 ? 16 : 24;
    } else if (inet_pton(AF_INET, parts[1], mask) == 1) {
        uint32_t m = ntohl(mask->s_addr);
        while (bits < 32 && m & (UINT32_C(1) << (31 - bits)))
            bits++;
        bits = bits < 32 && m << bits ? 0 : bits;
    } else if (!parse_uint(parts[1], &bits, NULL)) {
        bits = 0;
    }
    if (bits < 4 || bits > 29)
        return error_set(err, "%s user: net: '%s': a mask of 4 to 29 bits is needed, as in 10.0.2.0/24", option, text);
    mask->s_addr = htonl(UINT32_MAX << (32 - bits));
    net->s_addr &= mask->s_addr;
    return true;
}

/* An address of the network: key's, or the one with these low bits. */
static bool choose_address(User *u, Opts *opts, const char *key, uint32_t low, struct in_addr *address, GError **err)
{
    const char *text = opts_string(opts, key, NULL), *option = opts_name(opts);
    uint32_t hosts = ~ntohl(u->mask.s_addr);
    address->s_addr = u->net.s_addr | htonl(low & hosts);
    if (text && !parse_address(option, key, text, address, err))
        return false;
    uint32_t host = ntohl(address->s_addr) & hosts;
    if ((address->s_addr & u->mask.s_addr) != u->net.s_addr || !host || host == hosts) {
        char net[INET_ADDRSTRLEN], own[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &u->net, net, sizeof(net));
        inet_ntop(AF_INET, address, own, sizeof(own));
        return error_set(err, "%s user: %s: %s is not the address of a host in %s/%u", option, key, own, net,
                         32 - g_bit_storage(hosts));
    }
    return true;
}

static bool read_addresses(User *u, Opts *opts, GError **err)
{
    const char *option = opts_name(opts);
    uint32_t hosts;
    if (!parse_net(option, opts_string(opts, "net", "10.0.2.0/24"), &u->net, &u->mask, err))
        return false;
    hosts = ~ntohl(u->mask.s_addr);
    if (!choose_address(u, opts, "host", 0x0202, &u->host, err) ||
        !choose_address(u, opts, "dns", 0x0203, &u->dns, err) ||
        !choose_address(u, opts, "dhcpstart", hosts < 16 ? 4 : 0x020f, &u->dhcp, err))
        return false;
    if (u->host.s_addr == u->dns.s_addr)
        return error_set(err, "%s user: host= and dns= must be different addresses", option);
    if (u->dhcp.s_addr == u->host.s_addr || u->dhcp.s_addr == u->dns.s_addr)
        return error_set(err, "%s user: dhcpstart= is the address of %s", option,
                         u->dhcp.s_addr == u->host.s_addr ? "host=" : "dns=");
    return true;
}

/* ---- hostfwd= ---- */

typedef struct Forward {
    bool udp;
    struct in_addr host, guest;
    uint64_t host_port, guest_port;
} Forward;

/* [tcp|udp]:[addr]:port-[addr]:port */
static bool parse_forward(const char *option, const char *text, Forward *f, GError **err)
{
    g_auto(GStrv) ends = g_strsplit(text, "-", -1);
    bool ok = g_strv_length(ends) == 2;
    g_auto(GStrv) from = g_strsplit(ok ? ends[0] : "", ":", -1);
    g_auto(GStrv) to = g_strsplit(ok ? ends[1] : "", ":", -1);
    ok = ok && g_strv_length(from) == 3 && g_strv_length(to) == 2;
    if (!ok)
        return error_set(err, "%s user: hostfwd: '%s' is not [tcp|udp]:[addr]:port-[addr]:port", option, text);
    f->udp = !strcmp(from[0], "udp");
    if (!f->udp && *from[0] && strcmp(from[0], "tcp"))
        return error_set(err, "%s user: hostfwd: '%s' is not a protocol; tcp and udp are", option, from[0]);
    if ((*from[1] && !parse_address(option, "hostfwd", from[1], &f->host, err)) ||
        (*to[0] && !parse_address(option, "hostfwd", to[0], &f->guest, err)))
        return false;
    if (!parse_uint(from[2], &f->host_port, NULL) || f->host_port > 65535)
        return error_set(err, "%s user: hostfwd: '%s' is not a port from 0 to 65535", option, from[2]);
    if (!parse_uint(to[1], &f->guest_port, NULL) || !f->guest_port || f->guest_port > 65535)
        return error_set(err, "%s user: hostfwd: '%s' is not a port from 1 to 65535", option, to[1]);
    return true;
}

static bool add_forward(User *u, const char *option, const char *text, GError **err)
{
    Forward f = { .host.s_addr = INADDR_ANY, .guest = u->dhcp };
    if (!parse_forward(option, text, &f, err))
        return false;
    errno = 0;
    if (!slirp_add_hostfwd(u->slirp, f.udp, f.host, f.host_port, f.guest, f.guest_port))
        return true;
    if (errno == EADDRINUSE)
        return error_set(err, "%s user: hostfwd: port %u is in use", option, (unsigned)f.host_port);
    return error_set_errno(err, errno, "%s user: hostfwd: '%s'", option, text);
}

static bool remove_forward(User *u, const char *rule, GError **err)
{
    g_autofree char *whole = g_strdup_printf("%s-:1", rule); /* the guest's end says nothing here */
    Forward f = { .host.s_addr = INADDR_ANY };
    if (strchr(rule, '-') || !parse_forward("hostfwd_remove:", whole, &f, NULL))
        return error_set(err, "'%s' is not [tcp|udp]:[addr]:port", rule);
    return !slirp_remove_hostfwd(u->slirp, f.udp, f.host, f.host_port) ||
           error_set(err, "netdev '%s' does not forward '%s'", u->n->id, rule);
}

static bool user_forward(Netdev *n, const char *rule, bool add, GError **err)
{
    return add ? add_forward(n->state, "netdev", rule, err) : remove_forward(n->state, rule, err);
}

/* ---- type ---- */

static bool read_strings(Opts *opts, SlirpConfig *c, GError **err)
{
    const char *option = opts_name(opts);
    const struct {
        const char *key, **text;
        size_t limit;
    } strings[] = { { "hostname", &c->vhostname, NAME_MAX_BYTES },
                    { "domainname", &c->vdomainname, NAME_MAX_BYTES * 2 },
                    { "tftp", &c->tftp_path, PATH_MAX },
                    { "tftp-server-name", &c->tftp_server_name, NAME_MAX_BYTES },
                    { "bootfile", &c->bootfile, FILE_MAX_BYTES } };
    for (unsigned i = 0; i < G_N_ELEMENTS(strings); i++) {
        *strings[i].text = opts_string(opts, strings[i].key, NULL);
        if (*strings[i].text && strlen(*strings[i].text) > strings[i].limit)
            return error_set(err, "%s user: %s: at most %zu characters are possible", option, strings[i].key,
                             strings[i].limit);
    }
    if (c->tftp_path && !g_file_test(c->tftp_path, G_FILE_TEST_IS_DIR))
        return error_set(err, "%s user: tftp: '%s' is not a folder", option, c->tftp_path);
    return true;
}

static bool read_config(User *u, Opts *opts, SlirpConfig *c, GError **err)
{
    *c = (SlirpConfig){ .version = 4, .in_enabled = true, .in6_enabled = true, .vprefix_len = 64 };
    if (!read_addresses(u, opts, err) || !read_strings(opts, c, err) ||
        !opts_bool(opts, "restrict", &u->restricted, err) || !opts_bool(opts, "ipv4", &c->in_enabled, err) ||
        !opts_bool(opts, "ipv6", &c->in6_enabled, err))
        return false;
    if (!c->in_enabled && !c->in6_enabled)
        return error_set(err, "%s user: ipv4=off and ipv6=off leave nothing", opts_name(opts));
    c->restricted = u->restricted;
    c->vnetwork = u->net;
    c->vnetmask = u->mask;
    c->vhost = u->host;
    c->vdhcp_start = u->dhcp;
    c->vnameserver = u->dns;
    inet_pton(AF_INET6, "fec0::", &c->vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &c->vhost6);
    inet_pton(AF_INET6, "fec0::3", &c->vnameserver6);
    return true;
}

static bool user_open(Netdev *n, Opts *opts, GError **err)
{
    static GSourceFuncs funcs = { .prepare = user_prepare, .check = user_check, .dispatch = user_dispatch };
    User *u = (User *)g_source_new(&funcs, sizeof(User));
    SlirpConfig config;
    u->n = n;
    u->fds = g_array_new(FALSE, FALSE, sizeof(GPollFD));
    u->wanted = g_array_new(FALSE, FALSE, sizeof(GPollFD));
    n->state = u;
    g_autofree const char **forwards = opts_strings(opts, "hostfwd"), **search = opts_strings(opts, "dnssearch");
    if (!read_config(u, opts, &config, err) || !net_keys_done(n->type, opts, err))
        return false;
    config.vdnssearch = *search ? search : NULL;
    u->slirp = slirp_new(&config, &callbacks, u);
    if (!u->slirp)
        return error_set(err, "%s user: libslirp cannot make this network", opts_name(opts));
    for (const char **f = forwards; *f; f++) {
        if (!add_forward(u, opts_name(opts), *f, err))
            return false;
    }
    g_source_set_name(&u->source, "netdev user");
    g_source_attach(&u->source, NULL);
    return true;
}

static void user_close(Netdev *n)
{
    User *u = n->state;
    g_array_set_size(u->wanted, 0);
    watch_wanted(u);
    if (u->slirp)
        slirp_cleanup(u->slirp);
    g_slist_free_full(u->timers, g_free);
    g_array_free(u->fds, TRUE);
    g_array_free(u->wanted, TRUE);
    g_source_destroy(&u->source);
    g_source_unref(&u->source);
}

static void user_describe(Netdev *n, GString *out)
{
    const User *u = n->state;
    char net[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &u->net, net, sizeof(net));
    g_string_append_printf(out, ",net=%s,restrict=%s", net, u->restricted ? "on" : "off");
}

static const char *const keys[] = { "net",        "host",    "dns",       "dhcpstart", "hostname",
                                    "domainname", "tftp",    "dnssearch", "bootfile",  "tftp-server-name",
                                    "restrict",   "hostfwd", "ipv4",      "ipv6",      NULL };

const NetdevType net_user = {
    .name = "user",
    .desc = "network inside the program, through the host's sockets",
    .keys = keys,
    .checked = true,
    .large = true, /* libslirp ends the guest's TCP connections */
    .open = user_open,
    .close = user_close,
    .send = user_send,
    .sent = net_flush,
    .forward = user_forward,
    .describe = user_describe,
};
