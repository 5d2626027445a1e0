/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * noxs: devices without XenStore. The whole contract between a guest and the
 * VMM that serves its devices. The Rust mirror is ../src/lib.rs; both sides
 * assert every offset at compile time.
 *
 * Primer
 * ------
 * The builder sets aside a REGION of the guest's own RAM, marks it reserved
 * in the PVH memory map and names its guest-physical address on the command
 * line (noxs=0x...). Page 0 of the region is the DEVICE PAGE; each device in
 * it points to one CONTROL PAGE in the same region. The back end reaches the
 * region through the foreign map it has anyway: no grant, no XenStore.
 *
 *      device page                      control page (one a device)
 *   +--------------------+           +-------------------------------+
 *   | header             |           | back half  (written by VMM)   |
 *   |  generation        |           |  features, limits, ack, config|
 *   |  doorbell port     |           +-------------------------------+
 *   +--------------------+           | front half (written by guest) |
 *   | entry 0  ----------|---------> |  request, status, queues      |
 *   | entry 1            |           +-------------------------------+
 *   | ...                |
 *
 * Every field has exactly one writer. All integers are little-endian and
 * naturally aligned. A reader of a page that another domain writes reads each
 * field once, checks it once and never looks again.
 *
 * Where things are. Page 0 of the region is the device page; the VMM puts the
 * control page of slot n into page 1 + n, but a guest uses control_address.
 * The VMM zeroes both halves of a control page before it shows the device; that
 * is the only time that it writes the front half.
 *
 * Requests. A doorbell does not trap, so a change that needs an answer is:
 * the guest writes its front half, stores request = request + 1 (release),
 * rings the device's event channel and waits until ack == request (acquire),
 * with a time limit. The VMM then has put its verdict into back.status:
 * the status bits as virtio defines them (2.1 Device Status Field), with
 * FEATURES_OK cleared when it refuses the features and NEEDS_RESET set when
 * the device is broken; it rings the device's channel as well. A change that
 * needs no answer (DRIVER_OK, a kick) is written and rung without a new request
 * number. A driver that finds request != 0 (after kexec) counts on from there,
 * and starts with a reset: a request whose status is 0.
 *
 *      reset ── FEATURES_OK, granted ──> negotiated ── DRIVER_OK ──> running
 *        ^                                   │                          │
 *        └──────── request, status 0 ────────┴───────── broken <────────┘
 *
 * FEATURES_OK must come with a request; it is granted when the features contain
 * VIRTIO_F_VERSION_1 and nothing that is not on offer, and they are fixed then.
 * The queues are read once, when DRIVER_OK is first seen, with a request or
 * without. A request may not take FEATURES_OK or DRIVER_OK back except by 0.
 * Any value that this contract does not allow breaks the device: the VMM sets
 * NEEDS_RESET in back.status, grows config_generation, rings, and serves the
 * device no more until it is reset.
 *
 * Doorbells. One event channel a device, both ways. Whoever is rung scans the
 * queues of that device; the guest also compares back.config_generation.
 * virtio's event index suppresses needless rings. The channel named by the
 * header's doorbell_port is rung when the device page itself has changed.
 *
 * Configuration. Of today's devices only sysctl's changes. config is changed in
 * aligned 8-byte stores, and config_generation grows afterwards; fields that
 * must fit together share such a word.
 *
 * Hot-plug. The VMM fills the control page, then the entry, then stores
 * entry.state = PRESENT (release), bumps header.generation (release) and rings
 * the doorbell. Unplug: entry.state = REMOVING, generation, ring; the guest
 * lets go of the device and answers with a request whose status is 0 and
 * NOXS_FRONT_RELEASED set in front.flags; the VMM acknowledges, stores EMPTY and
 * bumps the generation, without ringing for it. NOXS_FRONT_RELEASED on a device
 * that is PRESENT is a plain reset. A guest that finds an entry REMOVING that it
 * never used answers in the same way, or the slot stays taken. The guest rescans the whole page whenever
 * the generation differs from the one it saw; a slot whose id differs from the
 * one it saw holds another device.
 */
