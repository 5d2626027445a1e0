// SPDX-License-Identifier: GPL-2.0-only
/*
 * sysctl, the device that every guest has: what the VMM asks of the guest
 * (power off, restart), what the guest says of itself (alive, leaving,
 * panicked), and up to where it wants memory.
 */

#define pr_fmt(fmt) "noxs: " fmt

#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/panic_notifier.h>
#include <linux/rcupdate.h>
#include <linux/reboot.h>
#include <xen/interface/sched.h>
#include <asm/xen/hypercall.h>

#include "noxs_device.h"

/* Set and cleared by the scan of the device page; used where nothing may sleep. */
static struct noxs_device *noxs_sysctl_device;

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

void noxs_sysctl_interrupt(struct noxs_device *device)
{
	wake_up(&device->answered);
	noxs_obey(device);
}

void noxs_sysctl_register(struct noxs_device *device)
{
	smp_store_release(&device->slot->device, device);
	WRITE_ONCE(noxs_sysctl_device, device);
	noxs_say(NOXS_SYSCTL_ALIVE);
	/* What was asked before the interrupt was bound. */
	disable_irq(device->slot->irq);
	noxs_obey(device);
	enable_irq(device->slot->irq);
}

void noxs_sysctl_unregister(void)
{
	WRITE_ONCE(noxs_sysctl_device, NULL);
	synchronize_rcu();
}

/* ---- Memory ---------------------------------------------------------- */

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

/* ---- The guest's end ------------------------------------------------- */

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

void __init noxs_sysctl_init(void)
{
	struct sys_off_handler *handler;
	int error;

	error = register_reboot_notifier(&noxs_reboot_notifier);
	if (error)
		pr_err("cannot watch reboots: error %d\n", error);
	atomic_notifier_chain_register(&panic_notifier_list, &noxs_panic_notifier);
	handler = register_sys_off_handler(SYS_OFF_MODE_POWER_OFF, SYS_OFF_PRIO_DEFAULT,
					   noxs_power_off, NULL);
	if (IS_ERR(handler))
		pr_err("cannot power off: error %ld\n", PTR_ERR(handler));
}
