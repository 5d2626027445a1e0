// SPDX-License-Identifier: Apache-2.0
//! Compiles the list of system calls that a VMM may make.

#[path = "src/jail/rules.rs"]
mod rules;

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;

use lightvm_jail::{Instruction, Violation};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/jail/rules.rs");
    let mut array = String::from("[\n");
    for instruction in rules::compile(Violation::Kills)? {
        let Instruction { code, jt, jf, k } = instruction;
        writeln!(
            array,
            "Instruction {{ code: {code}, jt: {jt}, jf: {jf}, k: {k} }},"
        )?;
    }
    array.push(']');
    let output = PathBuf::from(std::env::var("OUT_DIR")?).join("filter.rs");
    Ok(std::fs::write(output, array)?)
}
