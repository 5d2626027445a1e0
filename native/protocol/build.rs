// SPDX-License-Identifier: Apache-2.0
//! Turns `cri-proto/lightvm` into Rust types. protox parses the schemas: no protoc is needed.

use std::error::Error;

const SCHEMAS: &str = "../../cri-proto";

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["lightvm/agent/v1/agent.proto", "lightvm/vmm/v1/vmm.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={SCHEMAS}/{file}");
    }
    let descriptors = protox::compile(files, [SCHEMAS])?;
    let mut config = prost_build::Config::new();
    // Maps in the order of their keys: equal messages give equal bytes.
    config.btree_map(["."]);
    config.include_file("schemas.rs");
    config.compile_fds(descriptors)?;
    Ok(())
}
