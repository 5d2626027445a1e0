// SPDX-License-Identifier: Apache-2.0
//! Node resolves the napi_* functions when it loads the addon.

fn main() {
    napi_build::setup();
}
