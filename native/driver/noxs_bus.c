// SPDX-License-Identifier: GPL-2.0-only
/*
 * noxs: devices of a Xen guest without XenStore.
 *
 * The VMM describes the devices in a region of the guest's own memory, whose
 * address is on the command line (noxs=0x...). noxs.h holds the contract, this
 * folder the guest's side of it; this file finds the region and keeps the
 * devices as its first page, the device page, says:
 *
 *   - a slot is an entry of the device page. Its event channel is bound when
 *     the slot is first used and stays bound: unbinding would close the port,
 *     and the VMM uses it again for the slot's next device.
 *   - each device hangs below a platform device noxs<id>, which user space
 *     finds by the number that the VMM gave it.
 *
 * What a device then does is in virtio_noxs.c or noxs_sysctl.c.
 *
 * The VMM is trusted as any hypervisor's device model is. Checks are there so
 * that a disagreement ends in a log line and a missing device, not in a crash.
 */

#define pr_fmt(fmt) "noxs: " fmt

#include <linux/dma-mapping.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <xen/xen.h>
#include <asm/i8259.h>
#include <asm/x86_init.h>

#include "noxs_device.h"

/* The most a region can need: the device page and a control page for each slot. */
#define NOXS_REGION_PAGES_MAX (1 + NOXS_MAX_SLOTS)

static phys_addr_t noxs_address;
static u32 noxs_pages;
static struct noxs_device_page *noxs_page;
static struct noxs_slot *noxs_slots;
static unsigned int noxs_slot_count;

/* ---- Interrupts ------------------------------------------------------ */

static irqreturn_t noxs_interrupt(int irq, void *data)
{
	struct noxs_slot *slot = data;
	struct noxs_device *device = smp_load_acquire(&slot->device);

	if (!device)
		return IRQ_HANDLED;
	if (device->type == NOXS_TYPE_SYSCTL)
		noxs_sysctl_interrupt(device);
	else
		noxs_virtio_interrupt(device, irq);
	return IRQ_HANDLED;
}

/* The port of a slot is the same for all its devices, unless the VMM says otherwise. */
static int noxs_bind(struct noxs_slot *slot, u32 port)
{
	int irq;

	if (slot->port == port)
		return 0;
	if (slot->port)
		unbind_from_irqhandler(slot->irq, slot);
	slot->port = 0;
	irq = bind_evtchn_to_irqhandler(port, noxs_interrupt, 0, "noxs", slot);
	if (irq < 0)
		return irq;
	slot->irq = irq;
	slot->port = port;
	return 0;
}

/* ---- Devices --------------------------------------------------------- */

static struct noxs_control_page *noxs_control_page(u64 address)
{
	u64 offset = address - noxs_address;

	if (offset < NOXS_PAGE_SIZE || offset % NOXS_PAGE_SIZE ||
	    offset / NOXS_PAGE_SIZE >= noxs_pages)
		return NULL;
	return (void *)noxs_page + offset;
}

static struct platform_device *noxs_create_parent(u32 id)
{
	char name[sizeof("noxs4294967295")];
	struct platform_device_info info = {
		.name = name,
		.id = PLATFORM_DEVID_NONE,
		.dma_mask = DMA_BIT_MASK(64),
	};

	snprintf(name, sizeof(name), "noxs%u", id);
	return platform_device_register_full(&info);
}

static int noxs_register(struct noxs_device *device)
{
	if (device->type != NOXS_TYPE_SYSCTL)
		return noxs_virtio_register(device);
	noxs_sysctl_register(device);
	return 0;
}

/* The end of a device that was registered, also of one whose registration failed. */
static void noxs_put(struct noxs_device *device)
{
	if (device->type == NOXS_TYPE_SYSCTL)
		kfree(device);
	else
		put_device(&device->vdev.dev);
}

