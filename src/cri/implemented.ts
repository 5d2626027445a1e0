// SPDX-License-Identifier: Apache-2.0
import type { UntypedServiceImplementation } from "@grpc/grpc-js";

/** Some methods of a service; the gRPC server answers UNIMPLEMENTED for the others. */
export type Implemented<Service> = UntypedServiceImplementation & {
  readonly [Method in keyof Service as string extends Method ? never : Method]?: Service[Method];
};
