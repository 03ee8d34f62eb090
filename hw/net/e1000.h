/*
 * Intel 8254x Gigabit Ethernet controllers, the parts: registers and interrupts (e1000.c), EEPROM and PHY
 * (e1000_board.c), transmitter (e1000_tx.c), receiver (e1000_rx.c).
 *
 * All of it runs under the machine lock. Section numbers are those of the PCI/PCI-X Family of Gigabit Ethernet
 * Controllers Software Developer's Manual, revision 4.0.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_NET_E1000_H
#define HW_NET_E1000_H

#include "hw/pci/pci.h"
#include "net/net.h"

/* Registers, by offset (13.3) */
enum {
    E1000_CTRL = 0x0000,
    E1000_STATUS = 0x0008,
    E1000_EECD = 0x0010,
    E1000_EERD = 0x0014,
    E1000_CTRL_EXT = 0x0018,
    E1000_MDIC = 0x0020,
    E1000_FCAL = 0x0028,
    E1000_FCAH = 0x002c,
    E1000_FCT = 0x0030,
    E1000_VET = 0x0038,
    E1000_ICR = 0x00c0,
    E1000_ITR = 0x00c4,
    E1000_ICS = 0x00c8,
    E1000_IMS = 0x00d0,
    E1000_IMC = 0x00d8,
    E1000_RCTL = 0x0100,
    E1000_FCTTV = 0x0170,
    E1000_TXCW = 0x0178,
    E1000_RXCW = 0x0180,
    E1000_TCTL = 0x0400,
    E1000_TIPG = 0x0410,
    E1000_AIFS = 0x0458,
    E1000_LEDCTL = 0x0e00,
    E1000_PBA = 0x1000,
    E1000_FCRTL = 0x2160,
    E1000_FCRTH = 0x2168,
    E1000_RDFH = 0x2410,
    E1000_RDFPC = 0x2430,
    E1000_RDBAL = 0x2800,
    E1000_RDBAH = 0x2804,
    E1000_RDLEN = 0x2808,
    E1000_RDH = 0x2810,
    E1000_RDT = 0x2818,
    E1000_RDTR = 0x2820,
    E1000_RXDCTL = 0x2828,
    E1000_RADV = 0x282c,
    E1000_RSRPD = 0x2c00,
    E1000_TXDMAC = 0x3000,
    E1000_TDFH = 0x3410,
    E1000_TDFPC = 0x3430,
    E1000_TDBAL = 0x3800,
    E1000_TDBAH = 0x3804,
    E1000_TDLEN = 0x3808,
    E1000_TDH = 0x3810,
    E1000_TDT = 0x3818,
    E1000_TIDV = 0x3820,
    E1000_TXDCTL = 0x3828,
    E1000_TADV = 0x382c,
    E1000_TSPMT = 0x3830,
    E1000_STATS = 0x4000,
    E1000_RXERRC = 0x400c,
    E1000_MPC = 0x4010,
    E1000_PRC64 = 0x405c, /* and the five greater sizes */
    E1000_GPRC = 0x4074,
    E1000_BPRC = 0x4078,
    E1000_MPRC = 0x407c,
    E1000_GPTC = 0x4080,
    E1000_GORCL = 0x4088,
    E1000_GOTCL = 0x4090,
    E1000_RNBC = 0x40a0,
    E1000_RUC = 0x40a4,
    E1000_ROC = 0x40ac,
    E1000_TORL = 0x40c0,
    E1000_TOTL = 0x40c8,
    E1000_TPR = 0x40d0,
    E1000_TPT = 0x40d4,
    E1000_PTC64 = 0x40d8,
    E1000_MPTC = 0x40f0,
    E1000_BPTC = 0x40f4,
    E1000_TSCTC = 0x40f8,
    E1000_STATS_LAST = 0x40fc,
    E1000_RXCSUM = 0x5000,
    E1000_MTA = 0x5200,
    E1000_MTA_LAST = 0x53fc,
    E1000_RA = 0x5400,
    E1000_RA_LAST = 0x547c,
    E1000_VFTA = 0x5600,
    E1000_VFTA_LAST = 0x57fc,
    E1000_WUC = 0x5800,
    E1000_WAKE_LAST = 0x5afc,
    E1000_REGS_END = 0x5b00,
};

/* Interrupt causes (13.4.17) */
enum {
    E1000_INT_TXDW = 0x1,
    E1000_INT_TXQE = 0x2,
    E1000_INT_LSC = 0x4,
    E1000_INT_RXDMT0 = 0x10,
    E1000_INT_RXO = 0x40,
    E1000_INT_RXT0 = 0x80,
    E1000_INT_MDAC = 0x200,
    E1000_INT_TXD_LOW = 0x8000,
    E1000_INT_SRPD = 0x10000,
    E1000_INT_ALL = 0x1f7df,
};
enum { E1000_CTRL_VME = 1u << 30 };
enum { E1000_VLAN_TAG = 4, E1000_ETH_HEADER = 14, E1000_ETH_MIN = 60, E1000_FCS = 4 };

