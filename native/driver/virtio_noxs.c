// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio transport of noxs: what virtio core and its drivers ask of a device
 * whose control page is shared with the VMM.
 *
 * Whatever the VMM must answer is a request: write the front half, grow the
 * request number, ring, sleep until it is acknowledged.
 */

#define pr_fmt(fmt) "noxs: " fmt

#include <linux/interrupt.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/version.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <xen/interface/sched.h>
#include <asm/xen/hypercall.h>

#include "noxs_device.h"

#define NOXS_QUEUE_SIZE_MAX 32768

static struct noxs_device *to_noxs(struct virtio_device *vdev)
{
	return container_of(vdev, struct noxs_device, vdev);
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

/* ---- What the bus calls ---------------------------------------------- */

static void noxs_check_config(struct noxs_device *device)
{
	u32 generation = le32_to_cpu(virt_load_acquire(&device->page->back.config_generation));

	if (generation == device->config_generation)
		return;
	device->config_generation = generation;
	virtio_config_changed(&device->vdev);
}

void noxs_virtio_interrupt(struct noxs_device *device, int irq)
{
	unsigned int i;

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
}

static void noxs_release_device(struct device *dev)
{
	kfree(container_of(dev, struct noxs_device, vdev.dev));
}

int noxs_virtio_register(struct noxs_device *device)
{
	int error;

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

void noxs_virtio_unregister(struct noxs_device *device)
{
	/* Put by the caller, who has to look at the device until no interrupt does. */
	get_device(&device->vdev.dev);
	if (device->gone)
		virtio_break_device(&device->vdev);
	/* The driver's remove() makes requests: the interrupt is needed until then. */
	unregister_virtio_device(&device->vdev);
}
