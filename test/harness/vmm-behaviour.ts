// SPDX-License-Identifier: Apache-2.0

/** In the life of a fake VMM. */
type Moment = "start" | "prepare" | "prepared" | "files" | "load" | "execute" | "boot" | "signal";

/** What a fake VMM and the guest in it do; see fake-vmm.ts. */
export interface VmmBehaviour {
  /** Exits with code 7 at that moment ("signal": is killed with -9, after the exit is recorded). */
  readonly dieAt?: Moment;
  /** Never answers that call. */
  readonly hangsAt?: "prepare" | "execute";
  /** Answers Prepare with NO_MEMORY and this message. */
  readonly prepareFails?: string;
  /**
   * What the guest does once it is unpaused; "crashes" without telling its VMM. One that "is alive" is a
   * unikernel: it prints its command line.
   */
  readonly guest: "boots" | "panics" | "crashes" | "is silent" | "is alive";
  /** Containers and execs work, as FakeAgent says; without it, each create is refused. */
  readonly runsContainers?: boolean;
  readonly ignoresShutdown?: boolean;
  readonly ignoresQuit?: boolean;
}
