// SPDX-License-Identifier: Apache-2.0
import { Stream } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { ClientHello_Purpose } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { encodeHello } from "../vmm/connect.ts";
import type { ContainerStream, ExecStream } from "./pod-vm.ts";

/** Opens a connection that is a stream of a process which is going to be started. */
export function helloOfStream(stream: ExecStream): Buffer {
  const purpose = ClientHello_Purpose.PURPOSE_STREAM;
  return encodeHello({ purpose, stream: { ...stream, forwardId: "" } });
}

/** Opens one that shares a stream of a container that runs. */
export function helloOfAttach({ containerId, endsStdin, stream }: ContainerStream): Buffer {
  const purpose = ClientHello_Purpose.PURPOSE_ATTACH;
  return encodeHello({
    purpose,
    stream: { containerId, execId: "", stream, forwardId: "" },
    endsStdin,
  });
}

/** Opens one that leads to a port of the guest's. */
export function helloOfForward(forwardId: string): Buffer {
  const purpose = ClientHello_Purpose.PURPOSE_STREAM;
  const unspecified = { containerId: "", execId: "", stream: Stream.STREAM_UNSPECIFIED };
  return encodeHello({ purpose, stream: { ...unspecified, forwardId } });
}
