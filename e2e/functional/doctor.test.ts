// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Box } from "../box/box.ts";
import { TEST_BOX } from "../framework/box-for-tests.ts";

/** As `lightvm doctor --json` prints it. */
interface Finding {
  readonly name: string;
  readonly verdict: "ok" | "warn" | "fail";
  readonly detail: string;
  readonly remedy?: string;
}

const SPOILT = "/run/spoilt-host";

describe("lightvm doctor", () => {
  let box: Box;
  beforeAll(async () => {
    box = Box.named(TEST_BOX);
    await box.exec(`mkdir -p ${SPOILT} && echo 16 >${SPOILT}/minor && : >${SPOILT}/empty`);
  });
  afterAll(async () => void (await box.exec(`rm -rf ${SPOILT}`)));

  /** Runs it on a host that `spoil`, in a mount namespace of its own, has changed. */
  async function diagnose(spoil = "true", config = ""): Promise<{ code: number; all: Finding[] }> {
    await box.exec(`cat >${SPOILT}/config.toml`, { input: config });
    const doctor = `lightvm doctor --json --config ${SPOILT}/config.toml`;
    const { code, stdout } = await box.exec(`unshare --mount sh -c '${spoil} && ${doctor}'`);
    return { code, all: JSON.parse(stdout) as Finding[] };
  }

  it("finds nothing that is missing on a good host", async () => {
    const { code, all } = await diagnose();
    expect(all.filter(({ verdict }) => verdict === "fail")).toEqual([]);
    expect(code).toBe(0);
    const named = (name: string) => all.find((finding) => finding.name === name)?.detail;
    expect(named("Xen version")).toMatch(/^4\.\d+/);
    expect(named("free Xen memory")).toMatch(/\d+ MiB, room for [1-9]\d* pods/);
    const { stdout } = await box.exec("lightvm doctor");
    expect(stdout).toMatch(/This host can run pods\.\s*$/);
  });

  it.each([
    ["Xen", "no hypervisor", "mount -t tmpfs none /sys/hypervisor"],
    ["Xen version", "4.16", `mount --bind ${SPOILT}/minor /sys/hypervisor/version/minor`],
    ["dom0", "ordinary guest", `mount --bind ${SPOILT}/empty /proc/xen/capabilities`],
    ["Xen devices", "/dev/xen/privcmd: not there", "mount -t tmpfs none /dev/xen"],
    ["free Xen memory", "cannot ask Xen", "mount -t tmpfs none /dev/xen"],
    ["mkfs.erofs", "cannot be run", `mount --bind ${SPOILT}/empty $(command -v mkfs.erofs)`],
  ])("says that %s is wrong: %s", async (name, detail, spoil) => {
    const { code, all } = await diagnose(spoil);
    expect(all.find((finding) => finding.name === name)).toMatchObject({
      verdict: "fail",
      detail: expect.stringContaining(detail),
      remedy: expect.stringMatching(/./),
    });
    expect(code).toBe(1);
  });

  it("says which files are missing", async () => {
    const { all } = await diagnose("true", 'library_directory = "/run/nothing-here"\n');
    const files = {
      "VMM binary": "bin/lightvm-vmm",
      "native addon": "addon.node",
      "guest kernel, one vCPU": "guest/vmlinux-up",
      "guest kernel, several vCPUs": "guest/vmlinux-smp",
      "guest initramfs": "guest/initramfs.cpio",
    };
    for (const [name, file] of Object.entries(files)) {
      expect(all.find((finding) => finding.name === name)).toMatchObject({
        verdict: "fail",
        detail: expect.stringContaining(`/run/nothing-here/${file}`),
      });
    }
  });

  it("says how much memory is missing", async () => {
    const { all } = await diagnose("true", "[vm]\nmemory_mib = 1000000\n");
    expect(all.find(({ name }) => name === "free Xen memory")).toMatchObject({
      verdict: "fail",
      detail: expect.stringContaining("room for 0 pods of 1000000 MiB"),
    });
  });

  it("says that it wants to be root", async () => {
    const { stdout } = await box.exec(
      "setpriv --reuid 65534 --clear-groups lightvm doctor --json; true",
    );
    const root = (JSON.parse(stdout) as Finding[]).find(({ name }) => name === "root");
    expect(root).toMatchObject({ verdict: "fail", detail: "running as uid 65534" });
  });
});