#ifndef NOXS_H
#define NOXS_H

#ifdef __KERNEL__
#include <linux/types.h>
#define NOXS_U8 __u8
#define NOXS_U16 __le16
#define NOXS_U32 __le32
#define NOXS_U64 __le64
#else
#include <stdint.h>
#define NOXS_U8 uint8_t
#define NOXS_U16 uint16_t
#define NOXS_U32 uint32_t
#define NOXS_U64 uint64_t
#endif

/* First word of the device page: 'N' 'X' 'S' in bits 31..8, version in 7..0. */
#define NOXS_MAGIC 0x53584e00u
#define NOXS_VERSION 1u
#define NOXS_FIRST_WORD (NOXS_MAGIC | NOXS_VERSION)

#define NOXS_PAGE_SIZE 4096u
/* Entries that fit behind the header; a page may declare fewer. */
#define NOXS_MAX_SLOTS 63u
/* Virtqueues a control page has room for. */
#define NOXS_MAX_QUEUES 16u
/* Bytes of device configuration in either half. */
#define NOXS_CONFIG_SIZE 1024u

/* entry.type: a virtio device id (virtio 1.2, section 5), or one of ours. */
#define NOXS_TYPE_NET 1u
#define NOXS_TYPE_BLOCK 2u
#define NOXS_TYPE_RNG 4u
#define NOXS_TYPE_BALLOON 5u
#define NOXS_TYPE_VSOCK 19u
#define NOXS_TYPE_MEM 24u
#define NOXS_TYPE_FS 26u
#define NOXS_TYPE_SYSCTL 0x10000u /* no virtqueues: struct noxs_sysctl_* in the config areas */

/* entry.state */
#define NOXS_SLOT_EMPTY 0u
#define NOXS_SLOT_PRESENT 1u
#define NOXS_SLOT_REMOVING 2u

struct noxs_header {
	NOXS_U32 first_word;    /* NOXS_FIRST_WORD */
	NOXS_U32 generation;    /* grows by one with every change of the page, wraps */
	NOXS_U32 doorbell_port; /* guest's event channel port, rung on page changes */
	NOXS_U16 slot_count;    /* entries that follow, 1..NOXS_MAX_SLOTS */
	NOXS_U16 entry_size;    /* sizeof(struct noxs_entry) */
	NOXS_U32 region_pages;  /* pages of the region, device page included */
	NOXS_U32 reserved[11];
};

struct noxs_entry {
	NOXS_U32 type;            /* NOXS_TYPE_* or any virtio device id */
	NOXS_U32 id;              /* unique in this guest's life, never reused */
	NOXS_U32 state;           /* NOXS_SLOT_* */
	NOXS_U32 port;            /* guest's event channel port of this device */
	NOXS_U64 control_address; /* guest-physical, page-aligned, inside the region */
	NOXS_U32 backend_domid;   /* who serves it: 0 unless there are driver domains */
	NOXS_U32 reserved[9];
};

struct noxs_device_page {
	struct noxs_header header;
	struct noxs_entry entries[NOXS_MAX_SLOTS];
};

/* Written by the VMM, read by the guest. */
struct noxs_back {
	NOXS_U64 features;          /* virtio feature bits on offer */
	NOXS_U32 ack;               /* last request number answered */
	NOXS_U32 status;            /* verdict on that request, virtio status bits */
	NOXS_U32 config_generation; /* grows with every change of config, and when broken */
	NOXS_U32 queue_count;       /* 0..NOXS_MAX_QUEUES */
	NOXS_U16 queue_max[NOXS_MAX_QUEUES]; /* largest size of each queue, 0 = absent */
	NOXS_U8 reserved[968];
	NOXS_U8 config[NOXS_CONFIG_SIZE];    /* virtio device configuration */
};