static int noxs_add(struct noxs_slot *slot, u32 type, u32 id, u32 port, u64 address)
{
	struct noxs_device *device;
	int error;

	device = kzalloc(sizeof(*device), GFP_KERNEL);
	if (!device)
		return -ENOMEM;
	init_waitqueue_head(&device->answered);
	device->slot = slot;
	device->id = id;
	device->type = type;
	error = -EINVAL;
	device->page = noxs_control_page(address);
	if (!device->page)
		goto free;
	WRITE_ONCE(device->page->front.flags, 0);
	device->request = le32_to_cpu(READ_ONCE(device->page->front.request));
	device->status = le32_to_cpu(READ_ONCE(device->page->front.status));
	device->said = le32_to_cpu(((struct noxs_sysctl *)device->page->front.config)->sequence);
	error = noxs_bind(slot, port);
	if (error)
		goto free;
	device->parent = noxs_create_parent(id);
	error = PTR_ERR_OR_ZERO(device->parent);
	if (error)
		goto free;
	error = noxs_register(device);
	if (!error)
		return 0;
	smp_store_release(&slot->device, NULL);
	synchronize_irq(slot->irq);
	platform_device_unregister(device->parent);
	noxs_put(device);
	return error;
free:
	kfree(device);
	return error;
}

/* Lets go of a device. `gone`: its page may already belong to another one. */
static void noxs_remove(struct noxs_slot *slot, bool gone)
{
	struct noxs_device *device = slot->device;
	struct platform_device *parent = device->parent;

	device->gone = gone;
	if (device->type == NOXS_TYPE_SYSCTL)
		noxs_sysctl_unregister();
	else
		noxs_virtio_unregister(device);
	smp_store_release(&slot->device, NULL);
	synchronize_irq(slot->irq);
	noxs_put(device);
	platform_device_unregister(parent);
}

/*
 * Gives a device back that the VMM wants to remove, also one that this side never
 * took. The answer is the entry's next state, so there is nothing to wait for.
 */
static void noxs_give_back(struct noxs_slot *slot, u32 id, u32 port, u64 address)
{
	struct noxs_control_page *page = noxs_control_page(address);
	struct noxs_front *front;

	if (!page || slot->released == id)
		return;
	slot->released = id;
	front = &page->front;
	WRITE_ONCE(front->status, 0);
	WRITE_ONCE(front->flags, cpu_to_le32(NOXS_FRONT_RELEASED));
	virt_store_release(&front->request,
			   cpu_to_le32(le32_to_cpu(READ_ONCE(front->request)) + 1));
	notify_remote_via_evtchn(port);
}

/* ---- The device page ------------------------------------------------- */

static void noxs_scan_slot(struct noxs_slot *slot)
{
	const struct noxs_entry *entry = &noxs_page->entries[slot->index];
	u32 state = le32_to_cpu(virt_load_acquire(&entry->state));
	u32 type = le32_to_cpu(READ_ONCE(entry->type));
	u32 id = le32_to_cpu(READ_ONCE(entry->id));
	u32 port = le32_to_cpu(READ_ONCE(entry->port));
	u64 address = le64_to_cpu(READ_ONCE(entry->control_address));
	int error;

	if (slot->device) {
		if (state == NOXS_SLOT_PRESENT && slot->device->id == id)
			return;
		noxs_remove(slot, state != NOXS_SLOT_REMOVING || slot->device->id != id);
	}
	if (state == NOXS_SLOT_REMOVING)
		noxs_give_back(slot, id, port, address);
	if (state != NOXS_SLOT_PRESENT)
		return;
	error = noxs_add(slot, type, id, port, address);
	if (error)
		pr_err("device %u of type %u in slot %u: error %d\n", id, type, slot->index, error);
}

static void noxs_scan(struct work_struct *work)
{
	u32 generation;
	unsigned int i;

	do {
		generation = le32_to_cpu(virt_load_acquire(&noxs_page->header.generation));
		for (i = 0; i < noxs_slot_count; i++)
			noxs_scan_slot(&noxs_slots[i]);
	} while (le32_to_cpu(READ_ONCE(noxs_page->header.generation)) != generation);
}

