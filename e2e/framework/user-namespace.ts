// SPDX-License-Identifier: Apache-2.0

/** Ids of a pod with "hostUsers: false", as kubelet gives them out. */
export const ID_RANGE = { host_id: 131_072, container_id: 0, length: 65_536 };

/** What kubelet says of it in the namespace options of the pod and of every container. */
export const USER_NAMESPACE = {
  userns_options: { mode: 0, uids: [ID_RANGE], gids: [ID_RANGE] },
};
