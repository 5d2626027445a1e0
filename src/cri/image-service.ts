// SPDX-License-Identifier: Apache-2.0
import type { ImageServiceServer } from "../../cri-proto/generated/runtime/v1/api.ts";
import { imageFsInfo } from "../service/image/fs-info.ts";
import { listImages } from "../service/image/list.ts";
import { pullImage } from "../service/image/pull.ts";
import { removeImage } from "../service/image/remove.ts";
import { imageStatus } from "../service/image/status.ts";
import type { NodeContext } from "../service/node-context.ts";
import {
  credentials,
  imageDetails,
  imageFsInfoMessage,
  imageMessage,
  imageName,
} from "./image-messages.ts";
import type { Implemented } from "./implemented.ts";
import { info } from "./info.ts";
import { chunks, serverStream } from "./server-stream.ts";
import { unary } from "./unary.ts";

/** The verbs of the ImageService that LightVM has. */
export function imageService(context: NodeContext): Implemented<ImageServiceServer> {
  const { logger } = context;
  return {
    listImages: unary("ListImages", "quiet", logger, ({ filter }) => {
      const name = filter?.image?.image;
      const images = listImages(context, name === "" ? undefined : name);
      return { images: images.map(imageMessage) };
    }),
    streamImages: serverStream("StreamImages", logger, ({ filter }) => {
      const name = filter?.image?.image;
      const images = listImages(context, name === "" ? undefined : name);
      return chunks(images.map(imageMessage), (chunk) => ({ images: chunk }));
    }),
    imageStatus: unary("ImageStatus", "quiet", logger, ({ image: spec, verbose }) => {
      const image = imageStatus(context, imageName(spec));
      if (image === undefined) return { image, info: {} };
      return { image: imageMessage(image), info: info(verbose, () => imageDetails(image)) };
    }),
    pullImage: unary("PullImage", "logged", logger, async ({ auth, image }, signal) => {
      const request = { reference: imageName(image), credentials: credentials(auth) };
      return { imageRef: await pullImage(context, request, signal) };
    }),
    removeImage: unary("RemoveImage", "logged", logger, async ({ image }) => {
      await removeImage(context, imageName(image));
      return {};
    }),
    imageFsInfo: unary("ImageFsInfo", "quiet", logger, async () =>
      imageFsInfoMessage(await imageFsInfo(context)),
    ),
  };
}
