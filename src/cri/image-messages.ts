// SPDX-License-Identifier: Apache-2.0
import type { ImageSpec } from "../../cri-proto/generated/runtime/v1/common.ts";
import type {
  AuthConfig,
  ImageFsInfoResponse,
  Image as WireImage,
} from "../../cri-proto/generated/runtime/v1/image.ts";
import type { Credentials, Image, ImageFsInfo } from "../image/images.ts";
import { checkRuntimeHandler } from "../service/node/runtime-handlers.ts";
import { invalid } from "./checks.ts";

/** The reference or id in a request that must name an image. */
export function imageName(spec: ImageSpec | undefined): string {
  if (spec === undefined || spec.image === "") throw invalid("the request names no image");
  checkRuntimeHandler(spec.runtimeHandler);
  return spec.image;
}

/** Credentials in whichever form they came; undefined = anonymous. */
export function credentials(auth: AuthConfig | undefined): Credentials | undefined {
  if (auth === undefined) return undefined;
  const { identityToken, registryToken } = auth;
  if (registryToken !== "") return { registryToken };
  if (identityToken !== "") return { identityToken, username: auth.username };
  if (auth.username !== "") return { username: auth.username, password: auth.password };
  if (auth.auth === "") return undefined;
  const text = Buffer.from(auth.auth, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon < 1) throw invalid("auth.auth is not the base64 of username:password");
  // Docker writes NUL bytes behind the password.
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, "") };
}

/** An image in a list or status. */
export function imageMessage(image: Image): WireImage {
  const [user = ""] = image.config.user.split(":");
  const numeric = /^\d+$/.test(user);
  return {
    id: image.id,
    repoTags: [...image.repoTags],
    repoDigests: [...image.repoDigests],
    size: BigInt(image.size),
    uid: numeric ? { value: BigInt(user) } : undefined,
    username: numeric ? "" : user,
    spec: undefined,
    pinned: false,
  };
}

/** What only we know of an image, for people who look for a fault. */
export function imageDetails({ config, erofsPath, pulledAt }: Image): object {
  return { erofsPath, pulledAt: new Date(pulledAt).toISOString(), config };
}

/** Disk use of the image store. */
export function imageFsInfoMessage(info: ImageFsInfo): ImageFsInfoResponse {
  return {
    imageFilesystems: [
      {
        timestamp: BigInt(info.timestamp) * 1_000_000n,
        fsId: { mountpoint: info.mountpoint },
        usedBytes: { value: BigInt(info.usedBytes) },
        inodesUsed: { value: BigInt(info.usedInodes) },
      },
    ],
    containerFilesystems: [],
  };
}
