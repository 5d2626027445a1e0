/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef NOXS_MEMORY_H
#define NOXS_MEMORY_H

#include <linux/types.h>

/*
 * Tells the VMM that there is memory up to `end`, and waits until it can reach
 * that. False when it does not answer.
 */
bool noxs_announce_memory(u64 end);

#endif /* NOXS_MEMORY_H */
