/*
 * Other processors: INIT and start-up IPIs, interrupts to and fro while the one addressed is halted, to all others,
 * NMI.
 * SPDX-License-Identifier: MIT
 */
#include "pc.h"

enum { STARTED = 0x7000, START = 0x8000, ROUNDS = 50, MOST = 8, INIT = 0x4500, START_UP = 0x4600, NMI = 0x4400 };
enum { OTHERS = 0xc0000, SVR = 0xf0, ID = 0x20 };

static volatile uint32_t ready[MOST];

void ap_main(unsigned n);

/* Number n, from 0 on, answers each V_PING + n with V_BACK_HERE. */
void ap_main(unsigned n)
{
    uint32_t answered = 0;
    load_idt();
    REG32(APIC + SVR) = 0x1ff;
    __atomic_store_n(&ready[n], REG32(APIC + ID) | 1, __ATOMIC_SEQ_CST);
    for (;;) {
        while (answered == counts[V_PING + n])
            __asm__ volatile("sti; hlt; cli" : : : "memory");
        answered++;
        send_ipi(0, 0x4000 | V_BACK_HERE);
    }
}

static unsigned processors(void)
{
    outw(FW_CFG_SELECT, 5); /* FW_CFG_NB_CPUS */
    return inb(FW_CFG_DATA);
}

static void start_all(unsigned others)
{
    char *to = (char *)START;
    REG32(STARTED) = 0;
    for (unsigned n = 0; n < MOST; n++)
        ready[n] = counts[V_PING + n] = 0;
    for (char *from = trampoline; from < trampoline_end; from++)
        *to++ = *from;
    for (unsigned id = 1; id <= others; id++) {
        send_ipi(id, INIT);
        for (volatile unsigned i = 0; i < 200; i++)
            ;
        send_ipi(id, START_UP | START >> 12);
        while (REG32(STARTED) < id)
            __asm__ volatile("pause");
        while (!ready[id - 1])
            __asm__ volatile("pause");
    }
}

static void ping_pong(unsigned others)
{
    uint32_t wanted = counts[V_BACK_HERE];
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = 0; n < others; n++) {
            send_ipi(ready[n] >> 24, 0x4000 | (V_PING + n));
            wait_for(V_BACK_HERE, ++wanted);
        }
    }
    check("interrupts to and fro", counts[V_BACK_HERE], wanted);
    for (unsigned n = 0; n < others; n++)
        check("as many as were sent", counts[V_PING + n] >= ROUNDS, true);
}

static void all_others(unsigned others)
{
    uint32_t before = counts[V_SELF];
    REG32(APIC + 0x300) = OTHERS | 0x4000 | V_SELF;
    while (counts[V_SELF] < before + others)
        __asm__ volatile("pause");
    check("interrupt to all others", counts[V_SELF] - before, others);
    before = counts[V_NMI];
    send_ipi(ready[0] >> 24, NMI);
    while (counts[V_NMI] == before)
        __asm__ volatile("pause");
    check("NMI to another", counts[V_NMI] - before, 1);
}

unsigned start_others(void)
{
    unsigned others = processors() - 1;
    REG32(APIC + SVR) = 0x1ff;
    start_all(others);
    return others;
}

void test_processors(void)
{
    unsigned others = start_others();
    if (!others) {
        skip("other processors", "there are none");
        return;
    }
    check("INIT and start-up", REG32(STARTED), others);
    ping_pong(others);
    all_others(others);
    start_all(others);
    check("INIT of those that run", REG32(STARTED), others);
    ping_pong(others);
}
