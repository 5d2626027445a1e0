// SPDX-License-Identifier: GPL-2.0-only
/*
 * noxs: virtio devices of a Xen guest without XenStore.
 *
 * The VMM describes the devices in a region of the guest's own memory, whose
 * address is on the command line (noxs=0x...). noxs.h holds the contract; this
 * file is the guest's side of it:
 *
 *   - a slot is an entry of the device page. Its event channel is bound when
 *     the slot is first used and stays bound: unbinding would close the port,
 *     and the VMM uses it again for the slot's next device.
 *   - each device hangs below a platform device noxs<id>, which user space
 *     finds by the number that the VMM gave it.
 *   - whatever the VMM must answer is a request: write the front half, grow
 *     the request number, ring, sleep until it is acknowledged.
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
#include <linux/log2.h>
#include <linux/panic_notifier.h>
#include <linux/platform_device.h>
#include <linux/reboot.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/version.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <xen/events.h>
#include <xen/interface/sched.h>
#include <xen/xen.h>
#include <asm/i8259.h>
#include <asm/x86_init.h>
#include <asm/xen/hypercall.h>

#include "noxs.h"
#include "noxs_memory.h"

/* How long the VMM may take to answer; it answers in microseconds unless it hangs. */
#define NOXS_TIME_LIMIT_SECONDS 10
/* The most a region can need: the device page and a control page for each slot. */
#define NOXS_REGION_PAGES_MAX (1 + NOXS_MAX_SLOTS)
#define NOXS_QUEUE_SIZE_MAX 32768

struct noxs_device;

/* One entry of the device page. Written by the scan alone. */
struct noxs_slot {
	unsigned int index;
	u32 port; /* 0: not bound yet */
	int irq;
	u32 released; /* id of the last device given back */
	struct noxs_device *device; /* read by the interrupt handler */
};

