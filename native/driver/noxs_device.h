/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef NOXS_DEVICE_H
#define NOXS_DEVICE_H

#include <linux/types.h>
#include <linux/virtio.h>
#include <linux/wait.h>
#include <xen/events.h>

#include "noxs.h"

/* How long the VMM may take to answer; it answers in microseconds unless it hangs. */
#define NOXS_TIME_LIMIT_SECONDS 10

struct noxs_device;
struct platform_device;

/* One entry of the device page. Written by the scan alone. */
struct noxs_slot {
	unsigned int index;
	u32 port; /* 0: not bound yet */
	int irq;
	u32 released; /* id of the last device given back */
	struct noxs_device *device; /* read by the interrupt handler */
};

/* A device of either kind: the guest's one sysctl, or one of virtio's. */
struct noxs_device {
	struct virtio_device vdev; /* not initialised for sysctl */
	struct platform_device *parent;
	struct noxs_slot *slot;
	struct noxs_control_page *page;
	wait_queue_head_t answered;
	struct virtqueue *queues[NOXS_MAX_QUEUES];
	u64 offered;
	u32 id;
	u32 type;
	u32 request; /* last number written */
	u32 config_generation; /* last one that the driver was told of */
	u32 asked; /* sysctl: last sequence number obeyed */
	u32 said; /* sysctl: last sequence number written */
	u8 status; /* as the driver set it */
	bool registered;
	bool gone; /* the entry vanished: the page is no longer ours */
	bool broken; /* until the next reset */
	bool silent; /* a request was not answered in time: there will be no other */
};

static inline void noxs_ring(struct noxs_device *device)
{
	notify_remote_via_evtchn(device->slot->port);
}

/*
 * What each kind of device does when it comes, when it goes and when its port
 * is rung. The first makes the device known to the interrupt handler as soon as
 * it can take one; after the second the caller takes it away from there, waits
 * for a handler that still runs, and puts the device.
 */
int noxs_virtio_register(struct noxs_device *device);
void noxs_virtio_unregister(struct noxs_device *device);
void noxs_virtio_interrupt(struct noxs_device *device, int irq);

void noxs_sysctl_register(struct noxs_device *device);
void noxs_sysctl_unregister(void);
void noxs_sysctl_interrupt(struct noxs_device *device);
void noxs_sysctl_init(void);

/*
 * Tells the VMM that there is memory up to `end`, and waits until it can reach
 * that. False when it does not answer.
 */
bool noxs_announce_memory(u64 end);

#endif /* NOXS_DEVICE_H */