#define E1000_FRAME_MAX     (NET_FRAME_MAX)
#define E1000_DESCRIPTOR    16
#define E1000_EEPROM_WORDS  64
#define E1000_PHY_REGISTERS 32

/* What a context descriptor says (3.3.6) */
typedef struct E1000Context {
    uint32_t ip, tcp, length, mss; /* its four double words */
} E1000Context;

/* The packet that is being put together. */
typedef struct E1000Tx {
    E1000Context context[2];   /* of checksums, of segmentation */
    uint32_t desc[4];          /* being worked off */
    uint32_t done;             /* bytes of its buffer that were taken */
    uint32_t len;              /* bytes in frame */
    uint32_t header_len;       /* bytes in header; 0: not known yet */
    uint32_t payload;          /* bytes that went out in earlier segments */
    uint16_t segments;         /* how many */
    uint16_t vlan;             /* tag to put in */
    uint8_t options;           /* POPTS of the first descriptor */
    uint8_t busy;              /* desc is valid */
    uint8_t started;           /* a packet has begun */
    uint8_t segmenting, uncut; /* it is to be segmented; but the netdev takes it as it is */
    uint8_t tagged;            /* vlan is valid */
    uint8_t sum_start, sum_at; /* legacy: CSS, CSO; sum_at 0: no checksum */
    uint8_t dropped;           /* nonsense: not sent */
    uint8_t ready;             /* frame is to be sent; */
    uint8_t last;              /* it ends the packet */
    uint8_t header[256];
    uint8_t frame[E1000_FRAME_MAX];
} E1000Tx;

typedef struct E1000 {
    PciDevice pci;
    MemRegion mmio, io;
    Netdev *netdev;
    uint8_t mac[6]; /* property */
    uint32_t bootindex;
    uint32_t regs[E1000_REGS_END / 4];
    uint32_t io_address; /* IOADDR of the I/O BAR */
    uint16_t phy[E1000_PHY_REGISTERS];
    uint16_t eeprom[E1000_EEPROM_WORDS];
    struct {
        uint16_t in;    /* bits that came, the newest lowest; with the start bit */
        uint16_t out;   /* bits to go, the next highest */
        uint8_t bits;   /* of the command that have come */
        uint8_t active; /* a start bit was seen */
        uint8_t level;  /* of DO */
    } microwire;
    bool irq_level;
    Timer itr_timer;            /* no interrupt before */
    Timer rx_timer, tx_timer;   /* RXT0, TXDW are due */
    int64_t rx_limit, tx_limit; /* latest time for them (RADV, TADV); TIMER_NEVER: none is waiting */
    bool waiting;               /* the transmitter waits for the netdev or the main loop's turn */
    bool paused;                /* by the machine */
    E1000Tx tx;
} E1000;

extern const DeviceType e1000_type;

static inline uint32_t *e1000_reg(E1000 *s, unsigned offset)
{
    return &s->regs[offset / 4];
}
static inline uint32_t e1000_get(const E1000 *s, unsigned offset)
{
    return s->regs[offset / 4];
}

/* ---- registers and interrupts (e1000.c) ---- */
void e1000_raise(E1000 *s, uint32_t causes);
/* Raise cause when delay (of 1.024 us) has passed since the last such call, at the latest after limit (0: no limit). */
void e1000_raise_later(E1000 *s, uint32_t cause, uint16_t delay, uint16_t limit);
/* Statistics: they stay at their greatest value. wide: of 64 bits. */
void e1000_count(E1000 *s, unsigned offset, uint32_t n);
void e1000_count_wide(E1000 *s, unsigned offset, uint32_t n);
/* The counter for frames of this length (with FCS), of the six from first on. */
void e1000_count_size(E1000 *s, unsigned first, size_t len);
bool e1000_link_up(const E1000 *s);

/* ---- EEPROM and PHY (e1000_board.c) ---- */
void e1000_board_init(E1000 *s); /* after the MAC address is known */
void e1000_board_reset(E1000 *s);
uint32_t e1000_eecd_read(const E1000 *s);
void e1000_eecd_write(E1000 *s, uint32_t value);
void e1000_eerd_write(E1000 *s, uint32_t value);
void e1000_mdic_write(E1000 *s, uint32_t value);
void e1000_phy_reset(E1000 *s);
bool e1000_phy_loopback(const E1000 *s);

/* ---- transmitter (e1000_tx.c) ---- */
void e1000_transmit(E1000 *s); /* whatever there is to send */
void e1000_transmit_again(void *opaque);
void e1000_tx_reset(E1000 *s);
void e1000_tx_sanitize(E1000 *s); /* after loading */

/* ---- receiver (e1000_rx.c) ---- */
/* False: there are no descriptors for it now. */
bool e1000_receive(E1000 *s, const uint8_t *frame, size_t len, bool checked);

#endif
