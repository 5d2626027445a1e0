// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";
import type { CommandResult } from "../box/ssh.ts";
import type {
  ContainerStatus,
  Listed,
  PodStatus,
  RuntimeCondition,
  StoredImage,
} from "./crictl-answers.ts";

/** What a test says of a pod; everything else is what crictl's own examples use. */
export interface PodOptions {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly attempt?: number;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly linux?: Record<string, unknown>;
  readonly hostname?: string;
  /** Anything else of PodSandboxConfig, in crictl's JSON spelling. */
  readonly more?: Record<string, unknown>;
}

export interface ContainerOptions {
  readonly name: string;
  readonly image: string;
  readonly attempt?: number;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly environment?: Record<string, string>;
  readonly labels?: Record<string, string>;
  readonly linux?: Record<string, unknown>;
  /** Anything else of ContainerConfig, in crictl's JSON spelling. */
  readonly more?: Record<string, unknown>;
}

const LOGS = "/var/log/pods";

/** Containers see their own processes alone unless a pod wants otherwise; nothing means "the pod's". */
const AS_KUBELET = { security_context: { namespace_options: { pid: 1 } } };

function podConfig(pod: PodOptions): Record<string, unknown> {
  const { name, namespace = "default", uid = `uid-${name}`, attempt = 0 } = pod;
  return {
    metadata: { name, namespace, uid, attempt },
    hostname: pod.hostname ?? name,
    log_directory: `${LOGS}/${namespace}_${name}`,
    labels: pod.labels ?? {},
    annotations: pod.annotations ?? {},
    linux: pod.linux ?? {},
    ...pod.more,
  };
}

function containerConfig(container: ContainerOptions): Record<string, unknown> {
  const { name, image, attempt = 0, command, args, environment = {} } = container;
  return {
    metadata: { name, attempt },
    image: { image },
    log_path: `${name}_${attempt}.log`,
    labels: container.labels ?? {},
    envs: Object.entries(environment).map(([key, value]) => ({ key, value })),
    linux: container.linux ?? AS_KUBELET,
    ...(command && { command }),
    ...(args && { args }),
    ...container.more,
  };
}

/** A word as the shell reads it back. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** The shell command that runs crictl. */
export function crictlCommand(args: readonly string[]): string {
  return ["crictl", ...args].map(quoted).join(" ");
}

/** crictl in the box, as a person would use it, with its files written for it. */
export class Crictl {
  readonly #box: Box;
  /** Words that name another runtime than ours. */
  readonly #endpoint: readonly string[];

  constructor(box: Box, endpoint?: string) {
    this.#box = box;
    this.#endpoint = endpoint === undefined ? [] : ["-r", endpoint, "-i", endpoint];
  }