static DECLARE_WORK(noxs_scan_work, noxs_scan);

static irqreturn_t noxs_page_changed(int irq, void *data)
{
	queue_work(system_unbound_wq, &noxs_scan_work);
	return IRQ_HANDLED;
}

/*
 * A noxs guest has no PIT, PIC, HPET or CMOS clock. Linux would learn that by
 * reading their ports until it gives up: 100 000 exits to Xen, most of the time
 * that a pod takes to boot. The parameter is read before any of them is sought.
 */
static void __init noxs_rule_out_pc(void)
{
	legacy_pic = &null_legacy_pic;
	x86_init.timers.timer_init = x86_init_noop;
	x86_init.irqs.pre_vector_init = x86_init_noop;
	x86_platform.legacy.rtc = 0;
	x86_platform.legacy.warm_reset = 0;
}

static int __init noxs_parse_address(char *text)
{
	u64 address;
	int error = text ? kstrtoull(text, 0, &address) : -EINVAL;

	if (error || !address || address % NOXS_PAGE_SIZE) {
		pr_err("noxs= needs the address of a page\n");
		return -EINVAL;
	}
	noxs_address = address;
	noxs_rule_out_pc();
	return 0;
}
early_param("noxs", noxs_parse_address);

/* Maps the region, whose own first page says how long it is. */
static int __init noxs_map(void)
{
	struct noxs_header *header = memremap(noxs_address, NOXS_PAGE_SIZE, MEMREMAP_WB);
	u32 first_word, entry_size;

	if (!header)
		return -ENOMEM;
	first_word = le32_to_cpu(READ_ONCE(header->first_word));
	entry_size = le16_to_cpu(READ_ONCE(header->entry_size));
	noxs_slot_count = le16_to_cpu(READ_ONCE(header->slot_count));
	noxs_pages = le32_to_cpu(READ_ONCE(header->region_pages));
	memunmap(header);
	if (first_word != NOXS_FIRST_WORD || entry_size != sizeof(struct noxs_entry) ||
	    noxs_slot_count < 1 || noxs_slot_count > NOXS_MAX_SLOTS ||
	    noxs_pages < 1 || noxs_pages > NOXS_REGION_PAGES_MAX) {
		pr_err("no device page of version %u at %pa: first word %#x, %u slots of %u bytes, %u pages\n",
		       NOXS_VERSION, &noxs_address, first_word, noxs_slot_count, entry_size,
		       noxs_pages);
		return -ENODEV;
	}
	noxs_page = memremap(noxs_address, noxs_pages * NOXS_PAGE_SIZE, MEMREMAP_WB);
	return noxs_page ? 0 : -ENOMEM;
}

static int __init noxs_init(void)
{
	unsigned int i;
	int error;

	if (!noxs_address || !xen_hvm_domain())
		return 0;
	error = noxs_map();
	if (error)
		return error;
	noxs_slots = kcalloc(noxs_slot_count, sizeof(*noxs_slots), GFP_KERNEL);
	if (!noxs_slots)
		return -ENOMEM;
	for (i = 0; i < noxs_slot_count; i++)
		noxs_slots[i].index = i;
	noxs_sysctl_init();
	error = bind_evtchn_to_irqhandler(le32_to_cpu(READ_ONCE(noxs_page->header.doorbell_port)),
					  noxs_page_changed, 0, "noxs", &noxs_scan_work);
	if (error < 0)
		pr_err("no hot-plug: cannot bind the doorbell: error %d\n", error);
	/* Synchronous, so that the devices of the start are there before init runs. */
	queue_work(system_unbound_wq, &noxs_scan_work);
	flush_work(&noxs_scan_work);
	return 0;
}
device_initcall(noxs_init);