struct noxs_device {
	struct virtio_device vdev;
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

static phys_addr_t noxs_address;
static u32 noxs_pages;
static struct noxs_device_page *noxs_page;
static struct noxs_slot *noxs_slots;
static unsigned int noxs_slot_count;
/* Set and cleared by the scan; used where nothing may sleep. */
static struct noxs_device *noxs_sysctl_device;

static struct noxs_device *to_noxs(struct virtio_device *vdev)
{
	return container_of(vdev, struct noxs_device, vdev);
}

static void noxs_ring(struct noxs_device *device)
{
	notify_remote_via_evtchn(device->slot->port);
}

/* ---- Requests -------------------------------------------------------- */

static bool noxs_acknowledged(struct noxs_device *device)
{
	return le32_to_cpu(virt_load_acquire(&device->page->back.ack)) == device->request;
}

static bool noxs_wait(struct noxs_device *device)
{
	ktime_t limit;

	if (!irqs_disabled() && !oops_in_progress)
		return wait_event_timeout(device->answered, noxs_acknowledged(device),
					  NOXS_TIME_LIMIT_SECONDS * HZ);
	/* Where sleeping is forbidden, let the VMM have the CPU until it answers. */
	limit = ktime_add(ktime_get(), ktime_set(NOXS_TIME_LIMIT_SECONDS, 0));
	while (!noxs_acknowledged(device)) {
		if (ktime_after(ktime_get(), limit))
			return false;
		HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
	}
	return true;
}

static void noxs_break(struct noxs_device *device, const char *why)
{
	if (device->broken)
		return;
	device->broken = true;
	dev_err(&device->parent->dev, "device %u is broken: %s\n", device->id, why);
	if (device->registered)
		virtio_break_device(&device->vdev);
}

/*
 * Has the VMM look at the front half and waits for its verdict. virtio core
 * serialises everything that leads here for one device.
 */
static int noxs_request(struct noxs_device *device)
{
	if (device->gone || device->silent)
		return -ENODEV;
	device->request++;
	virt_store_release(&device->page->front.request, cpu_to_le32(device->request));
	noxs_ring(device);
	if (!noxs_wait(device)) {
		device->silent = true;
		noxs_break(device, "no answer to a request in time");
		return -ETIMEDOUT;
	}
	return 0;
}

static u32 noxs_verdict(struct noxs_device *device)
{
	if (device->gone || device->silent)
		return VIRTIO_CONFIG_S_NEEDS_RESET;
	return le32_to_cpu(READ_ONCE(device->page->back.status));
}

static void noxs_write_status(struct noxs_device *device, u8 status)
{
	device->status = status;
	if (!device->gone)
		virt_store_release(&device->page->front.status, cpu_to_le32(status));
}

/* ---- virtio configuration -------------------------------------------- */

static bool noxs_config_fits(struct noxs_device *device, unsigned int offset, unsigned int length)
{
	if (offset <= NOXS_CONFIG_SIZE && length <= NOXS_CONFIG_SIZE - offset)
		return true;
	dev_warn_once(&device->parent->dev, "configuration ends before %u+%u\n", offset, length);
	return false;
}

static void noxs_get(struct virtio_device *vdev, unsigned int offset, void *buffer,
		     unsigned int length)
{
	struct noxs_device *device = to_noxs(vdev);
	const u8 *config;

	if (device->gone || !noxs_config_fits(device, offset, length)) {
		memset(buffer, 0, length);
		return;
	}
	config = device->page->back.config + offset;
	/* Fields are naturally aligned: one access each, so that none is torn. */
	if (length == 2 && !(offset & 1))
		*(u16 *)buffer = READ_ONCE(*(const u16 *)config);
	else if (length == 4 && !(offset & 3))
		*(u32 *)buffer = READ_ONCE(*(const u32 *)config);
	else if (length == 8 && !(offset & 7))
		*(u64 *)buffer = READ_ONCE(*(const u64 *)config);
	else
		memcpy(buffer, config, length);
}

static void noxs_set(struct virtio_device *vdev, unsigned int offset, const void *buffer,
		     unsigned int length)
{
	struct noxs_device *device = to_noxs(vdev);

	if (device->gone || !noxs_config_fits(device, offset, length))
		return;
	memcpy(device->page->front.config + offset, buffer, length);
	/* A driver reads back what it wrote, so wait until the VMM has it. */
	noxs_request(device);
}

static u32 noxs_generation(struct virtio_device *vdev)
{
	struct noxs_device *device = to_noxs(vdev);
	u32 generation;

	virt_rmb();
	generation = le32_to_cpu(READ_ONCE(device->page->back.config_generation));
	virt_rmb();
	return generation;
}

static u8 noxs_get_status(struct virtio_device *vdev)
{
	struct noxs_device *device = to_noxs(vdev);
	u32 verdict = noxs_verdict(device);
	u8 status = device->status;

	if (!status)
		return 0;
	if (!(verdict & VIRTIO_CONFIG_S_FEATURES_OK))
		status &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	return status | (verdict & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void noxs_set_status(struct virtio_device *vdev, u8 status)
{
	struct noxs_device *device = to_noxs(vdev);
	u8 added = status & ~device->status;

	if (device->gone)
		return;
	noxs_write_status(device, status);
	/* The VMM judges features. It need only hear of the rest, and not even of ACKNOWLEDGE. */
	if (added & VIRTIO_CONFIG_S_FEATURES_OK)
		noxs_request(device);
	else if (added & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED))
		noxs_ring(device);
}

static void noxs_reset(struct virtio_device *vdev)
{
	struct noxs_device *device = to_noxs(vdev);

	noxs_write_status(device, 0);
	/* A device that was never asked anything is in reset: probing costs a round trip less. */
	if (device->request && !noxs_request(device))
		device->broken = false;
	synchronize_irq(device->slot->irq);
}

static u64 noxs_get_features(struct virtio_device *vdev)
{
	struct noxs_device *device = to_noxs(vdev);

	device->offered = le64_to_cpu(READ_ONCE(device->page->back.features));
	return device->offered;
}

static int noxs_finalize_features(struct virtio_device *vdev)
{
	struct noxs_device *device = to_noxs(vdev);

	vring_transport_features(vdev);
	/* The contract has the split layout only, and doorbells carry no data. */
	__virtio_clear_bit(vdev, VIRTIO_F_RING_PACKED);
#ifdef VIRTIO_F_NOTIFICATION_DATA
	__virtio_clear_bit(vdev, VIRTIO_F_NOTIFICATION_DATA);
#endif
	if (!__virtio_test_bit(vdev, VIRTIO_F_VERSION_1)) {
		dev_err(&vdev->dev, "device does not offer VIRTIO_F_VERSION_1\n");
		return -EINVAL;
	}
	WRITE_ONCE(device->page->front.features, cpu_to_le64(vdev->features));
	return 0;
}

static const char *noxs_bus_name(struct virtio_device *vdev)
{
	return dev_name(&to_noxs(vdev)->parent->dev);
}

/* ---- Virtqueues ------------------------------------------------------ */

static bool noxs_notify(struct virtqueue *queue)
{
	noxs_ring(to_noxs(queue->vdev));
	return true;
}

static void noxs_del_vqs(struct virtio_device *vdev)
{
	struct noxs_device *device = to_noxs(vdev);
	struct virtqueue *queue, *next;
	unsigned int i;

	for (i = 0; i < NOXS_MAX_QUEUES; i++) {
		WRITE_ONCE(device->queues[i], NULL);
		if (!device->gone)
			WRITE_ONCE(device->page->front.queues[i].enabled, 0);
	}
	synchronize_irq(device->slot->irq);
	list_for_each_entry_safe(queue, next, &vdev->vqs, list)
		vring_del_virtqueue(queue);
}

static struct virtqueue *noxs_setup_queue(struct noxs_device *device, unsigned int index,
					  const char *name, vq_callback_t *callback, bool ctx)
{
	struct noxs_queue *front = &device->page->front.queues[index];
	struct virtqueue *queue;
	unsigned int size;

	if (index >= NOXS_MAX_QUEUES)
		return ERR_PTR(-ENOENT);
	size = le16_to_cpu(READ_ONCE(device->page->back.queue_max[index]));
	if (size == 0 || size > NOXS_QUEUE_SIZE_MAX)
		return ERR_PTR(-ENOENT);
	size = rounddown_pow_of_two(size);
	queue = vring_create_virtqueue(index, size, SMP_CACHE_BYTES, &device->vdev, true, true, ctx,
				       noxs_notify, callback, name);
	if (!queue)
		return ERR_PTR(-ENOMEM);
	queue->num_max = size;
	front->size = cpu_to_le16(virtqueue_get_vring_size(queue));
	front->descriptors = cpu_to_le64(virtqueue_get_desc_addr(queue));
	front->driver = cpu_to_le64(virtqueue_get_avail_addr(queue));
	front->device = cpu_to_le64(virtqueue_get_used_addr(queue));
	virt_store_release(&front->enabled, cpu_to_le16(1));
	WRITE_ONCE(device->queues[index], queue);
	return queue;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
static int noxs_find_vqs(struct virtio_device *vdev, unsigned int count, struct virtqueue *queues[],
			 struct virtqueue_info infos[], struct irq_affinity *affinity)
#else
static int noxs_find_vqs(struct virtio_device *vdev, unsigned int count, struct virtqueue *queues[],
			 vq_callback_t *callbacks[], const char *const names[], const bool *ctx,
			 struct irq_affinity *affinity)
#endif
{
	unsigned int i, index = 0;

	for (i = 0; i < count; i++) {
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
		const char *name = infos[i].name;
		vq_callback_t *callback = infos[i].callback;
		bool with_ctx = infos[i].ctx;
#else
		const char *name = names[i];
		vq_callback_t *callback = callbacks[i];
		bool with_ctx = ctx && ctx[i];
#endif
		queues[i] = NULL;
		if (!name)
			continue;
		queues[i] = noxs_setup_queue(to_noxs(vdev), index++, name, callback, with_ctx);
		if (IS_ERR(queues[i])) {
			int error = PTR_ERR(queues[i]);

			dev_err(&vdev->dev, "virtqueue %s: error %d\n", name, error);
			noxs_del_vqs(vdev);
			return error;
		}
	}
	return 0;
}

static void noxs_synchronize_cbs(struct virtio_device *vdev)
{
	synchronize_irq(to_noxs(vdev)->slot->irq);
}

static const struct virtio_config_ops noxs_config_ops = {
	.get = noxs_get,
	.set = noxs_set,
	.generation = noxs_generation,
	.get_status = noxs_get_status,
	.set_status = noxs_set_status,
	.reset = noxs_reset,
	.find_vqs = noxs_find_vqs,
	.del_vqs = noxs_del_vqs,
	.synchronize_cbs = noxs_synchronize_cbs,
	.get_features = noxs_get_features,
	.finalize_features = noxs_finalize_features,
	.bus_name = noxs_bus_name,
};

/* ---- sysctl: what the VMM asks of the guest, and what the guest says - */

/* Callable anywhere, also while the system goes down. */
static void noxs_say(u32 word)
{
	struct noxs_device *device;

	rcu_read_lock();
	device = READ_ONCE(noxs_sysctl_device);
	if (device) {
		/* Word and sequence number in one store, as the VMM reads them in one load. */
		WRITE_ONCE(*(__le64 *)device->page->front.config,
			   cpu_to_le64((u64)word << 32 | ++device->said));
		noxs_ring(device);
	}
	rcu_read_unlock();
}

static void noxs_obey(struct noxs_device *device)
{
	u64 both = le64_to_cpu(READ_ONCE(*(const __le64 *)device->page->back.config));
	u32 sequence = lower_32_bits(both);
	u32 word = upper_32_bits(both);

	if (sequence == device->asked)
		return;
	device->asked = sequence;
	switch (word) {
	case NOXS_SYSCTL_NONE:
		break;
	case NOXS_SYSCTL_POWEROFF:
		pr_info("asked to power off\n");
		orderly_poweroff(true);
		break;
	case NOXS_SYSCTL_REBOOT:
		pr_info("asked to restart\n");
		orderly_reboot();
		break;
	default:
		pr_warn("asked for %u, which this kernel does not know\n", word);
	}
}

static bool noxs_reaches(struct noxs_device *device, u64 end)
{
	const struct noxs_sysctl *sysctl = (const void *)device->page->back.config;

	return le64_to_cpu(virt_load_acquire(&sysctl->memory_end)) >= end;
}

bool noxs_announce_memory(u64 end)
{
	/* The VMM removes devices, but never this one. */
	struct noxs_device *device = READ_ONCE(noxs_sysctl_device);
	struct noxs_sysctl *sysctl;

	if (!device)
		return false;
	sysctl = (void *)device->page->front.config;
	WRITE_ONCE(sysctl->memory_end, cpu_to_le64(end));
	noxs_ring(device);
	return wait_event_timeout(device->answered, noxs_reaches(device, end),
				  NOXS_TIME_LIMIT_SECONDS * HZ);
}

static int noxs_on_reboot(struct notifier_block *block, unsigned long action, void *command)
{
	/* Powering off is said by noxs_power_off(), when the guest really goes. */
	if (action == SYS_RESTART)
		noxs_say(NOXS_SYSCTL_RESTARTING);
	else if (action == SYS_HALT)
		noxs_say(NOXS_SYSCTL_EXITING);
	return NOTIFY_DONE;
}

/* The last to be told: what other notifiers still do, the guest does before it says goodbye. */
static struct notifier_block noxs_reboot_notifier = {
	.notifier_call = noxs_on_reboot,
	.priority = INT_MIN,
};

static int noxs_on_panic(struct notifier_block *block, unsigned long event, void *message)
{
	noxs_say(NOXS_SYSCTL_PANICKED);
	return NOTIFY_DONE;
}

/* Xen's own notifier, which may end the domain, has the lowest priority. */
static struct notifier_block noxs_panic_notifier = {
	.notifier_call = noxs_on_panic,
};

/* A PVH guest without ACPI tables has no other way to power off than to ask Xen. */
static int noxs_power_off(struct sys_off_data *data)
{
	struct sched_shutdown shutdown = { .reason = SHUTDOWN_poweroff };

	noxs_say(NOXS_SYSCTL_EXITING);
	HYPERVISOR_sched_op(SCHEDOP_shutdown, &shutdown);
	return NOTIFY_DONE;
}

/* ---- Interrupts ------------------------------------------------------ */

static void noxs_check_config(struct noxs_device *device)
{
	u32 generation = le32_to_cpu(virt_load_acquire(&device->page->back.config_generation));

	if (generation == device->config_generation)
		return;
	device->config_generation = generation;
	virtio_config_changed(&device->vdev);
}

static irqreturn_t noxs_interrupt(int irq, void *data)
{
	struct noxs_slot *slot = data;
	struct noxs_device *device = smp_load_acquire(&slot->device);
	unsigned int i;

	if (!device)
		return IRQ_HANDLED;
	if (device->type == NOXS_TYPE_SYSCTL) {
		wake_up(&device->answered);
		noxs_obey(device);
		return IRQ_HANDLED;
	}
	wake_up(&device->answered);
	for (i = 0; i < NOXS_MAX_QUEUES; i++) {
		struct virtqueue *queue = READ_ONCE(device->queues[i]);

		if (queue)
			vring_interrupt(irq, queue);
	}
	if (smp_load_acquire(&device->registered)) {
		noxs_check_config(device);
		if (device->status && noxs_verdict(device) & VIRTIO_CONFIG_S_NEEDS_RESET)
			noxs_break(device, "the VMM says so");
	}
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

static void noxs_release_device(struct device *dev)
{
	kfree(container_of(dev, struct noxs_device, vdev.dev));
}

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
	int error;

	if (device->type == NOXS_TYPE_SYSCTL) {
		smp_store_release(&device->slot->device, device);
		WRITE_ONCE(noxs_sysctl_device, device);
		noxs_say(NOXS_SYSCTL_ALIVE);
		/* What was asked before the interrupt was bound. */
		disable_irq(device->slot->irq);
		noxs_obey(device);
		enable_irq(device->slot->irq);
		return 0;
	}
	device->vdev.dev.parent = &device->parent->dev;
	device->vdev.dev.release = noxs_release_device;
	device->vdev.config = &noxs_config_ops;
	device->vdev.id.device = device->type;
	device->config_generation = noxs_generation(&device->vdev);
	smp_store_release(&device->slot->device, device);
	error = register_virtio_device(&device->vdev);
	if (error)
		return error;
	/* Changes from here on are the interrupt's to report; this is for those in between. */
	smp_store_release(&device->registered, true);
	disable_irq(device->slot->irq);
	noxs_check_config(device);
	enable_irq(device->slot->irq);
	return 0;
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
	put_device(&device->vdev.dev);
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
	bool is_virtio = device->type != NOXS_TYPE_SYSCTL;

	device->gone = gone;
	if (is_virtio) {
		get_device(&device->vdev.dev);
		if (gone)
			virtio_break_device(&device->vdev);
		/* The driver's remove() makes requests: the interrupt is needed until then. */
		unregister_virtio_device(&device->vdev);
	} else {
		WRITE_ONCE(noxs_sysctl_device, NULL);
		synchronize_rcu();
	}
	smp_store_release(&slot->device, NULL);
	synchronize_irq(slot->irq);
	if (is_virtio)
		put_device(&device->vdev.dev);
	else
		kfree(device);
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
	struct sys_off_handler *handler;
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
	error = register_reboot_notifier(&noxs_reboot_notifier);
	if (error)
		pr_err("cannot watch reboots: error %d\n", error);
	atomic_notifier_chain_register(&panic_notifier_list, &noxs_panic_notifier);
	handler = register_sys_off_handler(SYS_OFF_MODE_POWER_OFF, SYS_OFF_PRIO_DEFAULT,
					   noxs_power_off, NULL);
	if (IS_ERR(handler))
		pr_err("cannot power off: error %ld\n", PTR_ERR(handler));
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
