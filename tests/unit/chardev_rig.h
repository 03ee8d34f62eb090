/*
 * What tests of character devices stand on: a front end that notes what it gets, and the other ends of back ends.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_UNIT_CHARDEV_RIG_H
#define TESTS_UNIT_CHARDEV_RIG_H

#include "ui/chardev/chardev.h"

/* ---- a front end ---- */

typedef struct Front {
    GString *in;     /* what it was given */
    size_t room;     /* how much more it takes */
    GString *events; /* one letter each */
    unsigned writable;
} Front;

void attach(Chardev *c, Front *f);
/* The same without a character device. */
void front_init(Front *f);
extern const ChardevClient front_client;
void front_free(Front *f);

/* ---- the main loop ---- */

/* Turn the main loop until cond holds; an error after two minutes. */
#define UNTIL(cond)                                                  \
    do {                                                             \
        gint64 end_ = g_get_monotonic_time() + 120 * G_USEC_PER_SEC; \
        while (!(cond)) {                                            \
            g_assert_cmpint(g_get_monotonic_time(), <, end_);        \
            if (!g_main_context_iteration(NULL, FALSE))              \
                g_usleep(200);                                       \
        }                                                            \
    } while (0)

/* Turn it for a while in which nothing should happen; how often something did. */
unsigned settle(unsigned ms);

/* ---- back ends ---- */

/* -chardev text */
Chardev *add(const char *text);
G_GNUC_PRINTF(1, 2) Chardev *addf(const char *format, ...);
/* -chardev text fails, and the message contains want. */
void refuse(const char *text, const char *want);
/* The same for the short forms of -serial and its like. */
Chardev *shortform(const char *text);
void refuse_short(const char *text, const char *want);
/* All of text goes out. */
void put(Chardev *c, const char *text);

/* ---- their other ends ---- */

/* Made and removed by run_tests. Free with g_free. */
char *in_folder(const char *name);
/* What can be read from the non-blocking fd is added to s; its length. */
size_t drain(int fd, GString *s);
void expect_bytes(int fd, const char *bytes, size_t len);
void expect(int fd, const char *text);
void send_bytes(int fd, const void *data, size_t len);
void send_text(int fd, const char *text);
/* Non-blocking. */
int unix_connect(const char *path);

/* g_test_run, with a folder. */
int run_tests(void);

#endif
