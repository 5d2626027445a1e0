// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { dnsOf, parseResolver } from "./pod-network.ts";

const NOTHING = { servers: [], searches: [], options: [] };

describe("resolv.conf of the node", () => {
  it("is read as far as pods need it", () => {
    const text = `# by hand
search old.example
nameserver 192.0.2.1
  nameserver fd00::53
search a.example b.example
options ndots:2 edns0
sortlist 192.0.2.0
`;
    expect(parseResolver(text)).toEqual({
      servers: ["192.0.2.1", "fd00::53"],
      searches: ["a.example", "b.example"],
      options: ["ndots:2", "edns0"],
    });
    expect(parseResolver("")).toEqual(NOTHING);
  });
});

describe("the DNS of a pod", () => {
  const ofNetwork = { ...NOTHING, servers: ["10.0.0.53"] };

  it("is its own, or else its network's", async () => {
    const own = { ...NOTHING, options: ["ndots:5"] };
    expect(await dnsOf(own, { addresses: [], dns: ofNetwork, steps: [] })).toBe(own);
    expect(await dnsOf(NOTHING, { addresses: [], dns: ofNetwork, steps: [] })).toBe(ofNetwork);
  });
});
