// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { LightvmError } from "../shared/errors.ts";
import { Container, type ContainerState } from "./container.ts";
import { type ContainerMetadata, containerName, NEW_CONTAINER } from "./container-record.ts";
import { now } from "./persisted.ts";
import { type PodEventKind, PodEvents } from "./pod-events.ts";
import type { PodStore } from "./pod-store.ts";
import { Sandbox } from "./sandbox.ts";
import { NEW_SANDBOX, type SandboxMetadata, sandboxName } from "./sandbox-record.ts";

/** A new id of a sandbox or container: 64 hexadecimal digits. */
export function newId(): string {
  return randomBytes(32).toString("hex");
}

/** What a container's new state means to those who listen. */
const CONTAINER_EVENTS: Partial<Record<ContainerState, PodEventKind>> = {
  created: "created",
  running: "started",
  exited: "stopped",
};

/** All sandboxes and containers of the node: the store's content, as objects. */
export class Pods {
  readonly #store: PodStore;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly events: PodEvents = new PodEvents();

  /** Reads everything that was written down. Throws "data-loss" when some of it is damaged. */
  constructor(store: PodStore) {
    this.#store = store;
    for (const { metadata, status } of store.readSandboxes()) {
      this.#sandboxes.set(metadata.id, this.#sandboxObject(metadata, status));
    }
    for (const { metadata, status } of store.readContainers()) {
      const sandbox = this.#sandboxes.get(metadata.sandboxId);
      sandbox?.containers.set(metadata.id, this.#containerObject(sandbox, metadata, status));
    }
  }

  /** Every sandbox, also those that are still being created. */
  all(): Sandbox[] {
    return [...this.#sandboxes.values()];
  }

  /** The sandboxes that callers may know of, oldest first. */
  sandboxes(): Sandbox[] {
    return this.all().filter(({ state }) => state !== "creating");
  }

  /** The containers that callers may know of, oldest first within each sandbox. */
  containers(): Container[] {
    return this.sandboxes().flatMap(({ containers }) =>
      [...containers.values()].filter(({ state }) => state !== "creating"),
    );
  }

  /** By id or its unique beginning. Throws "invalid-argument" when several begin so. */
  findSandbox(id: string): Sandbox | undefined {
    return findById(this.sandboxes(), id, "sandbox");
  }

  /** The same; throws "not-found" when there is none. */
  getSandbox(id: string): Sandbox {
    const sandbox = this.findSandbox(id);
    if (sandbox === undefined) throw new LightvmError("not-found", `there is no sandbox "${id}"`);
    return sandbox;
  }

  /** By id or its unique beginning. Throws "invalid-argument" when several begin so. */
  findContainer(id: string): Container | undefined {
    return findById(this.containers(), id, "container");
  }

  /** The same; throws "not-found" when there is none. */
  getContainer(id: string): Container {
    const container = this.findContainer(id);
    if (container === undefined) {
      throw new LightvmError("not-found", `there is no container "${id}"`);
    }
    return container;
  }

  /** The sandbox of a container. */
  sandboxOf(container: Container): Sandbox {
    const sandbox = this.#sandboxes.get(container.metadata.sandboxId);
    if (sandbox === undefined) {
      throw new LightvmError("not-found", `the sandbox of container ${container.id} is gone`);
    }
    return sandbox;
  }

  /** Writes a sandbox down as "creating". Throws "already-exists" when its name is taken. */
  addSandbox(metadata: SandboxMetadata): Sandbox {
    const name = sandboxName(metadata.config);
    const holder = this.all().find((other) => sandboxName(other.metadata.config) === name);
    if (holder !== undefined) {
      throw new LightvmError("already-exists", `sandbox ${holder.id} has the name "${name}"`);
    }
    this.#store.insertSandbox(metadata, NEW_SANDBOX);
    const sandbox = this.#sandboxObject(metadata, NEW_SANDBOX);
    this.#sandboxes.set(metadata.id, sandbox);
    return sandbox;
  }

  /** Forgets a sandbox and its containers. Nothing of its VM may be left. */
  removeSandbox(sandbox: Sandbox): void {
    this.#store.deleteSandbox(sandbox.id);
    if (this.#sandboxes.delete(sandbox.id) && sandbox.state !== "creating") {
      this.#tell("deleted", sandbox.id, sandbox);
    }
  }

  /** Writes a container down as "creating". Throws "already-exists" when its name is taken. */
  addContainer(sandbox: Sandbox, metadata: ContainerMetadata): Container {
    const name = containerName(metadata.config);
    const holder = [...sandbox.containers.values()].find(
      (other) => containerName(other.metadata.config) === name,
    );
    if (holder !== undefined) {
      throw new LightvmError(
        "already-exists",
        `container ${holder.id} has the name "${name}" in sandbox ${sandbox.id}`,
      );
    }
    this.#store.insertContainer(metadata, NEW_CONTAINER);
    const container = this.#containerObject(sandbox, metadata, NEW_CONTAINER);
    sandbox.containers.set(metadata.id, container);
    return container;
  }

  /** Forgets a container. Idempotent. */
  removeContainer(sandbox: Sandbox, container: Container): void {
    this.#store.deleteContainer(container.id);
    if (sandbox.containers.delete(container.id) && container.state !== "creating") {
      this.#tell("deleted", container.id, sandbox);
    }
  }

  #sandboxObject(metadata: SandboxMetadata, status: Sandbox["status"]): Sandbox {
    const persist = (changed: Sandbox["status"]) => this.#store.updateSandbox(metadata.id, changed);
    const sandbox: Sandbox = new Sandbox(metadata, status, persist, (state) => {
      if (state === "ready") {
        this.#tell("created", metadata.id, sandbox);
        this.#tell("started", metadata.id, sandbox);
      } else this.#tell("stopped", metadata.id, sandbox);
    });
    return sandbox;
  }

  #containerObject(
    sandbox: Sandbox,
    metadata: ContainerMetadata,
    status: Container["status"],
  ): Container {
    const persist = (changed: Container["status"]) =>
      this.#store.updateContainer(metadata.id, changed);
    return new Container(metadata, status, persist, (state) => {
      const kind = CONTAINER_EVENTS[state];
      if (kind !== undefined) this.#tell(kind, metadata.id, sandbox);
    });
  }

  #tell(kind: PodEventKind, id: string, sandbox: Sandbox): void {
    this.events.tell({ kind, id, sandbox, at: now() });
  }
}

function findById<T extends { readonly id: string }>(
  items: readonly T[],
  id: string,
  what: string,
): T | undefined {
  if (id === "") throw new LightvmError("invalid-argument", `the ${what}'s id is empty`);
  const matches = items.filter((item) => item.id.startsWith(id));
  if (matches.length > 1) {
    throw new LightvmError(
      "invalid-argument",
      `the ids of ${matches.length} ${what}s begin with "${id}"`,
    );
  }
  return matches[0];
}