struct noxs_queue {
	NOXS_U16 size;    /* power of two, at most queue_max */
	NOXS_U16 enabled; /* 1 when the three addresses are valid, 0 when unused */
	NOXS_U32 reserved;
	NOXS_U64 descriptors; /* guest-physical: descriptor table, */
	NOXS_U64 driver;      /* available ring, */
	NOXS_U64 device;      /* used ring (split layout, virtio 1.2, 2.7) */
};

/* front.flags */
#define NOXS_FRONT_RELEASED 1u /* the guest has let go of a REMOVING device */

/* Written by the guest, read by the VMM. */
struct noxs_front {
	NOXS_U64 features; /* virtio feature bits accepted */
	NOXS_U32 request;  /* grows by one with each request, wraps */
	NOXS_U32 status;   /* virtio device status as the driver sets it; 0 = reset */
	NOXS_U32 flags;    /* NOXS_FRONT_* */
	NOXS_U32 reserved0;
	NOXS_U8 reserved[488];
	struct noxs_queue queues[NOXS_MAX_QUEUES];
	NOXS_U8 config[NOXS_CONFIG_SIZE]; /* configuration fields that the driver writes */
};

struct noxs_control_page {
	struct noxs_back back;
	struct noxs_front front;
};

/*
 * sysctl device. Config of the back half is what the VMM asks of the guest,
 * config of the front half is what the guest says of itself. Both are plain
 * state, not a queue: change `word`, grow `sequence`, ring. These two fields are
 * stored and loaded as one 8-byte word. No status handshake is needed; requests
 * are answered as for any device.
 */
#define NOXS_SYSCTL_NONE 0u
#define NOXS_SYSCTL_POWEROFF 1u /* VMM -> guest: shut down in good order */
#define NOXS_SYSCTL_REBOOT 2u
#define NOXS_SYSCTL_SUSPEND 3u
#define NOXS_SYSCTL_EXITING 4u /* guest -> VMM: about to power off */
#define NOXS_SYSCTL_RESTARTING 5u
#define NOXS_SYSCTL_PANICKED 6u
#define NOXS_SYSCTL_ALIVE 7u /* guest -> VMM: first sign of life */

/*
 * Memory. A guest may start with less memory than its memory map shows; its
 * command line then names the ranges that are still empty. It asks Xen for
 * them in ascending order (XENMEM_populate_physmap), stores in memory_end where
 * what it has ends now, and rings. It may use that memory for devices, and for
 * anything else, once the VMM's memory_end has come as far. Both only grow;
 * 0 = nothing was said yet.
 */
struct noxs_sysctl {
	NOXS_U32 sequence;
	NOXS_U32 word; /* NOXS_SYSCTL_* */
	NOXS_U64 memory_end; /* guest-physical */
};

#ifndef __cplusplus
#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/stddef.h>
#define NOXS_ASSERT(what) static_assert(what)
#else
#include <stddef.h>
#define NOXS_ASSERT(what) _Static_assert(what, #what)
#endif
NOXS_ASSERT(sizeof(struct noxs_header) == 64);
NOXS_ASSERT(sizeof(struct noxs_entry) == 64);
NOXS_ASSERT(offsetof(struct noxs_entry, control_address) == 16);
NOXS_ASSERT(sizeof(struct noxs_device_page) == NOXS_PAGE_SIZE);
NOXS_ASSERT(offsetof(struct noxs_back, queue_max) == 24);
NOXS_ASSERT(offsetof(struct noxs_back, config) == 1024);
NOXS_ASSERT(sizeof(struct noxs_back) == 2048);
NOXS_ASSERT(sizeof(struct noxs_queue) == 32);
NOXS_ASSERT(offsetof(struct noxs_front, queues) == 512);
NOXS_ASSERT(offsetof(struct noxs_front, config) == 1024);
NOXS_ASSERT(sizeof(struct noxs_front) == 2048);
NOXS_ASSERT(sizeof(struct noxs_control_page) == NOXS_PAGE_SIZE);
NOXS_ASSERT(sizeof(struct noxs_sysctl) == 16);
#endif

#endif /* NOXS_H */
