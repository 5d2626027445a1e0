// SPDX-License-Identifier: Apache-2.0

/** This release; a test holds it to package.json. */
export const VERSION = "0.1.0";
