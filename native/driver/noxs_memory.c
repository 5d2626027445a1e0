// SPDX-License-Identifier: GPL-2.0-only
/*
 * noxs: memory that comes when it is needed.
 *
 * A guest starts with the memory that a small pod needs. Its memory map shows
 * all that it may ever have, and noxs_memory=START-END[,START-END] says which
 * part of that is still empty:
 *
 *   - it is reserved before anything is allocated, so the pages have their
 *     struct page and their place in the direct map, but nobody touches them;
 *   - when the kernel begins to reclaim, the next piece is taken from Xen with
 *     the same hypercall that a balloon uses, announced to the VMM, whose
 *     devices have to reach it, and given to the page allocator;
 *   - before the OOM killer acts, the same is done while it waits.
 *
 * Xen holds the guest to the limit that its domain was made with. Memory is
 * never given back: the VMM's map of it would go stale. What has not come yet
 * can be forgone: a guest that was booted before its pod was known may be
 * larger than the pod, and is told so by noxs_memory.forgo.
 */

#define pr_fmt(fmt) "noxs: " fmt

#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/shrinker.h>
#include <linux/sizes.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include <xen/interface/xen.h>
#include <xen/interface/memory.h>
#include <xen/xen.h>
#include <asm/xen/hypercall.h>

#include "noxs_device.h"

/* What a large page has. */
#define NOXS_PIECE_SIZE SZ_2M
#define NOXS_PIECE_ORDER (ilog2(NOXS_PIECE_SIZE) - PAGE_SHIFT)
#define NOXS_PIECE_PAGES (NOXS_PIECE_SIZE >> PAGE_SHIFT)
/* Below and above the hole below 4 GiB. */
#define NOXS_MAX_RANGES 2

struct noxs_range {
	u64 next; /* the first address that is not in use */
	u64 taken; /* the first address without memory: beyond `next` while the VMM owes an answer */
	u64 end;
};

static struct noxs_range noxs_ranges[NOXS_MAX_RANGES];
static unsigned int noxs_range_count;
static u64 noxs_missing; /* bytes */
/* Guards all of the above after boot, and the frames. */
static DEFINE_MUTEX(noxs_memory_lock);
static xen_pfn_t noxs_frames[NOXS_PIECE_PAGES];

static int __init noxs_parse_memory(char *text)
{
	while (text && noxs_range_count < NOXS_MAX_RANGES) {
		struct noxs_range *range = &noxs_ranges[noxs_range_count];

		range->next = memparse(text, &text);
		range->end = *text == '-' ? memparse(text + 1, &text) : 0;
		if (range->next >= range->end || (range->next | range->end) % PAGE_SIZE) {
			pr_err("noxs_memory= needs ranges of pages\n");
			return -EINVAL;
		}
		range->taken = range->next;
		memblock_reserve(range->next, range->end - range->next);
		noxs_missing += range->end - range->next;
		noxs_range_count++;
		if (*text++ != ',')
			return 0;
	}
	pr_err("noxs_memory= has more than %d ranges\n", NOXS_MAX_RANGES);
	return -E2BIG;
}
early_param("noxs_memory", noxs_parse_memory);

static unsigned int noxs_populate(unsigned int count, unsigned int order)
{
	struct xen_memory_reservation reservation = {
		.nr_extents = count,
		.extent_order = order,
		.domid = DOMID_SELF,
	};
	int populated;

	set_xen_guest_handle(reservation.extent_start, noxs_frames);
	populated = HYPERVISOR_memory_op(XENMEM_populate_physmap, &reservation);
	return populated < 0 ? 0 : populated;
}

/* Takes memory from Xen at `address`; returns how many pages, in order, it got. */
static unsigned int noxs_take_piece(u64 address, u64 end)
{
	unsigned int count = min_t(u64, end - address, NOXS_PIECE_SIZE - address % NOXS_PIECE_SIZE) >>
			     PAGE_SHIFT;
	unsigned int i;

	for (i = 0; i < count; i++)
		noxs_frames[i] = (address >> PAGE_SHIFT) + i;
	/* A large page keeps Xen's page tables small and its walks short. */
	if (count == NOXS_PIECE_PAGES && noxs_populate(1, NOXS_PIECE_ORDER))
		return count;
	return noxs_populate(count, 0);
}

static void noxs_release(u64 address, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		free_reserved_page(pfn_to_page((address >> PAGE_SHIFT) + i));
	/* They have been in the total from the start: see noxs_memory_init(). */
	totalram_pages_add(-(long)count);
}