  /** Runs crictl; an exit code is no error here. */
  async run(args: readonly string[], timeoutMs?: number): Promise<CommandResult> {
    const command = crictlCommand([...this.#endpoint, ...args]);
    return await this.#box.exec(command, timeoutMs === undefined ? {} : { timeoutMs });
  }

  /** Runs crictl and returns what it printed, trimmed. Throws when it fails. */
  async must(args: readonly string[], timeoutMs?: number): Promise<string> {
    const { code, stdout, stderr } = await this.run(args, timeoutMs);
    if (code === 0) return stdout.trim();
    throw new LightvmError("unavailable", `crictl ${args.join(" ")} ended with ${code}: ${stderr}`);
  }

  /** Like `must`, with the output parsed as JSON. crictl takes flags only before the ids. */
  async json<T>([verb = "", ...args]: readonly string[]): Promise<T> {
    return JSON.parse(await this.must([verb, "-o", "json", ...args])) as T;
  }

  /** ContainerStatus. */
  async containerStatus(id: string): Promise<ContainerStatus> {
    return (await this.json<{ status: ContainerStatus }>(["inspect", id])).status;
  }

  /** PodSandboxStatus. */
  async podStatus(sandbox: string): Promise<PodStatus> {
    return (await this.json<{ status: PodStatus }>(["inspectp", sandbox])).status;
  }

  /** ListPodSandbox, with crictl's filters. */
  async pods(...filters: readonly string[]): Promise<readonly Listed[]> {
    return (await this.json<{ items?: Listed[] }>(["pods", ...filters])).items ?? [];
  }

  /** ListContainers, those that have ended as well, with crictl's filters. */
  async containers(...filters: readonly string[]): Promise<readonly Listed[]> {
    const answer = await this.json<{ containers?: Listed[] }>(["ps", "-a", ...filters]);
    return answer.containers ?? [];
  }

  /** ListImages, with crictl's filters. */
  async images(...filters: readonly string[]): Promise<readonly StoredImage[]> {
    return (await this.json<{ images?: StoredImage[] }>(["images", ...filters])).images ?? [];
  }

  /** What Status says of the node's parts. */
  async conditions(): Promise<readonly RuntimeCondition[]> {
    const { status } = await this.json<{ status: { conditions: RuntimeCondition[] } }>(["info"]);
    return status.conditions;
  }

  /** RunPodSandbox; returns the id. */
  async runPod(pod: PodOptions): Promise<string> {
    return await this.must(await this.runPodArguments(pod), 120_000);
  }

  /** Writes the files of RunPodSandbox; returns the words that make crictl call it. */
  async runPodArguments(pod: PodOptions): Promise<string[]> {
    return ["runp", await this.#write(pod.name, podConfig(pod))];
  }

  /** RunPodSandbox that is expected to fail; returns crictl's message. */
  async refusedPod(pod: PodOptions): Promise<string> {
    const { code, stderr } = await this.run(await this.runPodArguments(pod), 120_000);
    if (code === 0) throw new LightvmError("failed-precondition", "the pod was not refused");
    return stderr;
  }

  /** Writes the files of CreateContainer; returns the words that make crictl call it. */
  async createArguments(
    sandbox: string,
    container: ContainerOptions,
    pod: PodOptions,
  ): Promise<string[]> {
    const containerFile = await this.#write(container.name, containerConfig(container));
    const podFile = await this.#write(pod.name, podConfig(pod));
    return ["create", sandbox, containerFile, podFile];
  }

  /** CreateContainer; returns the id. */
  async create(sandbox: string, container: ContainerOptions, pod: PodOptions): Promise<string> {
    return await this.must(await this.createArguments(sandbox, container, pod));
  }

  /** CreateContainer that is expected to fail; returns crictl's message. */
  async refusedContainer(
    sandbox: string,
    container: ContainerOptions,
    pod: PodOptions,
  ): Promise<string> {
    const { code, stderr } = await this.run(await this.createArguments(sandbox, container, pod));
    if (code === 0) throw new LightvmError("failed-precondition", "the container was not refused");
    return stderr;
  }

  /** CreateContainer and StartContainer; returns the id. */
  async start(sandbox: string, container: ContainerOptions, pod: PodOptions): Promise<string> {
    const id = await this.create(sandbox, container, pod);
    await this.must(["start", id]);
    return id;
  }

  /** ExecSync, with the output that the command gave. */
  async exec(container: string, command: readonly string[]): Promise<CommandResult> {
    const { stdout, ...result } = await this.run(["exec", "--sync", container, ...command]);
    // crictl prints both on its standard output, a line end of its own behind each.
    return { ...result, stdout: stdout.replace(/\n\n$/, "") };
  }

  /** The container's CRI log file as it is. */
  async rawLog(container: ContainerOptions, pod: PodOptions): Promise<string> {
    const { name, attempt = 0 } = container;
    const folder = `${LOGS}/${pod.namespace ?? "default"}_${pod.name}`;
    return (await this.#box.exec(`cat ${folder}/${name}_${attempt}.log`)).stdout;
  }

  /** StopPodSandbox and RemovePodSandbox. */
  async removePod(sandbox: string): Promise<void> {
    await this.must(["stopp", sandbox], 120_000);
    await this.must(["rmp", sandbox], 120_000);
  }

  async #write(name: string, config: Record<string, unknown>): Promise<string> {
    const file = `/tmp/${name}.${"log_directory" in config ? "pod" : "container"}.json`;
    await this.#box.exec(`cat >${quoted(file)}`, { input: JSON.stringify(config) });
    return file;
  }
}
