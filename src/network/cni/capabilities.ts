// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../shared/errors.ts";
import type { NetworkRequest } from "../network.ts";
import type { PluginConfig } from "./network-list.ts";

/** What the plugins of a network can be told about a pod, by the name of the capability. */
export type CapabilityArguments = Readonly<Record<string, unknown>>;

/** The burst that Kubernetes' own network plugins use; bits. */
const BURST = 2 ** 31 - 1;

/** Decimal and binary suffixes of a Kubernetes quantity. */
const FACTORS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** What there is to tell about a pod. Throws "invalid-argument" for a bandwidth that is none. */
export function capabilityArguments(
  request: NetworkRequest,
  podCidrs: readonly string[],
): CapabilityArguments {
  const { dns, portMappings } = request;
  const bandwidth = bandwidthOf(request.annotations);
  return {
    ...(portMappings.length > 0 && { portMappings }),
    ...(bandwidth !== undefined && { bandwidth }),
    ...(dns.servers.length + dns.searches.length + dns.options.length > 0 && { dns }),
    ...(podCidrs.length > 0 && { ipRanges: podCidrs.map((subnet) => [{ subnet }]) }),
  };
}

/** The part that one plugin has asked for; undefined when that is nothing. */
export function runtimeConfig(
  { capabilities = {} }: PluginConfig,
  given: CapabilityArguments,
): CapabilityArguments | undefined {
  const wanted = Object.entries(given).filter(([name]) => capabilities[name] === true);
  return wanted.length === 0 ? undefined : Object.fromEntries(wanted);
}

function bandwidthOf(annotations: NetworkRequest["annotations"]) {
  const ingressRate = rate(annotations, "kubernetes.io/ingress-bandwidth");
  const egressRate = rate(annotations, "kubernetes.io/egress-bandwidth");
  if (ingressRate === undefined && egressRate === undefined) return undefined;
  return {
    ...(ingressRate !== undefined && { ingressRate, ingressBurst: BURST }),
    ...(egressRate !== undefined && { egressRate, egressBurst: BURST }),
  };
}

/** Bits a second. */
function rate(annotations: NetworkRequest["annotations"], name: string): number | undefined {
  const text = annotations[name];
  if (text === undefined) return undefined;
  const [, digits = "", suffix = ""] = /^(\d+(?:\.\d+)?)([a-zA-Z]*)$/.exec(text) ?? [];
  const value = Math.floor(Number(digits) * (FACTORS[suffix] ?? Number.NaN));
  if (digits === "" || !Number.isSafeInteger(value) || value < 1) {
    throw new LightvmError("invalid-argument", `the annotation ${name}: "${text}" is no bandwidth`);
  }
  return value;
}