/* Returns the pages that there are more of now: about `bytes`, or less when Xen has no more. */
static unsigned long noxs_grow_range(struct noxs_range *range, u64 bytes)
{
	unsigned long pages = 0;

	while (range->next < range->end && pages << PAGE_SHIFT < bytes) {
		unsigned int count;

		if (range->taken == range->next)
			range->taken += (u64)noxs_take_piece(range->next, range->end) << PAGE_SHIFT;
		if (range->taken == range->next) {
			pr_warn_once("Xen has no more memory to give\n");
			break;
		}
		/* A VMM that does not answer is asked for the same piece the next time, not for more. */
		if (!noxs_announce_memory(range->taken))
			break;
		count = (range->taken - range->next) >> PAGE_SHIFT;
		noxs_release(range->next, count);
		pages += count;
		noxs_missing -= range->taken - range->next;
		range->next = range->taken;
	}
	return pages;
}

/* By an eighth, and a large page at least. */
static unsigned long noxs_grow(void)
{
	unsigned long pages = 0;
	unsigned int i;
	u64 bytes;

	mutex_lock(&noxs_memory_lock);
	bytes = ((u64)totalram_pages() << PAGE_SHIFT) - noxs_missing;
	bytes = max_t(u64, round_up(bytes / 8, NOXS_PIECE_SIZE), NOXS_PIECE_SIZE);
	for (i = 0; i < noxs_range_count && !pages; i++)
		pages = noxs_grow_range(&noxs_ranges[i], bytes);
	mutex_unlock(&noxs_memory_lock);
	return pages;
}

static void noxs_grow_in_background(struct work_struct *work)
{
	noxs_grow();
}

static DECLARE_WORK(noxs_grow_work, noxs_grow_in_background);

/* Asked for at each round of reclaim: there is nothing to shrink, but a reason to grow. */
static unsigned long noxs_on_reclaim(struct shrinker *shrinker, struct shrink_control *control)
{
	if (READ_ONCE(noxs_missing))
		queue_work(system_unbound_wq, &noxs_grow_work);
	return SHRINK_EMPTY;
}

static unsigned long noxs_shrink_nothing(struct shrinker *shrinker, struct shrink_control *control)
{
	return SHRINK_STOP;
}

static int noxs_on_oom(struct notifier_block *block, unsigned long event, void *freed)
{
	*(unsigned long *)freed += noxs_grow();
	return NOTIFY_OK;
}

static struct notifier_block noxs_oom_notifier = { .notifier_call = noxs_on_oom };

/* From the top down, so that what is left is in one piece. */
static void noxs_forgo_bytes(u64 bytes)
{
	unsigned int i = noxs_range_count;

	while (i-- && bytes) {
		struct noxs_range *range = &noxs_ranges[i];
		u64 cut = min(bytes, range->end - range->taken);

		range->end -= cut;
		bytes -= cut;
		noxs_missing -= cut;
		totalram_pages_add(-(long)(cut >> PAGE_SHIFT));
	}
}

static u64 noxs_to_come(void)
{
	u64 bytes = 0;
	unsigned int i;

	for (i = 0; i < noxs_range_count; i++)
		bytes += noxs_ranges[i].end - noxs_ranges[i].taken;
	return bytes;
}

/* All of the bytes, or none of them when so many are not to come any more. */
static int noxs_set_forgo(const char *text, const struct kernel_param *parameter)
{
	u64 bytes;
	int error = kstrtou64(text, 10, &bytes);

	if (error)
		return error;
	if (bytes % PAGE_SIZE)
		return -EINVAL;
	mutex_lock(&noxs_memory_lock);
	if (bytes <= noxs_to_come())
		noxs_forgo_bytes(bytes);
	else
		error = -ENOSPC;
	mutex_unlock(&noxs_memory_lock);
	return error;
}

static const struct kernel_param_ops noxs_forgo_ops = { .set = noxs_set_forgo };

/* Nobody but root may write, and there is nothing to read. */
module_param_cb(forgo, &noxs_forgo_ops, NULL, 0200);

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
static int __init noxs_watch_reclaim(void)
{
	struct shrinker *shrinker = shrinker_alloc(0, "noxs-memory");

	if (!shrinker)
		return -ENOMEM;
	shrinker->count_objects = noxs_on_reclaim;
	shrinker->scan_objects = noxs_shrink_nothing;
	shrinker_register(shrinker);
	return 0;
}
#else
static struct shrinker noxs_shrinker = {
	.count_objects = noxs_on_reclaim,
	.scan_objects = noxs_shrink_nothing,
	.seeks = DEFAULT_SEEKS,
};

static int __init noxs_watch_reclaim(void)
{
	return register_shrinker(&noxs_shrinker, "noxs-memory");
}
#endif

static int __init noxs_memory_init(void)
{
	int error;

	if (!noxs_missing || !xen_hvm_domain())
		return 0;
	/* What the guest can have is what programs, and the limits on them, are sized by. */
	totalram_pages_add(noxs_missing >> PAGE_SHIFT);
	error = noxs_watch_reclaim();
	if (error)
		pr_err("memory grows only before the OOM killer acts: error %d\n", error);
	return register_oom_notifier(&noxs_oom_notifier);
}
subsys_initcall(noxs_memory_init);
