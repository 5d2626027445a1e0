// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LightvmError } from "../shared/errors.ts";
import { formatReference, parseReference, repoDigest, repoTag } from "./reference.ts";

const SHA256 = `sha256:${"0a".repeat(32)}`;
const SHA512 = `sha512:${"0b".repeat(64)}`;

describe("parseReference", () => {
  it.each([
    ["busybox", "docker.io/library/busybox:latest"],
    ["busybox:1.37", "docker.io/library/busybox:1.37"],
    ["team/app", "docker.io/team/app:latest"],
    ["docker.io/busybox", "docker.io/library/busybox:latest"],
    ["index.docker.io/busybox", "docker.io/library/busybox:latest"],
    ["localhost/app", "localhost/app:latest"],
    ["localhost:5000/a/b:c", "localhost:5000/a/b:c"],
    ["registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"],
    ["[::1]:5000/app", "[::1]:5000/app:latest"],
    ["Team/app", "Team/app:latest"],
    ["a__b/c---d/e.f_g", "docker.io/a__b/c---d/e.f_g:latest"],
    [`busybox@${SHA256}`, `docker.io/library/busybox@${SHA256}`],
    [`quay.io/a/b:1@${SHA512}`, `quay.io/a/b:1@${SHA512}`],
  ])("fills in %s", (text, full) => {
    expect(formatReference(parseReference(text))).toBe(full);
  });

  it.each([
    ["", "empty"],
    ["a".repeat(64), "image id"],
    ["b".repeat(1025), "longer than 1024"],
    [`x/${"b".repeat(256)}`, "longer than 255"],
    ["BusyBox", "lower case"],
    ["a/../b", "malformed"],
    ["a//b", "malformed"],
    ["/a", "malformed"],
    ["a/", "malformed"],
    ["a___b", "malformed"],
    ["-a", "malformed"],
    ["a b", "malformed"],
    ["a\n", "malformed"],
    ["a?x=y", "malformed"],
    ["busybox:", "tag"],
    ["busybox:-1", "tag"],
    [`busybox:${"t".repeat(129)}`, "tag"],
    ["busybox@", "digest"],
    ["busybox@sha256:12", "digest"],
    [`busybox@${SHA256.toUpperCase()}`, "digest"],
    [`busybox@md5:${"0a".repeat(16)}`, "digest"],
    ["host.example:99999/app", "host"],
    ["host.example:x/app", "host"],
    ["-bad.example/app", "host"],
    ["999.1.1.1/app", "host"],
    ["user@host.example/app", "digest"],
    ["https://host.example/app", "host"],
  ])("refuses %j", (text, why) => {
    expect(() => parseReference(text)).toThrow(why);
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });

  it("reads its own full form as the same reference", () => {
    const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/);
    const host = fc.oneof(
      fc.constantFrom("docker.io", "localhost", "localhost:5000", "10.0.0.1:80", "[fd00::1]"),
      // A last label that is a number would make an address of it, and "xn--" an encoded name.
      fc.tuple(label, label).map(([a, b]) => `y${a}.y${b}`),
    );
    const component = fc.stringMatching(/^[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}$/);
    const path = fc.array(component, { minLength: 1, maxLength: 4 }).map((it) => it.join("/"));
    const tag = fc.option(fc.stringMatching(/^[\w][\w.-]{0,20}$/), { nil: undefined });
    const digest = fc.option(fc.constantFrom(SHA256, SHA512), { nil: undefined });
    fc.assert(
      fc.property(host, path, tag, digest, (aHost, aPath, aTag, aDigest) => {
        const text = formatReference({
          host: aHost,
          repository: aPath,
          tag: aTag,
          digest: aDigest,
        });
        const reference = parseReference(text);
        const official = aHost === "docker.io" && !aPath.includes("/");
        expect(reference).toEqual({
          host: aHost,
          repository: official ? `library/${aPath}` : aPath,
          tag: aTag ?? (aDigest === undefined ? "latest" : undefined),
          digest: aDigest,
        });
        expect(parseReference(formatReference(reference))).toEqual(reference);
      }),
    );
  });

  it("throws nothing but its own error, whatever the text", () => {
    const hostile = fc.string({ unit: fc.constantFrom(..."aZ09.-_/:@[]%?#\n é") });
    fc.assert(
      fc.property(fc.oneof(hostile, fc.string({ unit: "binary" })), (text) => {
        try {
          const reference = parseReference(text);
          expect(URL.canParse(`https://${reference.host}/v2/${reference.repository}/`)).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(LightvmError);
          expect((error as LightvmError).code).toBe("invalid-argument");
        }
      }),
    );
  });
});

describe("names of a pulled image", () => {
  it("has a tag unless the reference pins a digest", () => {
    expect(repoTag(parseReference("a:1"))).toBe("docker.io/library/a:1");
    expect(repoTag(parseReference(`a:1@${SHA256}`))).toBeUndefined();
    expect(repoDigest(parseReference("a:1"), SHA256)).toBe(`docker.io/library/a@${SHA256}`);
  });
});
