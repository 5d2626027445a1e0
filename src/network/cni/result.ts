// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import type { Attachment } from "../network.ts";

const dnsSchema = z.looseObject({
  nameservers: z.array(z.string()).optional(),
  search: z.array(z.string()).optional(),
  options: z.array(z.string()).optional(),
});

/**
 * What ADD gives back (CNI 0.3.0 to 1.1). Kept as it came, since it is handed on to the next plugin;
 * only what we use ourselves is checked.
 */
export const resultSchema = z.looseObject({
  interfaces: z
    .array(z.looseObject({ name: z.string(), sandbox: z.string().optional() }))
    .optional(),
  ips: z
    .array(
      z.looseObject({ address: z.string().includes("/"), interface: z.number().int().optional() }),
    )
    .optional(),
  dns: dnsSchema.optional(),
});

export type CniResult = z.output<typeof resultSchema>;

/** What CNI calls an error (section 5); `msg` is all that some plugins give. */
export const errorSchema = z.looseObject({
  code: z.number().int().optional(),
  msg: z.string(),
  details: z.string().optional(),
});

/** The pod's part of a result: an address of an interface outside of the pod is not the pod's. */
export function attachmentOf({
  dns,
  interfaces = [],
  ips = [],
}: CniResult): Omit<Attachment, "steps"> {
  const own = ips.filter(({ interface: index }) => {
    const holder = index === undefined ? undefined : interfaces[index];
    return holder === undefined || (holder.sandbox ?? "") !== "";
  });
  return {
    addresses: own.map(({ address }) => address.replace(/\/.*$/, "")),
    dns: {
      servers: dns?.nameservers ?? [],
      searches: dns?.search ?? [],
      options: dns?.options ?? [],
    },
  };
}
